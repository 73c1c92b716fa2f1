package main

import (
	"context"
	_ "embed"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"vapo/lib/failure"
	"vapo/lib/program"
)

// The shipped recipes are the templates of new ones.
//
//go:embed recipes/images.yaml
var imagesRecipe string

//go:embed recipes/table.yaml
var tableRecipe string

//go:embed recipes/tabular.yaml
var mixtureRecipe string

type newCmd struct {
	Images  newImagesCmd  `cmd:"" help:"Write a recipe for a folder or an archive of images."`
	Table   newTableCmd   `cmd:"" help:"Write a recipe for a CSV file."`
	Mixture newMixtureCmd `cmd:"" help:"Write a recipe for points from a mixture of Gaussians."`
}

type newFlags struct {
	Budget time.Duration `help:"Time that the recipe may take on this machine." default:"30m"`
	Out    string        `help:"Recipe file to write (default: named after the data)." placeholder:"FILE" type:"path"`
}

type newImagesCmd struct {
	Path     string `arg:"" help:"Folder or archive." type:"existingpath"`
	Size     int    `help:"Edge of the resized images in pixels, a multiple of 4." default:"32"`
	Channels int    `help:"3: colour; 1: grey." default:"3" enum:"1,3"`
	newFlags
}

func (c *newImagesCmd) Run(ctx context.Context, a *app) error {
	d := draft{text: imagesRecipe, batch: 32, probeSteps: 20, probeN: 64}
	d.set("data", "size", fmt.Sprint(c.Size))
	if c.Channels == 1 {
		d.replace("      labels: none\n", "      channels: 1\n      labels: none\n")
	}
	if hasClasses(c.Path) {
		d.set("data", "labels", "directory # the class of an image is the first directory of its path")
		d.set("potential", "conditional", "true")
		d.replace("trajectories: 8}", "trajectories: 8, class: each}")
		d.replace("test: data.test}", "test: data.test, features: classifier.checkpoint}")
		d.replace("  samples:\n", classifierStep+"  samples:\n")
		d.drop("Without a feature network")
	}
	return d.write(ctx, a, c.newFlags, "images", c.Path)
}

// classifierStep is the step that trains the feature network for labelled images.
const classifierStep = `  classifier:
    stage: train
    inputs: {data: data.train, test: data.test}
    params: {model: classifier, batch: 128, steps: 300, learning-rate: 0.004, flip: true}
`

// hasClasses reports whether path is a folder that contains at least two folders and, except for hidden files, nothing
// else.
func hasClasses(path string) bool {
	entries, err := os.ReadDir(path) // fails for an archive
	folders := 0
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), ".") {
			continue
		}
		if !e.IsDir() {
			return false
		}
		folders++
	}
	return err == nil && folders > 1
}

type newTableCmd struct {
	Path  string `arg:"" help:"CSV file with a header line." type:"existingfile"`
	Label string `help:"Column that holds a class." placeholder:"COLUMN"`

	Columns     string `help:"Columns of numbers, separated by commas (default: all but the label)." placeholder:"LIST"`
	DropMissing bool   `help:"Leave out rows with missing numbers."`

	newFlags
}

func (c *newTableCmd) Run(ctx context.Context, a *app) error {
	d := draft{text: tableRecipe, batch: 512, probeSteps: 300, probeN: 1024}
	label := quoted(c.Label)
	if c.Columns != "" {
		label += "\n      columns: " + quoted(c.Columns)
	}
	if c.DropMissing {
		label += "\n      drop-missing: true"
	}
	d.set("data", "label", label)
	return d.write(ctx, a, c.newFlags, "table", c.Path)
}

type newMixtureCmd struct{ newFlags }

func (c *newMixtureCmd) Run(ctx context.Context, a *app) error {
	d := draft{text: mixtureRecipe, batch: 1024, probeSteps: 300, probeN: 1024}
	d.drop("Rows are cheap") // describes the template's steps and time
	return d.write(ctx, a, c.newFlags, "mixture", "")
}

// write adapts the draft to the data and the budget, and writes it.
func (d *draft) write(ctx context.Context, a *app, f newFlags, name, path string) error {
	if base := nameOf(path); base != "" {
		name = base
	}
	out := f.Out
	if out == "" {
		out = name + ".yaml"
	}
	if _, err := os.Lstat(out); err == nil {
		return failure.New(failure.Usage, "remove it, or name another file with --out", "%s exists already", out)
	}
	if f.Budget < 10*time.Second {
		return failure.New(failure.Usage, "for example --budget 30m", "--budget is %v, expected at least 10s", f.Budget)
	}
	d.replace(nameLine.FindString(d.text), "\nname: "+name+"\n")
	if path != "" {
		relative, err := fromDir(filepath.Dir(out), path)
		if err != nil {
			return err
		}
		d.set("data", "path", quoted(relative))
	}
	fmt.Fprintf(a.stderr, "measuring two short runs\n")
	p, err := d.measure(ctx, a, out)
	if err != nil {
		return err
	}
	choice, err := p.choose(f.Budget)
	if err != nil {
		return err
	}
	d.set("potential", "steps", fmt.Sprint(choice.steps))
	d.set("potential", "ema-half-life", fmt.Sprintf("[%d]", halfLife(choice.steps*d.batch)))
	d.set("samples", "n", fmt.Sprint(choice.n))
	if path != "" { // drop the template's first paragraph, which explains how to make this copy
		_, d.text, _ = strings.Cut(d.text, "\n#\n")
	}
	d.text = fmt.Sprintf("# Written for a budget of %v. On this machine, a training step took %s and a sample %s.\n#\n",
		f.Budget, seconds(p.perStep), seconds(p.perSample)) + d.text
	out = program.ShortPath(out)
	if err := os.WriteFile(out, []byte(d.text), 0o666); err != nil {
		return failure.New(failure.Usage, "name another file with --out", "%w", err)
	}
	fmt.Fprintf(a.stdout, "%s: %d steps and %d samples, about %s\n", out, choice.steps, choice.n, seconds(choice.seconds))
	fmt.Fprintf(a.stdout, "run it with: %s run %s\n", os.Args[0], out)
	return nil
}

// fromDir returns path as a recipe in dir names it: relative if it is below dir, otherwise absolute.
func fromDir(dir, path string) (string, error) {
	abs, err := filepath.Abs(path)
	if err != nil {
		return "", err
	}
	if dir, err = filepath.Abs(dir); err != nil {
		return "", err
	}
	if rel, err := filepath.Rel(dir, abs); err == nil && filepath.IsLocal(rel) {
		return rel, nil
	}
	return abs, nil
}
