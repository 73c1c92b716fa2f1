package runner

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"os/user"
	"time"

	"vapo/lib/artifact"
	"vapo/lib/failure"
)

// releaseTimeout bounds the time to release a lease. A lease that is not released expires.
const releaseTimeout = 10 * time.Second

// underLease calls work while it holds the lease of the step's action, so that no other runner works on the action. It
// returns done == false if another runner held or took over the lease; the caller must then look for that runner's
// result and may try again.
func (a *attempt) underLease(
	ctx context.Context, key string, s *Step, work func(ctx context.Context, lease string) error,
) (done bool, err error) {
	lease, held, err := a.Store.Acquire(ctx, key, a.holder(), artifact.LeaseWait{
		Held: func(h artifact.Holder) error {
			if a.opt.NoWait && h.Run != a.run.ID { // equal steps of one run share the work
				const hint = "wait until it ends, or omit --no-wait"
				return failure.New(failure.Busy, hint, "step %s: another run works on it: %v", s.Name, h)
			}
			a.waiting(ctx, s, fmt.Sprintf("for %v", h))
			return nil
		},
		Ended: func(h artifact.Holder) bool {
			alive, known := a.Alive(h.Run)
			return known && !alive
		},
	})
	if err != nil || lease == nil {
		return false, err
	}
	err = work(held, lease.ID())
	end, cancel := context.WithTimeout(context.WithoutCancel(ctx), releaseTimeout)
	defer cancel()
	// A stage may notice first that the lease is lost. Its exit code is not enough, because then a stage that always ends
	// with this code would be started forever.
	lost := errors.Is(context.Cause(held), artifact.ErrLeaseLost) ||
		failure.ClassOf(err) == failure.Busy && lease.Lost(end)
	lease.Release(end)
	if err != nil && lost && ctx.Err() == nil {
		a.warn(fmt.Sprintf("step %s was stopped: %v", s.Name, artifact.ErrLeaseLost))
		return false, nil
	}
	return true, err
}

// waiting shows that a step waits for another run.
func (a *attempt) waiting(ctx context.Context, s *Step, reason string) {
	a.mu.Lock()
	s.State, s.Reason = Waiting, reason
	a.mu.Unlock()
	_ = a.save(ctx) // a failure is only a warning
	a.Display.StepWaiting(s)
}

// holder describes this runner to others.
func (a *attempt) holder() artifact.Holder {
	name := "somebody"
	if u, err := user.Current(); err == nil {
		name = u.Username
	}
	host := cmp.Or(a.opt.Place.Host, "an unknown machine")
	return artifact.Holder{Run: a.run.ID, Who: name + " at " + host, Process: os.Getpid()}
}
