package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"vapo/lib/artifact"
	"vapo/lib/failure"
	"vapo/pipeline/internal/runner"
)

type rmCmd struct {
	What string `arg:"" name:"run" help:"ID of a run, or ref:NAME."`
}

func (c *rmCmd) Run(ctx context.Context, a *app, store *openStore) error {
	if err := c.remove(ctx, a, store); err != nil {
		return err
	}
	fmt.Fprintf(a.stdout, "removed %s; pipeline store gc --delete frees what nothing else needs\n", c.What)
	return nil
}

func (c *rmCmd) remove(ctx context.Context, a *app, store *openStore) error {
	if strings.HasPrefix(c.What, "ref:") {
		ref, err := artifact.ParseReference(c.What)
		if err != nil {
			return err
		}
		if _, err := store.Ref(ctx, ref.Name); errors.Is(err, artifact.ErrNotFound) {
			return failure.New(failure.Input, "pipeline ls refs lists them", "the store has no ref %s", ref.Name)
		}
		return store.DeleteRef(ctx, ref.Name)
	}
	run, err := loadRun(ctx, store.Store, c.What)
	if failure.ClassOf(err) == failure.Integrity {
		return store.DeleteRun(ctx, c.What) // a damaged document need not be read to be deleted
	}
	if err != nil {
		return err
	}
	if alive, _ := a.runner(store, nil).Alive(run.ID); alive && run.State == runner.Running {
		return failure.New(failure.Usage, "stop it first", "run %s is still running", run.ID)
	}
	return store.DeleteRun(ctx, run.ID)
}
