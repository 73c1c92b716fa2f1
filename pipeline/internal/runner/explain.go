package runner

import "vapo/lib/cachekey"

// Near is the earlier action that is most similar to an action without a cached result.
type Near struct {
	Run, Step string
	Key       string
	Diffs     []cachekey.FieldDiff
}

// Nearest returns the earlier action of the same stage that differs from a in the fewest fields. runs are newest first.
// If several actions differ in equally few fields, it prefers those of the same step, then those of the same recipe,
// and then the newest.
func Nearest(runs []*Run, recipeName, step string, a cachekey.Action) *Near {
	var best *Near
	bestScore := 0
	for _, run := range runs {
		for _, s := range run.Steps {
			if s.Shard != "" || s.Stage != a.Stage || len(s.Action) == 0 || s.State != Done && s.State != Cached {
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

// Unmade reports whether d is an input that differs only because it does not exist yet.
func Unmade(d cachekey.FieldDiff) bool { return d.Is == pendingDigest }
