package runner

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"vapo/lib/artifact"
	"vapo/lib/cachekey"
	"vapo/lib/contract"
	"vapo/lib/objectstore"
	"vapo/pipeline/internal/graph"
	"vapo/pipeline/internal/recipe"
)

// Decision holds what is known about a step before it runs.
type Decision struct {
	Node   *graph.Node
	Action cachekey.Action
	Key    string             // cache key; "" while an input is pending
	Inputs map[string]Input   // an input that does not exist yet has Digest ""
	Hit    *artifact.Record   // cached result; nil on a miss
	Made   *contract.Manifest // manifest of Hit
	Reason string             // reason for a miss, if the store shows one
	Wait   []string           // steps whose outputs are not known yet

	Skip    string // why the step will not run; the other fields but Node are then empty
	Unknown string // a comparison in the step's condition whose score does not exist yet, or ""

	Series        string           // key shared by actions that differ only in length; "" if the stage has no series
	Length        int64            // length of this action, for example its training steps
	Earlier       *artifact.Record // on a miss: longest shorter action with a complete result in the store
	EarlierLength int64

	done bool // the step needs no job, although Hit may be nil

	env []string // variables for the stage, from the capacity that the step got
}

// Lacks describes what the step asks for and this machine does not have. It returns "" if the machine has everything.
func (d *Decision) Lacks() string { return machine().lacks(d.Node.Step.Resources) }

// Continues describes the shorter action from which a step without a cached result will continue. It returns "" if
// the step will start from the beginning.
func (d *Decision) Continues() string {
	if d.Earlier == nil {
		return ""
	}
	return fmt.Sprintf("continues after %d %s of action %.12s", d.EarlierLength, d.Node.Stage.Length, d.Earlier.Key)
}

// pendingDigest is the placeholder for the digest of an output that does not exist yet.
const pendingDigest = "not made yet"

// outputs maps each step that has a result to its outputs, by name.
type outputs map[string]map[string]contract.Output

// decide computes the key of a step and looks up its result. If keep is set, it imports local files into the store;
// otherwise it only computes their digests.
func (r *Runner) decide(ctx context.Context, n *graph.Node, made outputs, keep bool) (*Decision, error) {
	d := &Decision{Node: n, Inputs: map[string]Input{}}
	digests := map[string]string{}
	for _, name := range slices.Sorted(maps.Keys(n.Sources)) {
		src := n.Sources[name]
		digest, err := r.digest(ctx, src, made, keep)
		if err != nil {
			return nil, located(src.Pos, fmt.Errorf("input %s: %w", name, err))
		}
		d.Inputs[name] = Input{src.String(), digest}
		if digest == "" {
			d.Wait = append(d.Wait, src.Step)
			digest = pendingDigest
		}
		digests[name] = digest
	}
	d.Action = n.Stage.Action(n.Params, digests)
	if len(d.Wait) > 0 {
		slices.Sort(d.Wait)
		d.Wait = slices.Compact(d.Wait)
		return d, nil
	}
	var err error
	if d.Key, err = d.Action.Key(); err != nil {
		return nil, fmt.Errorf("step %s: %w", n.Name(), err)
	}
	d.Series, d.Length, _ = n.Stage.Series(n.Params, digests)
	if err := r.lookUp(ctx, d); err != nil || d.Hit != nil || d.Series == "" {
		return d, err
	}
	if err := r.headStart(ctx, d, d.Length); err != nil {
		return nil, fmt.Errorf("step %s: %w", n.Name(), err)
	}
	return d, nil
}

// headStart sets d.Earlier to the longest of the actions in the step's series whose length is less than below, if there
// is one.
func (r *Runner) headStart(ctx context.Context, d *Decision, below int64) (err error) {
	d.Earlier, d.EarlierLength, err = r.Store.LongestBelow(ctx, d.Series, below)
	if errors.Is(err, artifact.ErrNotFound) {
		return nil
	}
	return err
}

// located adds a recipe position to an error.
func located(pos recipe.Pos, err error) error {
	return fmt.Errorf("%s: %w", pos, err)
}

// digest returns the digest of an input, or "" if the input does not exist yet.
func (r *Runner) digest(ctx context.Context, src graph.Source, made outputs, keep bool) (string, error) {
	switch {
	case src.Step != "":
		return made[src.Step][src.Output].Digest, nil
	case src.Imported != "":
		src.Reference = artifact.Reference{Digest: src.Imported}
	case src.Path != "":
		return r.file(ctx, src.Path, keep)
	}
	digest, _, err := r.Store.Resolve(ctx, src.Reference)
	if err == nil && keep {
		err = r.Store.Retain(ctx, digest)
	}
	return string(digest), err
}

// checkReferences looks up every input that the recipe takes from the store. A wrong reference in the last step must
// not cost the time of the steps before it.
func (r *Runner) checkReferences(ctx context.Context, g *graph.Graph) error {
	for _, n := range g.Nodes {
		for _, name := range slices.Sorted(maps.Keys(n.Sources)) {
			src := n.Sources[name]
			if !src.Stored() {
				continue
			}
			if _, _, err := r.Store.Resolve(ctx, src.Reference); err != nil {
				return located(src.Pos, fmt.Errorf("step %s: input %s: %w", n.Name(), name, err))
			}
		}
	}
	return nil
}

// lookUp makes the decision a hit if the store has the action's record and every output. Otherwise it sets d.Reason,
// unless there is no record.
func (r *Runner) lookUp(ctx context.Context, d *Decision) error {
	rec, err := r.Store.Record(ctx, d.Key)
	if errors.Is(err, objectstore.ErrNotFound) {
		return nil
	}
	if errors.Is(err, artifact.ErrCorrupt) { // publishing a new result replaces the record
		d.Reason = "the record of the action is damaged"
		return nil
	}
	if err != nil {
		return fmt.Errorf("step %s: %w", d.Node.Name(), err)
	}
	manifest, err := contract.DecodeManifest(rec.Manifest)
	if err != nil {
		return fmt.Errorf("step %s: %w", d.Node.Name(), err)
	}
	d.Reason, err = r.Store.Missing(ctx, manifest)
	if err != nil {
		return fmt.Errorf("step %s: %w", d.Node.Name(), err)
	}
	for _, p := range d.Node.Stage.Outputs {
		if _, ok := manifest.Outputs[p.Name]; !ok && !p.Optional {
			d.Reason = fmt.Sprintf("the record of the action has no output %s", p.Name)
		}
	}
	if d.Reason != "" {
		return nil
	}
	d.Hit, d.Made = rec, manifest
	return nil
}
