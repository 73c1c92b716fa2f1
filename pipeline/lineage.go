package main

import (
	"context"
	"errors"
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
	rec    *artifact.Record
	action cachekey.Action
	output string
}

func (c *lineageCmd) Run(ctx context.Context, a *app, store *openStore) error {
	digest, err := find(ctx, store.Store, c.Artifact, c.From)
	if err != nil {
		return err
	}
	// The store has no index from blobs to actions, so this reads every action record; the records are small. If several
	// actions made the same blob, the earliest one is shown.
	makers := map[artifact.Digest]maker{}
	for rec, err := range store.Records(ctx) {
		if errors.Is(err, artifact.ErrCorrupt) {
			fmt.Fprintf(a.stderr, "warning: %v\n", err)
			continue
		}
		if err != nil {
			return err
		}
		action, err := cachekey.Parse(rec.Action)
		if err != nil {
			continue
		}
		for name, d := range ordered(rec.Outputs) {
			if old, ok := makers[d]; !ok || rec.Created.Before(old.rec.Created) {
				makers[d] = maker{rec, action, name}
			}
		}
	}
	a.ancestry(makers, digest, "", map[string]bool{})
	return nil
}

// ancestry prints how the artifact digest was made, and recursively how its inputs were made, each with deeper
// indentation. seen holds the keys of actions that were printed already.
func (a *app) ancestry(makers map[artifact.Digest]maker, digest artifact.Digest, indent string, seen map[string]bool) {
	m, ok := makers[digest]
	if !ok {
		fmt.Fprintf(a.stdout, "%s%s  imported: not made by an action in this store\n", indent, digest)
		return
	}
	fmt.Fprintf(a.stdout, "%s%s\n", indent, digest)
	indent += "  "
	backend := ""
	if m.action.Backend != "" {
		backend = " on " + m.action.Backend
	}
	fmt.Fprintf(a.stdout, "%soutput %s of %s version %d%s, action %.12s", indent, m.output, m.action.Stage,
		m.action.Version, backend, m.rec.Key)
	if seen[m.rec.Key] {
		fmt.Fprintln(a.stdout, " (see above)")
		return
	}
	seen[m.rec.Key] = true
	fmt.Fprintln(a.stdout)
	if manifest, err := contract.DecodeManifest(m.rec.Manifest); err == nil {
		fmt.Fprintf(a.stdout, "%smade %s in %s\n", indent, m.rec.Created.Local().Format("2006-01-02 15:04:05"),
			report.Duration(manifest.WallSeconds))
		for _, text := range manifest.Warnings {
			fmt.Fprintf(a.stdout, "%swarning: %s\n", indent, oneLine(text))
		}
	}
	var params []string
	for name, v := range ordered(m.action.Params) {
		params = append(params, strings.TrimPrefix(contract.Flags(map[string]any{name: v})[0], "--"))
	}
	if len(params) > 0 {
		fmt.Fprintf(a.stdout, "%swith %s\n", indent, strings.Join(params, " "))
	}
	for name, d := range ordered(m.action.Inputs) {
		fmt.Fprintf(a.stdout, "%s%s:\n", indent, name)
		a.ancestry(makers, artifact.Digest(d), indent+"  ", seen)
	}
}
