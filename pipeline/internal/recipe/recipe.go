// Package recipe reads pipeline recipes: YAML files that list steps. Each step names its stage, its parameters and the
// origins of its inputs. Reading is strict, because a recipe can start hours of computing: unknown keys, duplicate
// keys, anchors, tags and a second document are errors that name their position. Package graph later checks that the
// stages and parameters exist.
package recipe

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"vapo/lib/artifact"
	"vapo/lib/failure"
)

// maxSize is the largest accepted size of a recipe file, in bytes. Real recipes are far smaller. The limit bounds the
// time that parsing a malicious file can take.
const maxSize = 256 << 10

// Pos is a place in a recipe, or a --set or --input argument.
type Pos struct {
	File         string // path of the recipe, or the flag and its argument
	Line, Column int    // counted from 1; 0 if Pos is a whole file or an argument
}

func (p Pos) String() string {
	if p.Line == 0 {
		return p.File
	}
	return fmt.Sprintf("%s:%d:%d", p.File, p.Line, p.Column)
}

// Recipe is a parsed recipe file.
type Recipe struct {
	Name, About string
	Path        string   // path of the file, as given
	Source      []byte   // the content of the file
	Sets        []string // arguments that changed the recipe; those of --input begin with the flag
	Steps       []*Step  // in the order of the file

	// Imported has the digests of input files that the store already has, by STEP.INPUT. These files are not read again.
	Imported map[string]artifact.Digest
}

// Step is one step of a recipe.
type Step struct {
	Name, Stage string
	Pos         Pos
	Inputs      []Input
	Params      []Param
	Timeout     time.Duration // limit for one attempt; 0: none
	Retries     Retries
	Resources   Resources
	Shards      int      // workers that share the work of the step; 0: one
	Command     *Command // nil unless the stage is CommandStage
	Foreach     *Foreach // nil: the step stands only for itself
	When        []Term   // all must hold, or the step is skipped
	Base        string   // after Expand: the name of the step in the file
	Removed     []Input  // inputs that --input removes
}

// Input is a named input of a step, with its origin.
type Input struct {
	Name, From string
	Pos        Pos // position of From

	// Expand replaces an input from all instances of a step (STEP.*.OUTPUT) by one input for each, named LIST[LABEL].
	List     string    // the name in the file; "": the input takes one output or file
	Bindings []Binding // of the instance that the input comes from
}

// Param is a parameter as written in the recipe. Value is a string, bool, int64, uint64, float64, nil, []any or
// map[string]any. Text is the value as a command line would give it: the scalar as written, or the scalars of a
// list, separated by commas. It is empty if a command line cannot give the value.
type Param struct {
	Name  string
	Value any
	Text  string
	Pos   Pos // position of Name; in a foreach, of the value
}

// Base returns the base directory of relative paths that are written at pos: the recipe's directory for a place in the
// recipe, and the working directory for a command-line argument.
func (r *Recipe) Base(pos Pos) string {
	if pos.Line == 0 {
		return "."
	}
	return filepath.Dir(r.Path)
}

// Error returns a usage error that begins with a position in the recipe.
func Error(pos Pos, hint, format string, args ...any) error {
	return failure.New(failure.Usage, hint, "%s: %w", pos, fmt.Errorf(format, args...))
}

// Load reads and parses a recipe file.
func Load(path string) (*Recipe, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, failure.New(failure.Usage, "give the path of a recipe, for example pipeline/recipes/demo.yaml",
			"recipe: %w", err)
	}
	if info.Size() > maxSize || !info.Mode().IsRegular() {
		return nil, failure.New(failure.Usage, "give the path of a recipe, for example pipeline/recipes/demo.yaml",
			"recipe %s is not a file of at most %d KiB", path, maxSize>>10)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, failure.New(failure.Usage, "", "recipe: %w", err)
	}
	return Parse(data, path)
}

// LoadCopy is like Load, but reads the content from a copy of the file. Paths in it remain relative to path.
func LoadCopy(copied, path string) (*Recipe, error) {
	data, err := os.ReadFile(copied)
	if err != nil {
		return nil, failure.New(failure.Usage, "", "recipe: %w", err)
	}
	return Parse(data, path)
}

// nameForm matches valid names of recipes and steps. Names become part of file names, refs and `step.output`.
var nameForm = regexp.MustCompile(`^[a-z0-9][a-z0-9_-]{0,62}$`)

const nameHint = "a name is up to 63 lower-case letters, digits, - and _, and starts with a letter or digit"

// Parse parses a recipe. An error is a usage error that begins with the position of the mistake.
func Parse(data []byte, path string) (*Recipe, error) {
	root, err := parseYAML(data, path)
	if err != nil {
		return nil, err
	}
	r := &Recipe{Path: path, Source: slices.Clone(data)}
	top, err := root.mapping("a recipe", "name", "about", "steps")
	if err != nil {
		return nil, err
	}
	for _, e := range top {
		switch e.key {
		case "name":
			r.Name, err = e.value.name("name")
		case "about":
			r.About, err = e.value.text("about")
		case "steps":
			err = r.parseSteps(e.value)
		}
		if err != nil {
			return nil, err
		}
	}
	if r.Name == "" {
		return nil, Error(root.pos, "add a line such as: name: demo", "the recipe has no name")
	}
	if len(r.Steps) == 0 {
		return nil, Error(root.pos, "add steps: with at least one step under it", "the recipe has no steps")
	}
	return r, nil
}

func (r *Recipe) parseSteps(n node) error {
	steps, err := n.mapping("steps")
	if err != nil {
		return err
	}
	for _, e := range steps {
		if !nameForm.MatchString(e.key) {
			return Error(e.pos, nameHint, "%q cannot be the name of a step", e.key)
		}
		s := &Step{Name: e.key, Pos: e.pos}
		if err := s.parse(e.value); err != nil {
			return err
		}
		r.Steps = append(r.Steps, s)
	}
	return nil
}

// stepKeys are the keys that every step may have.
var stepKeys = []string{"stage", "inputs", "params", "timeout", "retries", "resources", "shards", "foreach", "when"}

func (s *Step) parse(n node) error {
	fields, err := n.mapping("step "+s.Name, slices.Concat(stepKeys, commandKeys)...)
	if err != nil {
		return err
	}
	for _, e := range fields {
		switch e.key {
		case "stage":
			s.Stage, err = e.value.name("stage")
		case "inputs":
			err = s.parseInputs(e.value)
		case "params":
			err = s.parseParams(e.value)
		case "timeout":
			s.Timeout, err = e.value.duration("timeout", 1)
		case "retries":
			s.Retries, err = e.value.retries()
		case "resources":
			s.Resources, err = e.value.resources()
		case "shards":
			s.Shards, err = e.value.whole("shards", 2, maxInstances)
		case "foreach":
			s.Foreach, err = e.value.foreach()
		case "when":
			s.When, err = e.value.when()
		}
		if err != nil {
			return err
		}
	}
	if s.Stage == "" {
		return Error(s.Pos, "add stage: with the name of a stage program", "step %s has no stage", s.Name)
	}
	return s.parseCommand(fields)
}

func (s *Step) parseInputs(n node) error {
	inputs, err := n.mapping("inputs of step " + s.Name)
	if err != nil {
		return err
	}
	for _, e := range inputs {
		from, err := e.value.text("input " + e.key)
		if err != nil {
			return err
		}
		if from == "" {
			return Error(e.value.pos, "", "input %s of step %s is empty", e.key, s.Name)
		}
		s.Inputs = append(s.Inputs, Input{Name: e.key, From: from, Pos: e.value.pos})
	}
	return nil
}

func (s *Step) parseParams(n node) error {
	params, err := n.mapping("params of step " + s.Name)
	if err != nil {
		return err
	}
	for _, e := range params {
		v, err := e.value.plain(0)
		if err != nil {
			return err
		}
		s.Params = append(s.Params, Param{e.key, v, e.value.argument(), e.pos})
	}
	return nil
}

// Step returns the step with the given name.
func (r *Recipe) Step(name string) (*Step, bool) {
	i := slices.IndexFunc(r.Steps, func(s *Step) bool { return s.Name == name })
	if i < 0 {
		return nil, false
	}
	return r.Steps[i], true
}

// StepNames returns the names of the steps in file order, for hints.
func (r *Recipe) StepNames() []string {
	names := make([]string, len(r.Steps))
	for i, s := range r.Steps {
		names[i] = s.Name
	}
	return names
}

// Set applies one --set argument of the form step.param=value. The value is YAML; null removes the parameter from the
// recipe, so that its default applies.
func (r *Recipe) Set(arg string) error {
	s, param, text, pos, err := r.target("--set", arg, "step.param=value", "potential.steps=2000")
	if err != nil {
		return err
	}
	p := Param{param, "", "", pos}
	if text != "" {
		n, err := parseYAML([]byte(text), pos.File)
		if err != nil {
			return err
		}
		if p.Value, err = n.plain(0); err != nil {
			return err
		}
		p.Text = n.argument()
	}
	r.Sets = append(r.Sets, arg)
	i := slices.IndexFunc(s.Params, func(p Param) bool { return p.Name == param })
	switch {
	case i >= 0 && p.Value == nil:
		s.Params = slices.Delete(s.Params, i, i+1)
	case i >= 0:
		s.Params[i] = p
	default:
		s.Params = append(s.Params, p)
	}
	return nil
}

// SetInput applies one --input argument of the form step.input=from. As in a recipe, from is step.output, ref:name,
// sha256:… or a path. An empty from removes the input.
func (r *Recipe) SetInput(arg string) error {
	s, name, from, pos, err := r.target("--input", arg, "step.input=from", "score.features=ref:weights/inception")
	if err != nil {
		return err
	}
	r.Sets = append(r.Sets, "--input "+arg)
	in := Input{Name: name, From: from, Pos: pos}
	i := slices.IndexFunc(s.Inputs, func(in Input) bool { return in.Name == name })
	if i < 0 && s.Command != nil { // only the recipe says which inputs a command has
		names := make([]string, len(s.Inputs))
		for i, in := range s.Inputs {
			names[i] = in.Name
		}
		return Error(pos, Suggest(name, names, "its inputs are"), "step %s has no input %s", s.Name, name)
	}
	switch {
	case i >= 0 && from == "":
		s.Inputs = slices.Delete(s.Inputs, i, i+1)
	case i >= 0:
		s.Inputs[i] = in
	case from != "":
		s.Inputs = append(s.Inputs, in)
	}
	if from == "" && s.Command == nil {
		s.Removed = append(s.Removed, in)
	}
	return nil
}

// target splits an argument into the step, the name of one of its parameters or inputs, and the new value.
func (r *Recipe) target(flag, arg, form, example string) (s *Step, name, value string, pos Pos, err error) {
	pos = Pos{File: flag + " " + arg}
	target, value, ok := strings.Cut(arg, "=")
	stepName, name, dotted := strings.Cut(target, ".")
	if !ok || !dotted || stepName == "" || name == "" {
		return nil, "", "", pos, Error(pos, "for example "+flag+" "+example, "want %s", form)
	}
	s, found := r.Step(stepName)
	if !found {
		return nil, "", "", pos, Error(pos, Suggest(stepName, r.StepNames(), "the steps are"), "the recipe has no step %s",
			stepName)
	}
	return s, name, value, pos, nil
}
