package runner

import "vapo/lib/cachekey"

// Near is the earlier action most similar to one that missed.
type Near struct {
	Run, Step string
	Key       string
	Diffs     []cachekey.FieldDiff
}

// Nearest finds the action of earlier runs, newest first, that differs from a in the fewest fields. Only actions of the
// same stage count. Among equals it prefers one of the same step and recipe.
func Nearest(runs []*Run, recipeName, step string, a cachekey.Action) *Near {
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

// Unmade reports whether a difference is only that an input does not exist yet.
func Unmade(d cachekey.FieldDiff) bool { return d.Is == pendingDigest }
