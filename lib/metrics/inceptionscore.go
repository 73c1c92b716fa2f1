package metrics

import (
	"fmt"

	"vapo/lib/linalg"
	"vapo/lib/portable"
)

// InceptionScoreResult is an Inception Score, with data to judge its quality.
type InceptionScoreResult struct {
	Mean     float64  `json:"mean"` // over the splits, from 1 to Classes
	Std      float64  `json:"std"`  // over the splits, dimensionless; the divisor is Splits
	Splits   int      `json:"splits"`
	N        int      `json:"-"`
	Classes  int      `json:"-"`
	Warnings []string `json:"-"`
}

// scoreBlock is the number of rows that are summed at a time by one core.
const scoreBlock = 256

// InceptionScore is exp(mean KL(p(y|x) || p(y))) of the class probabilities that a classifier assigns to images
// (Salimans et al. 2016, arXiv 1606.03498). Higher is better.
//
//	logits: [n, classes], row-major, finite, before the softmax
//
// p(y) is the mean of p(y|x) over a split. The splits are consecutive parts of the rows, as in the program of the
// paper: split i has the rows from i·n/splits to (i+1)·n/splits - 1. It is usual to divide 50,000 images into 10
// splits. Inception has logits for 1008 classes, which are taken without the bias of the last layer.
//
// The divergence is computed in float64 as H(p(y)) - mean H(p(y|x)). The relative error of the score is the absolute
// error of this difference, about 1e-14.
//
// Note: torch-fidelity first shuffles the rows with NumPy's generator, and so reports 11.23678 ± 0.0951 for the
// training images of CIFAR-10. This function does not shuffle. The images of CIFAR-10 and generated samples are already
// in random order. If images are sorted by class, the caller must shuffle them, because otherwise a split contains only
// a few classes.
func InceptionScore(logits []float32, classes, splits int) (InceptionScoreResult, error) {
	n, err := vectors("inception score", "logit", logits, classes, 1)
	if err != nil {
		return InceptionScoreResult{}, err
	}
	if splits < 1 || splits > n {
		return InceptionScoreResult{}, fmt.Errorf("inception score: %d splits of %d images, expected 1 to %d", splits, n, n)
	}
	r := InceptionScoreResult{N: n, Classes: classes, Splits: splits}
	if n/splits < 2*classes {
		r.Warnings = append(r.Warnings, fmt.Sprintf(
			"%d images a split for %d classes: the score is biased downward, compare only at this N and number of splits",
			n/splits, classes))
	}
	scores := make([]float64, splits)
	for s := range scores {
		lo, hi := s*n/splits, (s+1)*n/splits
		scores[s] = splitScore(logits[lo*classes:hi*classes], classes)
	}
	r.Mean, r.Std = meanStd(scores)
	return r, nil
}

// splitScore is the score of all rows of logits as one split.
func splitScore(logits []float32, classes int) float64 {
	n := len(logits) / classes
	blocks := make([]classSums, (n+scoreBlock-1)/scoreBlock)
	linalg.Parallel(len(blocks), func(b int) {
		blocks[b] = sumClasses(logits[b*scoreBlock*classes:min((b+1)*scoreBlock, n)*classes], classes)
	})
	total := classSums{p: make([]float64, classes)}
	for _, b := range blocks {
		total.negentropy += b.negentropy
		for c, v := range b.p {
			total.p[c] += v
		}
	}
	kl := total.negentropy / float64(n)
	for _, v := range total.p {
		if q := v / float64(n); q > 0 {
			kl -= float64(q * portable.Log(q))
		}
	}
	return portable.Exp(max(0, kl)) // in exact arithmetic, kl is never negative
}

// classSums holds sums over images: p is Σ p(y|x) for each class, and negentropy is Σ Σ p(y|x) log p(y|x) over all
// classes.
type classSums struct {
	p          []float64
	negentropy float64
}

func sumClasses(logits []float32, classes int) classSums {
	s := classSums{p: make([]float64, classes)}
	e := make([]float64, classes)
	for lo := 0; lo < len(logits); lo += classes {
		row := logits[lo : lo+classes]
		largest := float64(row[0])
		for _, v := range row {
			largest = max(largest, float64(v))
		}
		// log p = l - log Σ exp l, where l is the logit minus the largest one, is always finite.
		var sum, dot float64
		for c, v := range row {
			l := float64(v) - largest
			e[c] = portable.Exp(l)
			sum += e[c]
			dot += float64(e[c] * l)
		}
		for c, v := range e {
			s.p[c] += v / sum
		}
		s.negentropy += dot/sum - portable.Log(sum)
	}
	return s
}
