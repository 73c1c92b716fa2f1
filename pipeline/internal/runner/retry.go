package runner

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/cenkalti/backoff/v5"

	"vapo/lib/failure"
	"vapo/lib/program"
	"vapo/pipeline/internal/graph"
)

// errTimeout is the cause of a context that ends because a step ran longer than its timeout.
var errTimeout = errors.New("timeout")

// passing lists the classes of temporary failures, which may disappear without a change to the recipe, its inputs or
// the programs: the store was unreachable, memory or disk space was short, or the stage was stopped, but not by the
// runner.
var passing = []failure.Class{failure.Store, failure.Resources, failure.Terminated}

// maxBackoff limits the growth of the pause between two attempts.
const maxBackoff = time.Hour

// pauses returns the pauses before the retries of a step. They double up to maxBackoff, and each is multiplied by a
// random factor from 0.5 to 1.5, so that many steps that failed together are not all tried again at once.
func pauses(first time.Duration) *backoff.ExponentialBackOff {
	b := backoff.NewExponentialBackOff()
	b.InitialInterval, b.MaxInterval = first, max(first, maxBackoff)
	b.Multiplier, b.RandomizationFactor = 2, 0.5
	b.Reset()
	return b
}

// persist carries out a step. After temporary failures, it tries again as often as the recipe allows.
func (a *attempt) persist(ctx context.Context, n *graph.Node, s *Step) error {
	limit, pause := n.Step.Retries.Limit, pauses(n.Step.Retries.Backoff)
	for retry := 1; ; retry++ {
		err := a.carryOut(ctx, n, s)
		if err == nil || ctx.Err() != nil || retry > limit || !slices.Contains(passing, failure.ClassOf(err)) {
			return err
		}
		f, wait := asFailure(s.Name, s.Stage, err), pause.NextBackOff()
		a.retries(ctx, s, f, wait, fmt.Sprintf("retry %d of %d in %s, after %s: %s",
			retry, limit, program.Duration(wait.Seconds()), ExitText(f.Code), f.Text))
		select {
		case <-ctx.Done():
			return fmt.Errorf("%w before the retry, after: %s", context.Cause(ctx), f.Text)
		case <-time.After(wait):
		}
	}
}

// retries records that a step will be tried again, and shows it.
func (a *attempt) retries(ctx context.Context, s *Step, f *Failure, wait time.Duration, text string) {
	a.mu.Lock()
	s.State, s.Reason = Waiting, text
	s.Retries = append(s.Retries, Retry{f.Code, f.Text, wait.Seconds()})
	a.mu.Unlock()
	_ = a.save(ctx) // a failure is only a warning
	a.Display.StepRetries(s)
	log, err := os.OpenFile(a.logFile(s), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return // the text is also in the history
	}
	defer log.Close()
	fmt.Fprintf(log, "pipeline: %s\n", text)
}

// logFile returns the path of a step's log.
func (a *attempt) logFile(s *Step) string {
	if a.opt.inJob() {
		return jobLog(a.opt.JobDir, s.Name)
	}
	return filepath.Join(a.RunDir(a.run.ID), s.Name+".log")
}
