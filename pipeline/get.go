package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"strings"

	"vapo/lib/artifact"
	"vapo/lib/failure"
	"vapo/lib/program"
	"vapo/pipeline/internal/recipe"
	"vapo/pipeline/internal/runner"
)

type getCmd struct {
	Artifact string `arg:"" help:"STEP.OUTPUT of a run, ref:NAME or sha256:…"`
	File     string `arg:"" optional:"" help:"File to write (default: standard output)."`
	From     string `name:"run" help:"Run that STEP.OUTPUT belongs to (default: the latest)." placeholder:"RUN"`
}

func (c *getCmd) Run(ctx context.Context, a *app, store *openStore) error {
	digest, err := find(ctx, store.Store, c.Artifact, c.From)
	if err != nil {
		return err
	}
	if c.File != "" && c.File != "-" {
		if err := program.CheckTarget(c.File); err != nil {
			return err
		}
		if err := store.Fetch(ctx, digest, c.File); err != nil {
			return fmt.Errorf("%s: %w", c.Artifact, err)
		}
		return nil
	}
	if program.IsTerminal(a.raw.stdout) {
		return failure.New(failure.Usage, "name a file: pipeline get "+c.Artifact+" FILE",
			"artifacts are not written to a terminal")
	}
	r, err := store.Open(ctx, digest)
	if err != nil {
		return fmt.Errorf("%s: %w", c.Artifact, err)
	}
	defer r.Close()
	if _, err := io.Copy(a.raw.stdout, r); err != nil {
		return fmt.Errorf("%s: %w", c.Artifact, err)
	}
	return nil
}

// find returns the digest of an artifact given as STEP.OUTPUT, ref:NAME or sha256:…. run is the ID of the run that
// STEP.OUTPUT belongs to, or "" for the latest run.
func find(ctx context.Context, store *artifact.Store, text, run string) (artifact.Digest, error) {
	ref, err := artifact.ParseReference(text)
	if err != nil {
		return "", err
	}
	if ref.Stored() {
		digest, _, err := store.Resolve(ctx, ref)
		return digest, err
	}
	if !strings.Contains(text, ".") {
		return "", failure.New(failure.Usage, "for example score.score, ref:best or sha256:…", "%q names no artifact", text)
	}
	record, err := loadRun(ctx, store, run)
	if err != nil {
		return "", err
	}
	var all []string
	for _, s := range record.Steps {
		for name := range ordered(s.Outputs) {
			all = append(all, s.Name+"."+name)
		}
	}
	s, ok := record.Step(ref.Step)
	if !ok || s.Outputs[ref.Output].Digest == "" {
		hint := recipe.Suggest(text, all, "its outputs are")
		if record.State != runner.Done && run == "" {
			hint = "the state of that run is " + record.State +
				"; pipeline ls --run RUN lists an earlier run's outputs with digests"
		}
		return "", failure.New(failure.Input, hint, "run %s has no output %s", record.ID, text)
	}
	return artifact.Digest(s.Outputs[ref.Output].Digest), nil
}

type putCmd struct {
	What string `arg:"" name:"file" help:"File to store, or STEP.OUTPUT, ref:NAME or sha256:… to name with --ref."`
	Ref  string `help:"Name to give the artifact." placeholder:"NAME"`
}

func (c *putCmd) Run(ctx context.Context, a *app) error {
	if c.Ref != "" {
		if err := artifact.CheckRef(c.Ref); err != nil {
			return err
		}
	}
	store, err := a.openStore(ctx)
	if err != nil {
		return err
	}
	var digest artifact.Digest
	info, statErr := os.Stat(c.What)
	switch {
	case statErr == nil && info.Mode().IsRegular():
		show := newDisplay(a.raw.stderr)
		digest, _, err = store.PutFile(ctx, c.What, func(done, size int64) { show.Uploading(c.What, done, size) })
		show.close()
	case statErr == nil:
		err = failure.New(failure.Input, "", "%s is not a regular file", c.What)
	case strings.ContainsRune(c.What, '/'):
		err = failure.New(failure.Input, "", "%w", statErr)
	default:
		if digest, err = find(ctx, store.Store, c.What, ""); err != nil && !strings.Contains(c.What, ":") {
			err = failure.New(failure.ClassOf(err), failure.HintOf(err), "%s is not a file, and %w", c.What, err)
		}
	}
	if err != nil {
		return err
	}
	if c.Ref != "" {
		if err := store.SetRef(ctx, c.Ref, digest); err != nil {
			return err
		}
	}
	fmt.Fprintln(a.stdout, digest)
	return nil
}
