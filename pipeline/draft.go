package main

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"path/filepath"
	"regexp"
	"strings"
	"time"

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

// drop removes the last paragraph of the comment at the top, which begins with the given words.
func (d *draft) drop(words string) {
	paragraph := regexp.MustCompile(`#\n# ` + words + `[^\n]*\n(# [^\n]*\n)*name: `)
	d.replace(paragraph.FindString(d.text), "name: ")
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
	text, _ := json.Marshal(s) // encoding a string cannot fail
	return string(text)
}

// seconds formats a measured time.
func seconds(s float64) string {
	if s < 1 {
		return fmt.Sprintf("%.3g ms", 1000*s)
	}
	return program.Duration(s)
}

// prices are the costs of the parts of a recipe, in seconds.
type prices struct {
	perStep, perSample, fixed float64
	block, n                  int // samples in a block, and samples that the template draws
}

// measure runs the draft twice, with few steps and samples and then with more, because later steps cost less than the
// first ones. The recipe later reuses the prepared data.
func (d *draft) measure(ctx context.Context, a *app, path string) (*prices, error) {
	stages, err := a.catalog()
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
	var runs []*runner.Run
	for _, size := range []int{1, 2} {
		r, err := recipe.Parse([]byte(d.text), path)
		if err != nil {
			return nil, err
		}
		for param, n := range d.probe(r, size) {
			if err := r.Set(fmt.Sprint(param, "=", n)); err != nil {
				return nil, err
			}
		}
		g, err := graph.Build(ctx, r, stages)
		if err != nil {
			return nil, err
		}
		run, err := work.Run(ctx, g, runner.Options{})
		if err != nil {
			return nil, err
		}
		runs = append(runs, run)
	}
	return d.prices(runs[0], runs[1])
}

// probe returns the parameters of a short run. The seed is new, because a cached step could not be measured.
func (d *draft) probe(r *recipe.Recipe, size int) map[string]int {
	set := map[string]int{"samples.n": size * d.probeN}
	for _, step := range []string{"potential", "classifier"} {
		if _, ok := r.Step(step); ok {
			set[step+".steps"], set[step+".seed"] = size*d.probeSteps, int(rand.Int32())
		}
	}
	return set
}

// prices compares a short run with one of twice its length. The additional time of a step in the second run is the
// price of its additional length. The rest of its time is fixed.
func (d *draft) prices(short, long *runner.Run) (*prices, error) {
	original, err := recipe.Parse([]byte(d.text), "")
	if err != nil {
		return nil, err
	}
	p := &prices{block: d.probeN, n: int(given(original, "samples", "n"))}
	for i, s := range short.Steps {
		more := max(0, long.Steps[i].Seconds-s.Seconds)
		switch s.Name {
		case "data": // cached, so it costs nothing later
			continue
		case "potential":
			if more == 0 { // other programs slowed down the short run: attribute all time to the training steps
				more = long.Steps[i].Seconds / 2
			}
			p.perStep = more / float64(d.probeSteps)
		case "classifier":
			p.fixed += more / float64(d.probeSteps) * given(original, s.Name, "steps")
		default: // samples and score
			p.perSample += more / float64(d.probeN)
		}
		p.fixed += max(0, s.Seconds-more)
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

// choice says how a budget is spent: on training steps, and on n samples.
type choice struct {
	steps, n int
	seconds  float64 // expected time of the whole recipe
}

// choose spends at most a fifth of the budget on samples, but draws at least one block, and spends the rest on
// training.
func (p *prices) choose(budget time.Duration) (choice, error) {
	blocks := math.Floor(budget.Seconds() / 5 / p.perSample / float64(p.block)) // infinite if a sample costs nothing
	c := choice{n: int(min(float64(p.n), max(1, blocks)*float64(p.block)))}
	other := p.fixed + float64(c.n)*p.perSample
	steps := (budget.Seconds() - other) / p.perStep
	if steps < 100 {
		need := time.Duration(other+100*p.perStep+1) * time.Second
		return c, failure.New(failure.Usage, fmt.Sprintf("--budget %v is enough for 100 steps, the minimum", need),
			"the budget of %v is too short: a training step takes %s and everything else %s", budget, seconds(p.perStep),
			seconds(other))
	}
	digits := math.Pow(10, math.Floor(math.Log10(steps))-1)
	c.steps = int(math.Floor(steps/digits) * digits)
	c.seconds = other + float64(c.steps)*p.perStep
	return c, nil
}

// halfLife returns the half-life of the average of the weights for a training on the given number of samples: half of a
// short training, as in the demo, and a twentieth of a long one.
func halfLife(samples int) int { return max(min(samples/2, 22000), samples/20) }
