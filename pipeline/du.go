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
	Kinds        []usage    `json:"kinds"` // of all objects
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
	out := measure(contents, runs)
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

func measure(contents *artifact.Contents, runs map[string]*past) *spaceReport {
	out := &spaceReport{document: version1, Kinds: usages(contents.Usage), Refs: []refSpace{}, Runs: []runSpace{}}
	stages := map[string]artifact.Usage{}
	made := map[string]map[artifact.Digest]bool{}
	for _, action := range contents.Actions {
		if made[action.Stage] == nil {
			made[action.Stage] = map[artifact.Digest]bool{}
		}
		u := stages[action.Stage]
		u.Objects++
		for _, d := range action.Outputs {
			if !made[action.Stage][d] {
				made[action.Stage][d] = true
				u.Bytes += contents.Blobs[d].Size
			}
		}
		stages[action.Stage] = u
	}
	out.Stages = usages(stages)

	users := map[artifact.Digest]int{} // of each blob: how many runs and refs lead to it
	count := func(s *artifact.Set) {
		for d := range s.Blobs {
			users[d]++
		}
	}
	named := func(d artifact.Digest) *artifact.Set {
		s := artifact.NewSet()
		contents.AddBlob(s, d)
		return s
	}
	for _, d := range contents.Refs {
		count(named(d))
	}
	for _, run := range runs {
		count(run.reach(contents, artifact.NewSet()))
	}
	sizes := func(of *artifact.Set) (sp space) {
		for d := range of.Blobs {
			size := contents.Blobs[d].Size
			sp.Size += size
			if users[d] == 1 {
				sp.Own += size
			}
		}
		return sp
	}
	for name, d := range ordered(contents.Refs) {
		out.Refs = append(out.Refs, refSpace{artifact.Reference{Name: name}.String(), sizes(named(d))})
	}
	for _, id := range slices.Backward(slices.Sorted(maps.Keys(runs))) {
		needs := runs[id].reach(contents, artifact.NewSet())
		out.Runs = append(out.Runs, runSpace{id, runs[id].recipe, sizes(needs)})
	}
	for d, info := range contents.Blobs {
		if users[d] == 0 {
			out.Unreferenced += info.Size
		}
	}
	return out
}
