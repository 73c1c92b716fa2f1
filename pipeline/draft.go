package main

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"vapo/lib/contract"
	"vapo/lib/failure"
	"vapo/lib/program"
	"vapo/pipeline/internal/graph"
	"vapo/pipeline/internal/recipe"
	"vapo/pipeline/internal/runner"
)

// draft is a recipe that is being adapted to a user's data. It is edited as text, so that its comments stay.
type draft struct {
	text               string
	batch              int // samples in a training step
	probeSteps, probeN int // training steps and samples of a short run
}

// replace replaces text that must occur once.
func (d *draft) replace(old, new string) {
	if strings.Count(d.text, old) != 1 {
		panic(fmt.Sprintf("the template does not contain %q exactly once:\n%s", old, d.text))
	}
	d.text = strings.Replace(d.text, old, new, 1)
}

// set replaces the value of a parameter that the step has.
func (d *draft) set(step, param, value string) {
	form := regexp.MustCompile(`(?s)\n  ` + step + `:\n.*?\b` + param + `: ([^\n,}]+)`)
	at := form.FindStringSubmatchIndex(d.text)
	if at == nil {
		panic(fmt.Sprintf("the template has no %s.%s:\n%s", step, param, d.text))
	}
	d.text = d.text[:at[2]] + value + d.text[at[3]:]
}

var (
	nameLine  = regexp.MustCompile(`\nname: [a-z]+\n`)
	notInName = regexp.MustCompile(`[^a-z0-9_-]+`)
)

// nameOf returns a valid name of a recipe for the data at path, or "".
func nameOf(path string) string {
	base := filepath.Base(path)
	base, _, _ = strings.Cut(strings.ToLower(base), ".")
	base = strings.Trim(notInName.ReplaceAllString(base, "-"), "-_")
	return base[:min(len(base), 60)]
}

// quoted returns s as a YAML value.
func quoted(s string) string {
	text, _ := json.Marshal(s) // a string cannot fail
	return string(text)
}

// seconds shows a measured time.
func seconds(s float64) string {
	if s < 1 {
		return fmt.Sprintf("%.3g ms", 1000*s)
	}
	return program.Duration(s)
}

// prices are what the parts of a recipe cost, in seconds.
type prices struct {
	perStep, perSample, fixed float64
	block, n                  int // samples are drawn in blocks; n are wanted
}

// measure runs the draft with few steps and samples. The recipe later reuses the prepared data.
func (d *draft) measure(ctx context.Context, a *app, path string) (*prices, error) {
	r, err := recipe.Parse([]byte(d.text), path)
	if err != nil {
		return nil, err
	}
	sets := []string{fmt.Sprintf("potential.steps=%d", d.probeSteps), fmt.Sprintf("samples.n=%d", d.probeN)}
	if _, ok := r.Step("classifier"); ok {
		sets = append(sets, fmt.Sprintf("classifier.steps=%d", d.probeSteps))
	}
	for _, set := range sets {
		if err := r.Set(set); err != nil {
			return nil, err
		}
	}
	stages, err := a.catalog()
	if err != nil {
		return nil, err
	}
	g, err := graph.Build(ctx, r, stages)
	if err != nil {
		return nil, err
	}
	store, err := a.openStore(ctx)
	if err != nil {
		return nil, err
	}
	show := newDisplay(a.raw.stderr)
	defer show.close()
	work := a.runner(store, show)
	work.Jobs, work.Grace = 1, time.Second
	run, err := work.Run(ctx, g, runner.Options{Fresh: true}) // a cached step would not be measured here
	if err != nil {
		return nil, err
	}
	return d.prices(run)
}

// prices reads the times of a short run.
func (d *draft) prices(run *runner.Run) (*prices, error) {
	original, err := recipe.Parse([]byte(d.text), "")
	if err != nil {
		return nil, err
	}
	p := &prices{block: d.probeN}
	for _, s := range run.Steps {
		m, err := contract.DecodeManifest(s.Manifest)
		if err != nil {
			return nil, fmt.Errorf("step %s: %w", s.Name, err)
		}
		result := func(name string) float64 {
			x, _ := m.Results[name].(float64)
			return x
		}
		switch s.Name {
		case "data": // cached from now on
		case "potential":
			p.perStep = result("train_seconds") / float64(d.probeSteps)
			p.fixed += m.WallSeconds - result("train_seconds")
		case "classifier":
			perStep := result("train_seconds") / float64(d.probeSteps)
			p.fixed += m.WallSeconds - result("train_seconds") + perStep*given(original, s.Name, "steps")
		case "samples":
			p.n = int(given(original, s.Name, "n"))
			p.perSample = result("seconds") / float64(d.probeN)
			p.fixed += m.WallSeconds - result("seconds")
		default:
			p.fixed += m.WallSeconds
		}
	}
	if !(p.perStep > 0 && p.perSample > 0) {
		return nil, failure.New(failure.Bug, "", "a short run took no time: %+v", *p)
	}
	return p, nil
}

// given returns a number that the recipe sets.
func given(r *recipe.Recipe, step, param string) float64 {
	s, _ := r.Step(step)
	for _, p := range s.Params {
		if n, ok := p.Value.(int64); ok && p.Name == param {
			return float64(n)
		}
	}
	panic("the template gives no " + step + "." + param)
}

// choice is how a budget is spent.
type choice struct {
	steps, n int
	seconds  float64 // expected time of the whole recipe
}

// choose spends at most a fifth of the budget on samples, in whole blocks, and what is left on training.
func (p *prices) choose(budget time.Duration) (choice, error) {
	blocks := math.Floor(budget.Seconds() / 5 / p.perSample / float64(p.block))
	c := choice{n: min(p.n, max(1, int(blocks))*p.block)}
	other := p.fixed + float64(c.n)*p.perSample
	steps := (budget.Seconds() - other) / p.perStep
	if steps < 100 {
		need := time.Duration(other+100*p.perStep+1) * time.Second
		return c, failure.New(failure.Usage, fmt.Sprintf("--budget %v allows 100 steps", need),
			"the budget of %v is too short: a step takes %s and everything else %s", budget, seconds(p.perStep), seconds(other))
	}
	digits := math.Pow(10, math.Floor(math.Log10(steps))-1)
	c.steps = int(math.Floor(steps/digits) * digits)
	c.seconds = other + float64(c.steps)*p.perStep
	return c, nil
}

// halfLife returns the half-life of the average of the weights for a training with that many samples: half of a short
// training, as in the demo, and a twentieth of a long one.
func halfLife(samples int) int { return max(min(samples/2, 22000), samples/20) }
