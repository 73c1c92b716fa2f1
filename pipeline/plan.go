package main

import (
	"context"
	"fmt"
	"strings"

	"vapo/pipeline/internal/report"
	"vapo/pipeline/internal/runner"
)

type planCmd struct {
	recipeFlags
	Verbose bool `short:"v" help:"Also show the key of each step and its fields."`
}

// explainRuns is the largest number of earlier runs with which a cache miss is compared.
const explainRuns = 50

func (c *planCmd) Run(ctx context.Context, a *app) error {
	g, err := c.load(ctx, a)
	if err != nil {
		return err
	}
	store, err := a.ProvideStore(ctx)
	if err != nil {
		return err
	}
	decisions, err := a.runner(store, nil).Plan(ctx, g)
	if err != nil {
		return err
	}
	var runs []*runner.Run
	var width, hits int
	for _, d := range decisions {
		width = max(width, len(d.Node.Name())+len(d.Node.Stage.Stage)+2)
		if d.Hit != nil {
			hits++
		} else if runs == nil {
			if runs, err = a.recentRuns(ctx, store.Store, explainRuns); err != nil {
				return err
			}
		}
	}
	for _, d := range decisions {
		title := fmt.Sprintf("%-*s", width, d.Node.Name()+"  "+d.Node.Stage.Stage)
		if d.Hit != nil {
			fmt.Fprintf(a.stdout, "%s  hit   made %s in %s\n", title, d.Hit.Created.Local().Format("2006-01-02 15:04"),
				report.Duration(d.Made.WallSeconds))
		} else {
			c.miss(a, d, title, runner.Nearest(runs, g.Recipe.Name, d.Node.Name(), d.Action))
		}
		if c.Verbose {
			if d.Key != "" {
				fmt.Fprintf(a.stdout, "    key %s\n", d.Key)
			}
			if preimage, err := d.Action.Preimage(); err == nil {
				fmt.Fprintf(a.stdout, "    %s\n", strings.ReplaceAll(strings.TrimSpace(string(preimage)), "\n", "\n    "))
			}
		}
	}
	fmt.Fprintf(a.stdout, "%d of %d steps are cached\n", hits, len(decisions))
	return nil
}

// miss prints why a step has no cached result.
func (c *planCmd) miss(a *app, d *runner.Decision, title string, near *runner.Near) {
	switch {
	case d.Reason != "":
		fmt.Fprintf(a.stdout, "%s  miss  %s\n", title, d.Reason)
		return
	case near == nil:
		fmt.Fprintf(a.stdout, "%s  miss  no run of stage %s is known\n", title, d.Node.Stage.Stage)
	case len(near.Diffs) == 0:
		fmt.Fprintf(a.stdout, "%s  miss  run %s made it, but its record is gone from the store\n", title, near.Run)
	default:
		fmt.Fprintf(a.stdout, "%s  miss  compared with step %s of run %s:\n", title, near.Step, near.Run)
		for _, diff := range near.Diffs {
			if runner.Unmade(diff) {
				continue // the loop over d.Inputs below reports it
			}
			fmt.Fprintf(a.stdout, "    %s\n", diff)
		}
	}
	if text := d.Continues(); text != "" {
		fmt.Fprintf(a.stdout, "    %s\n", text)
	}
	for name, in := range ordered(d.Inputs) {
		if in.Digest == "" {
			fmt.Fprintf(a.stdout, "    inputs.%s: %s has to be made first; this may still be a hit\n", name,
				in.From)
		}
	}
}
