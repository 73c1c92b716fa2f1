package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"vapo/lib/artifact"
	"vapo/lib/failure"
	"vapo/lib/program"
	"vapo/pipeline/internal/runner"
)

type gcCmd struct {
	KeepLast   *int   `help:"Keep only the last N runs of each recipe, and those of --keep-within." placeholder:"N"`
	KeepWithin *age   `help:"Keep only runs younger than this, and those of --keep-last." placeholder:"30d"`
	Recipe     string `help:"Drop only runs of this recipe." placeholder:"NAME"`
	PartsAge   age    `name:"parts-within" help:"Keep intermediate values younger than this." default:"30d"`
	Grace      age    `help:"Delete nothing younger than this. Below 24h, nothing else may use the store." default:"24h"`
	Delete     bool   `help:"Delete. Without this flag, the command only shows what it would delete."`
	jsonFlag
}

// age is a flag for a duration that may be in days, such as 30d.
type age time.Duration

func (a *age) UnmarshalText(text []byte) error {
	s := string(text)
	d, err := time.ParseDuration(s)
	if days, ok := strings.CutSuffix(s, "d"); ok {
		var n float64
		n, err = strconv.ParseFloat(days, 64)
		d = time.Duration(n * 24 * float64(time.Hour))
	}
	if err != nil || d < 0 {
		return fmt.Errorf("%q is not a duration such as 30d or 12h", s)
	}
	*a = age(d)
	return nil
}

type gcReport struct {
	document
	Deleted  bool    `json:"deleted"` // false: only shown
	KeptRuns int     `json:"kept_runs"`
	Freed    []usage `json:"freed"`
}

// usage counts the objects of a kind. The kind is the first element of their keys, or "uploads" for unfinished uploads.
// In a list of stages, the kind is the name of a stage, and the objects are its actions.
type usage struct {
	Kind    string `json:"kind"`
	Objects int    `json:"objects"`
	Size    int64  `json:"size"`
}

func usages(of map[string]artifact.Usage) []usage {
	out := []usage{}
	for kind, u := range ordered(of) {
		out = append(out, usage{kind, u.Objects, u.Bytes})
	}
	return out
}

func (c *gcCmd) Run(ctx context.Context, a *app, store *openStore) error {
	if c.Recipe != "" && c.KeepLast == nil && c.KeepWithin == nil {
		return failure.New(failure.Usage, "add --keep-last or --keep-within", "--recipe alone drops no runs")
	}
	contents, runs, err := survey(ctx, store.Store)
	if err != nil {
		return err
	}
	what := artifact.Collection{
		Drop: map[string]artifact.Roots{}, Grace: time.Duration(c.Grace), Parts: time.Duration(c.PartsAge), Delete: c.Delete,
	}
	for id, drop := range c.drops(contents, runs) {
		if drop {
			what.Drop[id] = runs[id].needs
		} else {
			what.Keep = append(what.Keep, runs[id].needs)
		}
	}
	counts, err := store.Collect(ctx, contents, what)
	if err != nil {
		return err
	}
	out := gcReport{version1, c.Delete, len(runs) - len(what.Drop), usages(counts)}
	return c.print(a, out, func(w io.Writer) {
		fmt.Fprintf(w, "%d of %d runs and %d refs are kept, with everything they need\n", out.KeptRuns, len(runs),
			len(contents.Refs))
		switch {
		case len(out.Freed) == 0:
			fmt.Fprintln(w, "nothing to free")
		case c.Delete:
			fmt.Fprintln(w, "freed:")
			usageTable(w, out.Freed)
		default:
			fmt.Fprintln(w, "would free:")
			usageTable(w, out.Freed)
			fmt.Fprintln(w, "nothing was deleted; add --delete to delete these objects")
		}
	})
}

func usageTable(w io.Writer, kinds []usage) {
	fmt.Fprintln(w, "KIND\tOBJECTS\tSIZE")
	total := usage{Kind: "total"}
	for _, u := range kinds {
		fmt.Fprintf(w, "%s\t%d\t%s\n", u.Kind, u.Objects, program.Size(u.Size))
		total.Objects, total.Size = total.Objects+u.Objects, total.Size+u.Size
	}
	fmt.Fprintf(w, "%s\t%d\t%s\n", total.Kind, total.Objects, program.Size(total.Size))
}

// drops reports for each run whether to drop it. Without --keep-last and --keep-within, it drops none. It never drops a
// run that is younger than the grace period or still working.
func (c *gcCmd) drops(contents *artifact.Contents, runs map[string]*past) map[string]bool {
	drop, seen := map[string]bool{}, map[string]int{}
	for _, id := range slices.Backward(slices.Sorted(maps.Keys(runs))) { // newest first, because IDs begin with the time
		run := runs[id]
		old := contents.Now.Sub(contents.Runs[id])
		seen[run.recipe]++
		last := c.KeepLast != nil && seen[run.recipe] <= *c.KeepLast
		within := c.KeepWithin != nil && old <= time.Duration(*c.KeepWithin)
		drop[id] = (c.KeepLast != nil || c.KeepWithin != nil) && !last && !within &&
			(c.Recipe == "" || c.Recipe == run.recipe) && old > time.Duration(c.Grace) && !contents.Working[id]
	}
	return drop
}

// past holds what garbage collection and size reports need to know about a stored run.
type past struct {
	recipe string
	needs  artifact.Roots
}

// survey reads the whole store except blobs.
func survey(ctx context.Context, store *artifact.Store) (*artifact.Contents, map[string]*past, error) {
	contents, err := store.Contents(ctx)
	if err != nil {
		return nil, nil, unsound(err)
	}
	runs := map[string]*past{}
	var mu sync.Mutex
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(16)
	for id := range contents.Runs {
		group.Go(func() error {
			data, err := store.Run(ctx, id)
			if errors.Is(err, artifact.ErrNotFound) {
				return nil // deleted after it was listed
			}
			if err != nil {
				return err
			}
			run, err := runner.DecodeRun(id, data)
			if err != nil {
				return err
			}
			var actions []string
			var blobs []artifact.Digest
			for _, s := range run.Steps {
				actions = append(actions, s.Key)
				for _, in := range s.Inputs {
					blobs = append(blobs, artifact.Digest(in.Digest))
				}
				for _, out := range s.Outputs {
					blobs = append(blobs, artifact.Digest(out.Digest))
				}
			}
			p := &past{run.Name, contents.Roots(actions, blobs)}
			mu.Lock()
			defer mu.Unlock()
			runs[id] = p
			return nil
		})
	}
	return contents, runs, unsound(group.Wait())
}

// unsound adds a hint to the error about a damaged document. Since it is unknown what the document refers to, nothing
// may be deleted.
func unsound(err error) error {
	if failure.ClassOf(err) == failure.Integrity {
		const hint = "pipeline store check --deep --repair moves damaged objects aside"
		return failure.New(failure.Integrity, hint, "cannot tell which objects are needed: %w", err)
	}
	return err
}
