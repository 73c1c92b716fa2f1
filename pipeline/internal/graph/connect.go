package graph

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"vapo/lib/artifact"
	"vapo/lib/contract"
	"vapo/lib/failure"
	"vapo/pipeline/internal/recipe"
)

// connect sets the source of every input.
func (n *Node) connect(r *recipe.Recipe, nodes []*Node) error {
	d := n.Stage.Description
	for _, in := range slices.Concat(n.Step.Inputs, n.Step.Removed) {
		port, ok := d.Input(in.Name)
		if !ok {
			return recipe.Error(in.Pos, recipe.Suggest(in.Name, names(d.Inputs), "its inputs are"),
				"step %s: stage %s has no input %s", n.Name(), d.Stage, in.Name)
		}
		if in.From == "" {
			continue // removed
		}
		src, err := n.source(r, nodes, in, port)
		if err != nil {
			return err
		}
		n.Sources[in.Name] = src
		if src.Step != "" && !slices.Contains(n.Needs, src.Step) {
			n.Needs = append(n.Needs, src.Step)
		}
	}
	for _, p := range d.Inputs {
		if _, ok := n.Sources[p.Name]; !ok && !p.Optional {
			return recipe.Error(n.Step.Pos, fmt.Sprintf("add under inputs: %s: STEP.OUTPUT (%s)", p.Name, p.Media),
				"step %s: input %s of stage %s is missing", n.Name(), p.Name, d.Stage)
		}
	}
	return nil
}

func (n *Node) source(r *recipe.Recipe, nodes []*Node, in recipe.Input, port contract.Port) (Source, error) {
	ref, err := artifact.ParseReference(in.From)
	imported := r.Imported[n.Name()+"."+in.Name]
	switch {
	case imported != "":
		return Source{artifact.Reference{Path: located(r, in.Pos, in.From)}, in.Pos, imported}, nil
	case err != nil:
		return Source{}, fmt.Errorf("%s: step %s: input %s: %w", in.Pos, n.Name(), in.Name, err)
	case ref.Stored():
		return Source{Reference: ref, Pos: in.Pos}, nil
	case ref.ExplicitPath():
		path := located(r, in.Pos, ref.Path)
		if err := notFile(path, in.Pos); err != nil {
			return Source{}, fmt.Errorf("%s: step %s: input %s: %w", in.Pos, n.Name(), in.Name, err)
		}
		return Source{Reference: artifact.Reference{Path: path}, Pos: in.Pos}, nil
	case ref.Step == "":
		if i := slices.IndexFunc(nodes, func(n *Node) bool { return n.Name() == in.From }); i >= 0 {
			var outputs []string
			for _, p := range nodes[i].Stage.Outputs {
				outputs = append(outputs, in.From+"."+p.Name)
			}
			return Source{}, recipe.Error(in.Pos, "its outputs are: "+strings.Join(outputs, ", "),
				"step %s: input %s comes from step %s, but does not say from which output", n.Name(), in.Name, in.From)
		}
		return Source{}, recipe.Error(in.Pos, "an input is STEP.OUTPUT, ref:NAME, sha256:… or a path such as ./file",
			"step %s: input %s cannot come from %q", n.Name(), in.Name, in.From)
	}
	i := slices.IndexFunc(nodes, func(n *Node) bool { return n.Name() == ref.Step })
	path := located(r, in.Pos, in.From)
	if i < 0 && notFile(path, in.Pos) == nil { // data.arrow may be a file as well as STEP.OUTPUT
		return Source{Reference: artifact.Reference{Path: path}, Pos: in.Pos}, nil
	}
	if i < 0 {
		return Source{}, recipe.Error(in.Pos, recipe.Suggest(ref.Step, r.StepNames(), "the steps are"),
			"step %s: input %s comes from step %s, which the recipe does not have", n.Name(), in.Name, ref.Step)
	}
	from := nodes[i].Stage.Description
	out, ok := from.Output(ref.Output)
	if !ok {
		return Source{}, recipe.Error(in.Pos, recipe.Suggest(ref.Output, names(from.Outputs), "its outputs are"),
			"step %s: input %s: step %s (stage %s) has no output %s", n.Name(), in.Name, ref.Step, from.Stage, ref.Output)
	}
	if port.Media != "" && out.Media != port.Media {
		return Source{}, recipe.Error(in.Pos, "", "step %s: input %s takes %s, but %s is %s",
			n.Name(), in.Name, port.Media, in.From, out.Media)
	}
	return Source{Reference: ref, Pos: in.Pos}, nil
}

// located resolves path, which is written at pos. The result is absolute or relative to the working directory.
func located(r *recipe.Recipe, pos recipe.Pos, path string) string {
	if filepath.IsAbs(path) {
		return path
	}
	return filepath.Join(r.Base(pos), path)
}

// notFile returns an error unless path, which is written at pos, is a regular file.
func notFile(path string, pos recipe.Pos) error {
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		hint := "a path is relative to the recipe's directory"
		if pos.Line == 0 {
			hint = "a path on the command line is relative to the working directory"
		}
		return failure.New(failure.Input, hint, "no such file: %s", path)
	case err != nil:
		return failure.New(failure.Input, "", "%w", err)
	case info.IsDir():
		return failure.New(failure.Input, "an input is one file; pack several with tar, for example",
			"%s is a directory", path)
	case !info.Mode().IsRegular():
		return failure.New(failure.Input, "write its content to a file first", "%s is not a regular file", path)
	}
	return nil
}
