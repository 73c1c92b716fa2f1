// Package command lets a step run any program, such as a script that makes a table of scores, in place of a stage. To
// the runner it is one more stage: it has a description, a key and a manifest, and its results are cached and verified.
//
// A stage describes itself; a program that knows nothing of vapo is described by the recipe. So that equal keys give
// equal results, the program sees as little as possible that is not in its key: it runs in a directory with only its
// inputs as files, with fixed PATH and HOME and the variables that the recipe states.
//
// Note: a stage program "command" was rejected. The contract would have to allow inputs and outputs that depend on
// parameters, and only this stage would use them.
package command

import (
	"cmp"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"vapo/lib/artifact"
	"vapo/lib/contract"
	"vapo/lib/failure"
	"vapo/pipeline/internal/recipe"
)

// version is the version of the stage. It changes if the same key could give another result, for example because
// programs run in another environment, and if the key is made of other parameters.
const version = 2

// searchPath is the PATH of commands, and where programs without a slash are searched for.
const searchPath = "/usr/local/bin:/usr/bin:/bin"

var (
	fileName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$`)
	portName = regexp.MustCompile(`^[A-Za-z0-9_-]{1,64}$`)
	varName  = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)
)

// Describe checks what the recipe says about a command and returns the description that a stage would give. The inputs
// have no media type, so they accept any.
func Describe(s *recipe.Step) (contract.Description, error) {
	c := s.Command
	d := contract.Description{
		Contract: contract.Contract, Stage: recipe.CommandStage, Version: version, Params: []contract.Param{
			{Name: "run", Type: "json", Keyed: true},
			{Name: "env", Type: "json", Keyed: true},
			{Name: "outputs", Type: "json", Keyed: true},
			{Name: "program", Type: "string", Keyed: true},
			{Name: "version", Type: "string", Keyed: true},
		},
	}
	if len(s.Params) > 0 {
		return d, recipe.Error(s.Params[0].Pos, "put arguments under run: and environment variables under env:",
			"step %s: a command has no parameters", s.Name)
	}
	if len(c.Run) == 0 || c.Run[0] == "" {
		return d, recipe.Error(c.Pos, "for example run: [./table.sh, --wide]", "step %s has no program to run", s.Name)
	}
	if len(c.Outputs) == 0 {
		return d, recipe.Error(s.Pos, "for example outputs: {table: table.md}", "step %s has no outputs", s.Name)
	}
	for _, in := range s.Inputs {
		if file := cmp.Or(in.List, in.Name); !fileName.MatchString(file) {
			return d, recipe.Error(in.Pos, "an input's name is also a file name: use letters, digits, '.', - and _",
				"step %s: %q cannot be the name of an input", s.Name, file)
		}
		d.Inputs = append(d.Inputs, contract.Port{Name: in.Name})
	}
	for _, v := range c.Env {
		if !varName.MatchString(v.Name) || slices.Contains([]string{"HOME", "PATH", "TMPDIR"}, v.Name) {
			return d, recipe.Error(v.Pos, "HOME, PATH and TMPDIR are fixed; other names consist of letters, digits and _",
				"step %s: env cannot set %q", s.Name, v.Name)
		}
	}
	for i, out := range c.Outputs {
		switch {
		case !portName.MatchString(out.Name):
			return d, recipe.Error(out.Pos, "use letters, digits, - and _", "step %s: %q cannot be the name of an output",
				s.Name, out.Name)
		case !filepath.IsLocal(out.Value) || filepath.Clean(out.Value) != out.Value || out.Value == ".":
			return d, recipe.Error(out.Pos, "for example table.md or plots/loss.png",
				"step %s: output %s must be a file in the directory in which the program runs, not %q", s.Name, out.Name,
				out.Value)
		case slices.ContainsFunc(c.Outputs[:i], func(o recipe.Named) bool { return o.Value == out.Value }):
			return d, recipe.Error(out.Pos, "", "step %s: two outputs are the file %s", s.Name, out.Value)
		case slices.ContainsFunc(s.Inputs, func(in recipe.Input) bool { return cmp.Or(in.List, in.Name) == out.Value }):
			return d, recipe.Error(out.Pos, "rename one of them", "step %s: the file %s is an input and an output", s.Name,
				out.Value)
		}
		d.Outputs = append(d.Outputs, contract.Port{Name: out.Name, Media: contract.MediaOf(out.Value)})
	}
	return d, nil
}

// Resolve finds the program of a command. It returns the absolute path of the program and the values of the parameters
// that Describe declares. If the recipe states no version, the key holds the digest of the program. It always holds the
// program's name, because programs such as bunzip2 do what their name says, and a version belongs to a program.
func Resolve(s *recipe.Step, r *recipe.Recipe) (program string, params map[string]any, err error) {
	c := s.Command
	program, err = find(c.Run[0], r.Base(c.Pos))
	if err != nil {
		return "", nil, failure.New(failure.Input, failure.HintOf(err), "%s: step %s: %w", c.Pos, s.Name, err)
	}
	params = map[string]any{
		"run": encoded(c.Run), "env": encoded(mapping(c.Env)), "outputs": encoded(mapping(c.Outputs)),
	}
	if c.Version != "" {
		params["version"] = c.Version
		return program, params, nil
	}
	digest, _, err := artifact.FileDigest(program)
	if err != nil {
		return "", nil, failure.New(failure.ClassOf(err), "", "%s: step %s: %w", c.Pos, s.Name, err)
	}
	params["program"] = string(digest)
	return program, params, nil
}

// find returns the absolute path of a program. A name without a slash is searched for in searchPath; any other is
// relative to base.
func find(name, base string) (string, error) {
	if !strings.ContainsRune(name, '/') {
		for dir := range strings.SplitSeq(searchPath, ":") {
			if path := filepath.Join(dir, name); executable(path) == nil {
				return path, nil
			}
		}
		return "", failure.New(failure.Input, "write ./"+name+" for a program in the recipe's directory",
			"there is no program %s in %s", name, searchPath)
	}
	path := name
	if !filepath.IsAbs(path) {
		path = filepath.Join(base, path)
	}
	path, err := filepath.Abs(path)
	if err != nil {
		return "", err
	}
	switch err := executable(path); {
	case errors.Is(err, fs.ErrNotExist):
		return "", failure.New(failure.Input, "the path is relative to the recipe's directory", "no such program: %s", name)
	case errors.Is(err, errNotExecutable):
		return "", failure.New(failure.Input, "chmod +x "+name, "%s cannot be run: %w", name, err)
	case err != nil:
		return "", failure.New(failure.Input, "", "%s cannot be run: %w", name, err)
	}
	return path, nil
}

var errNotExecutable = errors.New("it is not executable")

func executable(path string) error {
	info, err := os.Stat(path)
	switch {
	case err != nil:
		return err
	case !info.Mode().IsRegular():
		return errors.New("it is not a regular file")
	case info.Mode()&0o111 == 0:
		return errNotExecutable
	}
	return nil
}

func mapping(list []recipe.Named) map[string]string {
	m := map[string]string{}
	for _, e := range list {
		m[e.Name] = e.Value
	}
	return m
}

// encoded returns v, which contains only strings, as JSON.
func encoded(v any) json.RawMessage {
	data, _ := json.Marshal(v) // strings can always be encoded
	return data
}
