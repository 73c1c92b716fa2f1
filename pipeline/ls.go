package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"

	"vapo/lib/artifact"
	"vapo/pipeline/internal/report"
)

type lsCmd struct {
	What string `arg:"" optional:"" enum:"outputs,runs,refs,actions" default:"outputs" help:"What to list: ${enum}."`
	From string `name:"run" help:"ID of the run whose outputs are listed (default: the latest)." placeholder:"RUN"`
}

func (c *lsCmd) Run(ctx context.Context, a *app, store *openStore) error {
	w := tabwriter.NewWriter(a.stdout, 0, 0, 2, ' ', 0)
	var err error
	switch c.What {
	case "runs":
		err = a.lsRuns(ctx, store, w)
	case "refs":
		err = a.lsRefs(ctx, store.Store, w)
	case "actions":
		err = a.lsActions(ctx, store, w)
	default:
		err = lsOutputs(ctx, store.Store, c.From, w)
	}
	return errors.Join(err, w.Flush())
}

func lsOutputs(ctx context.Context, store *artifact.Store, id string, w *tabwriter.Writer) error {
	record, err := loadRun(ctx, store, id)
	if err != nil {
		return err
	}
	fmt.Fprintln(w, "OUTPUT\tSIZE\tMEDIA\tDIGEST")
	for _, s := range record.Steps {
		for name, out := range ordered(s.Outputs) {
			fmt.Fprintf(w, "%s.%s\t%s\t%s\t%s\n", s.Name, name, report.Size(out.Size), out.Media, out.Digest)
		}
	}
	return nil
}

// lsLimit is the largest number of runs that are listed.
const lsLimit = 100

func (a *app) lsRuns(ctx context.Context, store *openStore, w *tabwriter.Writer) error {
	records, err := a.recentRuns(ctx, store.Store, lsLimit)
	if err != nil {
		return err
	}
	fmt.Fprintln(w, "RUN\tRECIPE\tSTATE\tTIME\tSTARTED")
	for _, r := range records {
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\n", r.ID, r.Name, a.state(store, r), report.Duration(r.WallSeconds),
			r.Started.Local().Format("2006-01-02 15:04:05"))
	}
	return nil
}

func (a *app) lsRefs(ctx context.Context, store *artifact.Store, w *tabwriter.Writer) error {
	fmt.Fprintln(w, "REF\tUPDATED\tDIGEST")
	for r, err := range store.Refs(ctx) {
		if errors.Is(err, artifact.ErrCorrupt) {
			fmt.Fprintf(a.stderr, "warning: %v\n", err)
			continue
		}
		if err != nil {
			return err
		}
		updated := r.Updated.Local().Format("2006-01-02 15:04:05")
		fmt.Fprintf(w, "%s\t%s\t%s\n", artifact.Reference{Name: r.Name}, updated, r.Digest)
	}
	return nil
}

func (a *app) lsActions(ctx context.Context, store *openStore, w *tabwriter.Writer) error {
	made, err := a.made(ctx, store)
	if err != nil {
		return err
	}
	fmt.Fprintln(w, "KEY\tSTAGE\tMADE\tOUTPUTS")
	for key, m := range ordered(made) {
		fmt.Fprintf(w, "%s\t%s/%d\t%s\t%s\n", key, m.Stage, m.Version, m.Created.Local().Format("2006-01-02 15:04:05"),
			strings.Join(slices.Sorted(maps.Keys(m.Outputs)), " "))
	}
	return nil
}
