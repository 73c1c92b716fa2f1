package main

import (
	"context"
	"fmt"
	"io"
	"maps"
	"slices"

	"vapo/lib/artifact"
	"vapo/lib/program"
)

type duCmd struct{ jsonFlag }

// spaceReport gives sizes in bytes. The size of a run, ref or stage counts each of its blobs once, even if others need
// the same blob.
type spaceReport struct {
	document
	Kinds        []usage    `json:"kinds"` // totals over all objects
	Stages       []usage    `json:"stages"`
	Refs         []refSpace `json:"refs"`
	Runs         []runSpace `json:"runs"` // newest first
	Unreferenced int64      `json:"unreferenced"`
}

// space is the size of everything that a run or ref needs, and of the part that nothing else needs.
type space struct {
	Size int64 `json:"size"`
	Own  int64 `json:"own"`
}

type refSpace struct {
	Ref string `json:"ref"`
	space
}

type runSpace struct {
	Run    string `json:"run"`
	Recipe string `json:"recipe"`
	space
}

func (c *duCmd) Run(ctx context.Context, a *app, store *openStore) error {
	contents, runs, err := survey(ctx, store.Store)
	if err != nil {
		return err
	}
	out, err := measure(ctx, store.Store, contents, runs)
	if err != nil {
		return err
	}
	return c.print(a, out, func(w io.Writer) {
		usageTable(w, out.Kinds)
		fmt.Fprintln(w, "\nSTAGE\tACTIONS\tSIZE")
		for _, s := range out.Stages {
			fmt.Fprintf(w, "%s\t%d\t%s\n", s.Kind, s.Objects, program.Size(s.Size))
		}
		fmt.Fprintln(w, "\nREF\tSIZE\tOWN")
		for _, r := range out.Refs {
			fmt.Fprintf(w, "%s\t%s\t%s\n", r.Ref, program.Size(r.Size), program.Size(r.Own))
		}
		const most = 20
		fmt.Fprintln(w, "\nRUN\tSIZE\tOWN\tRECIPE")
		for _, r := range out.Runs[:min(most, len(out.Runs))] {
			fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", r.Run, program.Size(r.Size), program.Size(r.Own), r.Recipe)
		}
		if more := len(out.Runs) - most; more > 0 {
			fmt.Fprintf(w, "and %d older runs\n", more)
		}
		fmt.Fprintf(w, "\n%s belong to no run and no ref; pipeline store gc can free them\n", program.Size(out.Unreferenced))
	})
}

func measure(
	ctx context.Context, store *artifact.Store, contents *artifact.Contents, runs map[string]*past,
) (*spaceReport, error) {
	refs := map[string]artifact.Roots{}
	for name, d := range contents.Refs {
		refs[name] = contents.Roots(nil, []artifact.Digest{d})
	}
	sizes, err := store.Sizes(ctx, contents)
	if err != nil {
		return nil, err
	}
	set := contents.NewSet()
	all := func(needs artifact.Roots) *artifact.Set {
		set.Clear()
		set.Add(needs)
		return set
	}
	for _, needs := range refs {
		sizes.Use(all(needs))
	}
	for _, run := range runs {
		sizes.Use(all(run.needs))
	}
	out := &spaceReport{document: version1, Kinds: usages(sizes.Kinds), Stages: usages(sizes.Stages),
		Refs: []refSpace{}, Runs: []runSpace{}, Unreferenced: sizes.Unused()}
	for name, needs := range ordered(refs) {
		size, own := sizes.Of(all(needs))
		out.Refs = append(out.Refs, refSpace{artifact.Reference{Name: name}.String(), space{size, own}})
	}
	for _, id := range slices.Backward(slices.Sorted(maps.Keys(runs))) {
		size, own := sizes.Of(all(runs[id].needs))
		out.Runs = append(out.Runs, runSpace{id, runs[id].recipe, space{size, own}})
	}
	return out, nil
}
