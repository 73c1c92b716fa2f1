package runner

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"

	"vapo/lib/artifact"
	"vapo/lib/contract"
)

// A shard has no result of its own. It saves what it computes in the store as parts; only the stage knows their names.
// A mark, which is also a part, says that a shard is done, so that only the other shards run after a failure. If a
// collection has deleted parts of a shard but not its mark, the whole step computes these parts again.

// leaseKey returns the key of a step's lease. Each shard has its own lease, whose key is also that of the shard's mark.
func (d *Decision) leaseKey() string {
	if !d.Node.IsShard() {
		return d.Key
	}
	sum := sha256.Sum256([]byte(d.Key + " shard " + d.Node.Shard.String()))
	return hex.EncodeToString(sum[:])
}

// marked reports whether a shard of a step without a result is done.
func (r *Runner) marked(ctx context.Context, d *Decision) (bool, error) {
	if d.Key == "" {
		return false, nil // an input does not exist yet
	}
	_, err := r.Store.Part(ctx, d.leaseKey())
	if errors.Is(err, artifact.ErrNotFound) || errors.Is(err, artifact.ErrCorrupt) {
		return false, nil
	}
	return err == nil, err
}

// lookUpShard returns d if the shard has to be computed. Otherwise it finishes the shard and returns nil. There are no
// shards in a fresh run.
func (a *attempt) lookUpShard(ctx context.Context, d *Decision, s *Step) (*Decision, error) {
	d.Earlier = nil // only a whole step continues a shorter action
	if d.Hit != nil {
		a.mu.Lock()
		a.cached[d.Node.Whole().Name()] = true // the other shards need no look-up
		a.mu.Unlock()
	} else if marked, err := a.marked(ctx, d); !marked || err != nil {
		return d, err
	}
	a.finish(s, Cached, &contract.Manifest{}, nil)
	return nil, nil
}

// finishShard marks a shard as done.
func (a *attempt) finishShard(ctx context.Context, d *Decision, s *Step) error {
	if err := a.Store.SavePart(ctx, d.leaseKey(), []byte(d.Node.Shard.String())); err != nil {
		return err
	}
	a.finish(s, Done, &contract.Manifest{}, nil)
	return nil
}
