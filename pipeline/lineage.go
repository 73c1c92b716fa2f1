package main

import (
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"vapo/lib/artifact"
	"vapo/lib/cachekey"
	"vapo/lib/contract"
	"vapo/lib/program"
)

type lineageCmd struct {
	Artifact string `arg:"" help:"STEP.OUTPUT of a run, ref:NAME or sha256:…"`
	From     string `name:"run" help:"Run that STEP.OUTPUT belongs to (default: the latest)." placeholder:"RUN"`
	jsonFlag
}

// lineage says how an artifact was made. Artifacts lists the artifact itself, its inputs, their inputs and so on.
// Actions lists the actions that made them.
type lineage struct {
	document
	Artifact  artifact.Digest `json:"artifact"`
	Artifacts []origin        `json:"artifacts"`
	Actions   []madeBy        `json:"actions"`
}

// origin names the action that made an artifact. An artifact that was imported has no Action and no Output.
type origin struct {
	Digest artifact.Digest `json:"digest"`
	Action string          `json:"action,omitempty"` // key
	Output string          `json:"output,omitempty"`
}

type madeBy struct {
	Key      string                     `json:"key"`
	Stage    string                     `json:"stage"`
	Version  int                        `json:"version"`
	Backend  string                     `json:"backend,omitempty"`
	Created  time.Time                  `json:"created"`
	Seconds  float64                    `json:"seconds"`
	Params   map[string]any             `json:"params"`
	Inputs   map[string]artifact.Digest `json:"inputs,omitempty"`
	Warnings []string                   `json:"warnings,omitempty"`
}

func (c *lineageCmd) Run(ctx context.Context, a *app, store *openStore) error {
	digest, err := find(ctx, store.Store, c.Artifact, c.From)
	if err != nil {
		return err
	}
	// If several actions made the same blob, the earliest one is shown.
	type maker struct {
		origin
		created time.Time
	}
	makers := map[artifact.Digest]maker{}
	err = a.eachAction(ctx, store, func(key string, m artifact.Made) error {
		for name, d := range ordered(m.Outputs) {
			if old, ok := makers[d]; !ok || m.Created.Before(old.created) {
				makers[d] = maker{origin{d, key, name}, m.Created}
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	l := lineage{version1, digest, []origin{{Digest: digest}}, []madeBy{}}
	seenArtifacts, seenActions := map[artifact.Digest]bool{digest: true}, map[string]bool{}
	for i := 0; i < len(l.Artifacts); i++ { // the loop appends to l.Artifacts
		from, ok := makers[l.Artifacts[i].Digest]
		if !ok {
			continue
		}
		l.Artifacts[i] = from.origin
		if seenActions[from.Action] {
			continue
		}
		seenActions[from.Action] = true
		m, err := readAction(ctx, store.Store, from.Action)
		if err != nil {
			return err
		}
		l.Actions = append(l.Actions, *m)
		for _, d := range ordered(m.Inputs) {
			if !seenArtifacts[d] {
				seenArtifacts[d] = true
				l.Artifacts = append(l.Artifacts, origin{Digest: d})
			}
		}
	}
	return c.print(a, l, l.tree)
}

func readAction(ctx context.Context, store *artifact.Store, key string) (*madeBy, error) {
	rec, err := store.Record(ctx, key)
	if err != nil {
		return nil, err
	}
	action, err := cachekey.Parse(rec.Action)
	if err != nil {
		return nil, err
	}
	manifest, err := contract.DecodeManifest(rec.Manifest)
	if err != nil {
		return nil, err
	}
	inputs := map[string]artifact.Digest{}
	for name, d := range action.Inputs {
		inputs[name] = artifact.Digest(d)
	}
	return &madeBy{key, action.Stage, action.Version, action.Backend, rec.Created.UTC(), manifest.WallSeconds,
		action.Params, inputs, manifest.Warnings}, nil
}

// tree prints how the artifact was made and, with deeper indentation, how its inputs were made. It prints every action
// only once.
func (l lineage) tree(w io.Writer) {
	origins, actions := map[artifact.Digest]origin{}, map[string]madeBy{}
	for _, o := range l.Artifacts {
		origins[o.Digest] = o
	}
	for _, m := range l.Actions {
		actions[m.Key] = m
	}
	seen := map[string]bool{}
	var show func(digest artifact.Digest, indent string)
	show = func(digest artifact.Digest, indent string) {
		o := origins[digest]
		if o.Action == "" {
			fmt.Fprintf(w, "%s%s  imported: not made by an action in this store\n", indent, digest)
			return
		}
		fmt.Fprintf(w, "%s%s\n", indent, digest)
		indent += "  "
		m := actions[o.Action]
		backend := ""
		if m.Backend != "" {
			backend = " on " + m.Backend
		}
		fmt.Fprintf(w, "%soutput %s of %s version %d%s, action %.12s", indent, o.Output, m.Stage, m.Version, backend, m.Key)
		if seen[m.Key] {
			fmt.Fprintln(w, " (see above)")
			return
		}
		seen[m.Key] = true
		fmt.Fprintf(w, "\n%smade %s in %s\n", indent, local(m.Created), program.Duration(m.Seconds))
		for _, text := range m.Warnings {
			fmt.Fprintf(w, "%swarning: %s\n", indent, oneLine(text))
		}
		if len(m.Params) > 0 {
			fmt.Fprintf(w, "%swith", indent)
			for name, v := range ordered(m.Params) {
				fmt.Fprint(w, " ", strings.TrimPrefix(contract.Flags(map[string]any{name: v})[0], "--"))
			}
			fmt.Fprintln(w)
		}
		for name, d := range ordered(m.Inputs) {
			fmt.Fprintf(w, "%s%s:\n", indent, name)
			show(d, indent+"  ")
		}
	}
	show(l.Artifact, "")
}
