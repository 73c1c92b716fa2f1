package argo

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"

	"vapo/lib/failure"
	"vapo/lib/program"
	"vapo/pipeline/internal/graph"
	"vapo/pipeline/internal/recipe"
)

// maxFiles is the largest size of the files that travel with a workflow, in bytes. They become one argument of a
// program, for which Linux allows 128 KiB.
const maxFiles = 96 << 10

const storeHint = "put %s into the store with pipeline put FILE --ref NAME, and export with --input %s=ref:NAME"

// fileSet holds the contents of files, as lists of lines, by path relative to the recipe's directory.
type fileSet map[string][]string

// Files returns the recipe, the programs of its commands and its other files as text that an argument can hold. It is
// JSON with each line on a line of its own, so that versions of a workflow can be compared. Files are refused that
// are not small texts in the recipe's directory, and so are paths in parameters, which no pod can read.
func Files(g *graph.Graph) (name, text string, err error) {
	name = filepath.Base(g.Recipe.Path)
	files := fileSet{}
	if err := files.add(name, g.Recipe.Source); err != nil {
		return "", "", recipe.Error(recipe.Pos{File: g.Recipe.Path}, "save it as UTF-8", "%w", err)
	}
	for _, n := range g.Nodes {
		if err := refusePaths(n); err != nil {
			return "", "", err
		}
		if c := n.Step.Command; c != nil && strings.ContainsRune(c.Run[0], '/') {
			const hint = "put it into the recipe's directory and write ./NAME, or put it into the image and write NAME"
			if err := files.read(g.Recipe, c.Pos, c.Run[0]); err != nil {
				return "", "", recipe.Error(c.Pos, hint, "step %s: %w", n.Name(), err)
			}
		}
		for _, in := range n.Step.Inputs {
			if n.Sources[in.Name].Path == "" {
				continue
			}
			hint := fmt.Sprintf(storeHint, "it", n.Step.Base+"."+in.Name)
			if err := files.read(g.Recipe, in.Pos, in.From); err != nil {
				return "", "", recipe.Error(in.Pos, hint, "step %s: input %s: %w", n.Name(), in.Name, err)
			}
		}
	}
	if text, err = files.encode(); err == nil && len(text) > maxFiles {
		err = failure.New(failure.Usage, fmt.Sprintf(storeHint, "the large ones", "STEP.INPUT"),
			"the recipe and its files (%s) have %s; a workflow can carry %s",
			strings.Join(slices.Sorted(maps.Keys(files)), ", "), program.Size(int64(len(text))), program.Size(maxFiles))
	}
	return name, text, err
}

// refusePaths refuses a parameter that is a path, of a step or of one whose parameters the step's condition compares.
func refusePaths(n *graph.Node) error {
	if p, ok := pathParam(n); ok {
		pos := n.Step.Pos
		for _, given := range n.Step.Params {
			if given.Name == p {
				pos = given.Pos
			}
		}
		hint := fmt.Sprintf("with VAPO_STORE set, run only this step here (pipeline run RECIPE %[1]s), name its outputs "+
			"(pipeline put %[1]s.OUTPUT --ref NAME), and export the other steps with --input STEP.INPUT=ref:NAME",
			n.Step.Base)
		return recipe.Error(pos, hint, "step %s: parameter %s is a path on this machine, which a pod cannot read",
			n.Name(), p)
	}
	for _, term := range n.Step.When {
		for _, name := range term.Steps {
			if p, ok := pathParam(n.Mentions[name]); ok {
				return recipe.Error(term.Pos, "remove the condition from the recipe that you export",
					"step %s: when: a pod cannot check the parameters of step %s, because its parameter %s is a path on this machine",
					n.Name(), name, p)
			}
		}
	}
	return nil
}

// pathParam returns the name of a parameter of a step that is a path, if the step has one.
func pathParam(n *graph.Node) (name string, ok bool) {
	for _, p := range n.Stage.Params {
		if path, _ := n.Params[p.Name].(string); p.Path && path != "" {
			return p.Name, true
		}
	}
	return "", false
}

// read adds the file that is written as path at pos.
func (f fileSet) read(r *recipe.Recipe, pos recipe.Pos, path string) error {
	if pos.Line == 0 || !filepath.IsLocal(path) {
		return fmt.Errorf("a pod cannot read %s, because it is not written as a path in the recipe's directory", path)
	}
	data, err := program.ReadFile(filepath.Join(r.Base(pos), path), maxFiles)
	if err != nil {
		return fmt.Errorf("a workflow cannot carry %s: %w", path, err)
	}
	return f.add(filepath.ToSlash(filepath.Clean(path)), data)
}

func (f fileSet) add(path string, data []byte) error {
	if !utf8.ValidString(path) {
		return fmt.Errorf("a workflow cannot carry %q: its name is not UTF-8", path)
	}
	if !utf8.Valid(data) {
		return fmt.Errorf("a workflow cannot carry %s: it is not text in UTF-8", path)
	}
	f[path] = strings.Split(string(data), "\n")
	return nil
}

// encode returns the files as JSON. It escapes more than JSON requires: Argo would replace what is in double braces,
// Kubernetes would replace $$ and $(NAME), and YAML refuses some characters or takes them for the end of a line.
func (f fileSet) encode() (string, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", " ")
	err := e.Encode(f)
	var out strings.Builder
	for i, r := range strings.TrimSpace(b.String()) {
		if unicode.IsPrint(r) && (r != '{' || i == 0) && r != '$' || r == '\n' {
			out.WriteRune(r)
			continue
		}
		for _, unit := range utf16.Encode([]rune{r}) {
			fmt.Fprintf(&out, `\u%04x`, unit)
		}
	}
	return out.String(), err
}

// Unpack writes files, as Files returned them, to a directory. All may be executed, because some are programs.
func Unpack(text, dir string) error {
	const hint = "pass the text that pipeline export has written"
	var files fileSet
	if err := json.Unmarshal([]byte(text), &files); err != nil {
		return failure.New(failure.Usage, hint, "--files: %w", err)
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer root.Close()
	for path, lines := range files {
		err := root.MkdirAll(filepath.Dir(path), 0o755)
		if err == nil {
			err = root.WriteFile(path, []byte(strings.Join(lines, "\n")), 0o755)
		}
		var cause *fs.PathError
		if errors.As(err, &cause) { // its path repeats that of the file
			err = cause.Err
		}
		if err != nil {
			return failure.New(failure.Usage, hint, "--files: file %q: %w", path, err)
		}
	}
	return nil
}
