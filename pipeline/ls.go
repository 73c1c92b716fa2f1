package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"vapo/lib/artifact"
	"vapo/lib/program"
	"vapo/pipeline/internal/runner"
)

type lsCmd struct {
	What string `arg:"" optional:"" enum:"outputs, runs, refs, actions" default:"outputs" help:"What to list: ${enum}."`
	From string `name:"run" help:"ID of the run whose outputs are listed (default: the latest)." placeholder:"RUN"`
	jsonFlag
}

func (c *lsCmd) Run(ctx context.Context, a *app, store *openStore) error {
	switch c.What {
	case "runs":
		return c.runs(ctx, a, store)
	case "refs":
		return c.refs(ctx, a, store)
	case "actions":
		return c.actions(ctx, a, store)
	}
	return c.outputs(ctx, a, store)
}

type outputList struct {
	document
	Run     string       `json:"run"`
	Outputs []outputItem `json:"outputs"`
}

type outputItem struct {
	Output string `json:"output"`
	Size   int64  `json:"size"`
	Media  string `json:"media"`
	Digest string `json:"digest"`
}

func (c *lsCmd) outputs(ctx context.Context, a *app, store *openStore) error {
	run, err := loadRun(ctx, store.Store, c.From)
	if err != nil {
		return err
	}
	list := outputList{version1, run.ID, []outputItem{}}
	for _, s := range run.Steps {
		for name, out := range ordered(s.Outputs) {
			list.Outputs = append(list.Outputs, outputItem{s.Name + "." + name, out.Size, out.Media, out.Digest})
		}
	}
	return c.print(a, list, func(w io.Writer) {
		fmt.Fprintln(w, "OUTPUT\tSIZE\tMEDIA\tDIGEST")
		for _, o := range list.Outputs {
			fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", o.Output, program.Size(o.Size), o.Media, o.Digest)
		}
	})
}

// lsLimit is the largest number of runs that are listed.
const lsLimit = 100

type runList struct {
	document
	Runs []runItem `json:"runs"`
}

type runItem struct {
	Run     string    `json:"run"`
	Recipe  string    `json:"recipe"`
	State   string    `json:"state"`
	Seconds float64   `json:"seconds"`
	Started time.Time `json:"started"`
}

func (a *app) item(store *openStore, r *runner.Run) runItem {
	return runItem{r.ID, r.Name, a.state(store, r), r.WallSeconds, r.Started.UTC()}
}

func (c *lsCmd) runs(ctx context.Context, a *app, store *openStore) error {
	runs, err := a.recentRuns(ctx, store.Store, lsLimit)
	if err != nil {
		return err
	}
	list := runList{version1, []runItem{}}
	for _, r := range runs {
		list.Runs = append(list.Runs, a.item(store, r))
	}
	return c.print(a, list, func(w io.Writer) {
		fmt.Fprintln(w, "RUN\tRECIPE\tSTATE\tTIME\tSTARTED")
		for _, r := range list.Runs {
			fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\n", r.Run, r.Recipe, r.State, program.Duration(r.Seconds), local(r.Started))
		}
	})
}

type refList struct {
	document
	Refs []refItem `json:"refs"`
}

type refItem struct {
	Ref     string          `json:"ref"`
	Updated time.Time       `json:"updated"`
	Digest  artifact.Digest `json:"digest"`
}

func (c *lsCmd) refs(ctx context.Context, a *app, store *openStore) error {
	list := refList{version1, []refItem{}}
	for r, err := range store.Refs(ctx) {
		if errors.Is(err, artifact.ErrCorrupt) {
			fmt.Fprintf(a.stderr, "warning: %v\n", err)
			continue
		}
		if err != nil {
			return err
		}
		list.Refs = append(list.Refs, refItem{artifact.Reference{Name: r.Name}.String(), r.Updated.UTC(), r.Digest})
	}
	return c.print(a, list, func(w io.Writer) {
		fmt.Fprintln(w, "REF\tUPDATED\tDIGEST")
		for _, r := range list.Refs {
			fmt.Fprintf(w, "%s\t%s\t%s\n", r.Ref, local(r.Updated), r.Digest)
		}
	})
}

type actionList struct {
	document
	Actions []actionItem `json:"actions"`
}

type actionItem struct {
	Key     string                     `json:"key"`
	Stage   string                     `json:"stage"`
	Version int                        `json:"version"`
	Created time.Time                  `json:"created"`
	Outputs map[string]artifact.Digest `json:"outputs"`
}

func (c *lsCmd) actions(ctx context.Context, a *app, store *openStore) error {
	if c.JSON {
		return a.printList(actionList{version1, []actionItem{}}, func(item func(any) error) error {
			return a.eachAction(ctx, store, func(key string, m artifact.Made) error {
				return item(actionItem{key, m.Stage, m.Version, m.Created.UTC(), m.Outputs})
			})
		})
	}
	var err error
	return errors.Join(c.print(a, nil, func(w io.Writer) {
		fmt.Fprintln(w, "KEY\tSTAGE\tMADE\tOUTPUTS")
		err = a.eachAction(ctx, store, func(key string, m artifact.Made) error {
			fmt.Fprintf(w, "%s\t%s/%d\t%s\t%s\n", key, m.Stage, m.Version, local(m.Created),
				strings.Join(slices.Sorted(maps.Keys(m.Outputs)), " "))
			return nil
		})
	}), err)
}
