package main

import (
	"fmt"
	"image"
	"image/png"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"vapo/lib/failure"
	"vapo/pipeline/internal/recipe"
	"vapo/pipeline/internal/runner"
)

// photos writes n images of various sizes to each folder in the workplace.
func (w *workplace) photos(n int, folders ...string) {
	w.t.Helper()
	for f, folder := range folders {
		if err := os.MkdirAll(filepath.Join(w.dir, folder), 0o755); err != nil {
			w.t.Fatal(err)
		}
		for i := range n {
			m := image.NewRGBA(image.Rect(0, 0, 20+3*i%17, 16+5*i%23))
			for j := range m.Pix {
				m.Pix[j] = uint8(j*(f+1) + 31*i)
				if j%4 == 3 {
					m.Pix[j] = 255 // opaque
				}
			}
			file, err := os.Create(filepath.Join(w.dir, folder, fmt.Sprintf("%d.png", i)))
			if err != nil {
				w.t.Fatal(err)
			}
			if err := png.Encode(file, m); err != nil {
				w.t.Fatal(err)
			}
			file.Close()
		}
	}
}

// TestNew writes recipes for images, for images of two classes, for two tables and for a mixture. It plans the recipe
// for the mixture and runs the others, which must give a score.
func TestNew(t *testing.T) {
	if testing.Short() {
		t.Skip("trains networks")
	}
	t.Parallel()
	w := newWorkplace(t)
	w.photos(40, "Summer 2024")
	w.photos(20, "zoo/cat", "zoo/dog")
	if err := os.Symlink("zoo", filepath.Join(w.dir, "animals")); err != nil {
		t.Fatal(err)
	}
	table := "x,y,class\n"
	for i := range 400 {
		table += fmt.Sprintf("%d.5,%d,%d\n", i%37, i*i%101, i%3)
	}
	w.write("points.csv", table)
	w.write("names.csv", strings.Replace(strings.ReplaceAll(table, "\n", ",somebody\n"), "1.5,1,", ",1,", 1))
	bin := []string{"--bin", buildStages(t)}
	for name, c := range map[string]struct {
		args, contains []string
	}{
		"summer-2024": {[]string{"images", "Summer 2024", "--size", "8", "--channels", "1"},
			[]string{`path: "Summer 2024"`, "size: 8", "channels: 1", "labels: none"}},
		"animals": {[]string{"images", "animals", "--size", "8"},
			[]string{"labels: directory", "conditional: true", "features: classifier.checkpoint", "class: each"}},
		"names": {
			[]string{"table", "names.csv", "--columns", "x,y", "--drop-missing", "--out", "names.yaml"},
			[]string{`columns: "x,y"`, "drop-missing: true"},
		},
		"points": {[]string{"table", "points.csv", "--label", "class"}, []string{`path: "points.csv"`, `label: "class"`}},
	} {
		args := append(append([]string{"new"}, c.args...), "--budget", "10m")
		out := w.must(append(args, bin...)...)
		if !strings.Contains(out, "run it with: ") || !strings.Contains(out, name+".yaml") {
			t.Errorf("the output does not say how to run %s.yaml:\n%s", name, out)
		}
		text, err := os.ReadFile(filepath.Join(w.dir, name+".yaml"))
		if err != nil {
			t.Fatal(err)
		}
		for _, want := range c.contains {
			if !strings.Contains(string(text), want) {
				t.Errorf("%s: no %q in\n%s", name, want, text)
			}
		}
		run := []string{"run", name + ".yaml", "--set", "potential.steps=100", "--set", "samples.n=64"}
		if out := w.must(append(run, bin...)...); !strings.Contains(out, "score: ") {
			t.Errorf("%s: no score:\n%s", name, out)
		}
		w.fails(failure.Usage, []string{name + ".yaml exists already"}, append(args, bin...)...)
	}
	w.must(append([]string{"new", "mixture", "--budget", "10m", "--out", "m.yaml"}, bin...)...)
	w.must(append([]string{"plan", "m.yaml"}, bin...)...)
	if text := read(t, filepath.Join(w.dir, "m.yaml")); strings.Contains(text, "minutes on two cores") ||
		!strings.Contains(text, "six dimensions") {
		t.Errorf("the comments must describe the data, but not the template's training:\n%s", text)
	}
}

// TestPrices recovers the prices of a machine from the times of two short runs.
func TestPrices(t *testing.T) {
	d := draft{text: imagesRecipe, probeSteps: 20, probeN: 64}
	took := func(size float64) *runner.Run {
		return &runner.Run{Steps: []*runner.Step{
			{Name: "data", Seconds: 9 / size}, // cached in the second run
			{Name: "potential", Seconds: 2 + 0.1*20*size},
			{Name: "samples", Seconds: 1 + 0.05*64*size},
			{Name: "score", Seconds: 3 + 0.01*64*size},
		}}
	}
	p, err := d.prices(took(1), took(2))
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range [][2]float64{{p.perStep, 0.1}, {p.perSample, 0.06}, {p.fixed, 6}} {
		if math.Abs(c[0]-c[1]) > 1e-9 {
			t.Errorf("the prices are %+v, want 0.1 a step, 0.06 a sample and 6 in any case", *p)
		}
	}
	// If other programs slowed down the short run, all of the long run's time counts as time of its training steps.
	if p, err := d.prices(took(2), took(1)); err != nil || math.Abs(p.perStep-0.1) > 1e-9 {
		t.Errorf("a longer run that took less time: %+v, %v; want 0.1 a step", p, err)
	}
	if c, err := (&prices{perStep: 0.1, block: 64, n: 500}).choose(5 * time.Minute); err != nil || c.n != 500 {
		t.Errorf("samples that cost nothing: %+v, %v; want all 500 samples", c, err)
	}
}

// TestChoose checks how a budget is spent.
func TestChoose(t *testing.T) {
	p := prices{perStep: 0.2, perSample: 0.1, fixed: 10, block: 64, n: 500}
	for _, c := range []struct {
		budget   string
		steps, n int
	}{{"5m", 1200, 500}, {"30m", 8700, 500}, {"1m", 210, 64}} {
		budget, err := time.ParseDuration(c.budget)
		if err != nil {
			t.Fatal(err)
		}
		got, err := p.choose(budget)
		if err != nil || got.steps != c.steps || got.n != c.n || got.seconds > budget.Seconds() ||
			got.seconds < 0.7*budget.Seconds() {
			t.Errorf("%s: %+v, %v; want %d steps and %d samples in 70 to 100 %% of the budget", c.budget, got, err, c.steps,
				c.n)
		}
	}
	if _, err := p.choose(20 * time.Second); failure.ClassOf(err) != failure.Usage {
		t.Errorf("a budget for fewer than 100 steps: %v, want a usage error", err)
	}
	// Every template must have the parameters that draft.write sets.
	for name, text := range map[string]string{"images": imagesRecipe, "table": tableRecipe, "mixture": mixtureRecipe} {
		d := draft{text: text}
		for _, param := range []string{"potential.steps", "potential.ema-half-life", "samples.n"} {
			step, param, _ := strings.Cut(param, ".")
			d.set(step, param, "77")
		}
		r, err := recipe.Parse([]byte(d.text), name)
		if err != nil {
			t.Fatal(err)
		}
		if given(r, "potential", "steps") != 77 || given(r, "samples", "n") != 77 {
			t.Errorf("%s: steps and n are not both 77:\n%s", name, d.text)
		}
	}
}
