package main

import (
	"context"
	"fmt"
	"strings"

	"vapo/lib/artifact"
	"vapo/lib/cachekey"
	"vapo/lib/contract"
	"vapo/pipeline/internal/report"
)

type lineageCmd struct {
	Artifact string `arg:"" help:"STEP.OUTPUT of a run, ref:NAME or sha256:…"`
	From     string `name:"run" help:"ID of the run of STEP.OUTPUT (default: the latest)." placeholder:"RUN"`
}

// maker is the action that made a blob. output is the name of the action's output that holds the blob.
type maker struct {
	key, output string
}

func (c *lineageCmd) Run(ctx context.Context, a *app, store *openStore) error {
	digest, err := find(ctx, store.Store, c.Artifact, c.From)
	if err != nil {
		return err
	}
	made, err := a.made(ctx, store)
	if err != nil {
		return err
	}
	// If several actions made the same blob, the earliest one is shown.
	makers := map[artifact.Digest]maker{}
	for key, m := range ordered(made) {
		for name, d := range ordered(m.Outputs) {
			if old, ok := makers[d]; !ok || m.Created.Before(made[old.key].Created) {
				makers[d] = maker{key, name}
			}
		}
	}
	return a.ancestry(ctx, store.Store, makers, digest, "", map[string]bool{})
}

// ancestry prints how the artifact digest was made, and recursively how its inputs were made, each with deeper
// indentation. seen holds the keys of actions that were printed already.
func (a *app) ancestry(
	ctx context.Context, store *artifact.Store, makers map[artifact.Digest]maker, digest artifact.Digest, indent string,
	seen map[string]bool,
) error {
	m, ok := makers[digest]
	if !ok {
		fmt.Fprintf(a.stdout, "%s%s  imported: not made by an action in this store\n", indent, digest)
		return nil
	}
	rec, err := store.Record(ctx, m.key)
	if err != nil {
		return err
	}
	action, err := cachekey.Parse(rec.Action)
	if err != nil {
		return err
	}
	fmt.Fprintf(a.stdout, "%s%s\n", indent, digest)
	indent += "  "
	backend := ""
	if action.Backend != "" {
		backend = " on " + action.Backend
	}
	fmt.Fprintf(a.stdout, "%soutput %s of %s version %d%s, action %.12s", indent, m.output, action.Stage,
		action.Version, backend, rec.Key)
	if seen[rec.Key] {
		fmt.Fprintln(a.stdout, " (see above)")
		return nil
	}
	seen[rec.Key] = true
	fmt.Fprintln(a.stdout)
	if manifest, err := contract.DecodeManifest(rec.Manifest); err == nil {
		fmt.Fprintf(a.stdout, "%smade %s in %s\n", indent, rec.Created.Local().Format("2006-01-02 15:04:05"),
			report.Duration(manifest.WallSeconds))
		for _, text := range manifest.Warnings {
			fmt.Fprintf(a.stdout, "%swarning: %s\n", indent, oneLine(text))
		}
	}
	var params []string
	for name, v := range ordered(action.Params) {
		params = append(params, strings.TrimPrefix(contract.Flags(map[string]any{name: v})[0], "--"))
	}
	if len(params) > 0 {
		fmt.Fprintf(a.stdout, "%swith %s\n", indent, strings.Join(params, " "))
	}
	for name, d := range ordered(action.Inputs) {
		fmt.Fprintf(a.stdout, "%s%s:\n", indent, name)
		if err := a.ancestry(ctx, store, makers, artifact.Digest(d), indent+"  ", seen); err != nil {
			return err
		}
	}
	return nil
}
