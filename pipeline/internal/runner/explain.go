package runner

import "vapo/lib/cachekey"

// Near is the earlier action most like one that missed.
type Near struct {
	Run, Step string
	Key       string
	Diffs     []cachekey.FieldDiff
}

// Nearest looks through earlier runs, newest first, for the action that differs in the fewest fields from a. One of the
// same step of the same recipe wins over others that are as near; only actions of the same stage count.
func Nearest(runs []*Record, recipeName, step string, a cachekey.Action) *Near {
	var best *Near
	bestScore := 0
	for _, run := range runs {
		for _, s := range run.Steps {
			if s.Stage != a.Stage || len(s.Action) == 0 || s.State != Done && s.State != Cached {
				continue
			}
			was, err := cachekey.Parse(s.Action)
			if err != nil {
				continue
			}
			diffs := cachekey.Diff(was, a)
			score := 4 * len(diffs)
			if s.Name != step {
				score += 2
			}
			if run.Name != recipeName {
				score++
			}
			if best == nil || score < bestScore {
				best, bestScore = &Near{run.ID, s.Name, s.Key, diffs}, score
			}
		}
	}
	return best
}

// Unmade says whether a difference is only that an input is not made yet.
func Unmade(d cachekey.FieldDiff) bool { return d.Is == pendingDigest }
