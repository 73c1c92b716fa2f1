package metrics

import (
	"cmp"
	"fmt"

	"vapo/lib/linalg"
)

// vectors returns the number of rows of x. It is an error if x is not a whole number of rows of d components, if a
// component is not finite, or if x has fewer than least rows. what and set name the metric and its argument in the
// message.
func vectors(what, set string, x []float32, d, least int) (int, error) {
	if d < 1 || len(x)%d != 0 {
		return 0, fmt.Errorf("%s: %s set of %d values is not a whole number of rows of %d", what, set, len(x), d)
	}
	n := len(x) / d
	if n < least {
		return 0, fmt.Errorf("%s: %s set of %d vectors, at least %d are needed", what, set, n, least)
	}
	for i, v := range x {
		if v-v != 0 {
			return 0, fmt.Errorf("%s: component %d of row %d of the %s set is %g", what, i%d, i/d, set, v)
		}
	}
	return n, nil
}

// meanRow returns the mean of the rows of x, [n, d]. It adds the rows in order.
func meanRow(x []float32, d int) []float64 {
	mean := make([]float64, d)
	for lo := 0; lo < len(x); lo += d {
		for j, v := range x[lo : lo+d] {
			mean[j] += float64(v)
		}
	}
	n := float64(len(x) / d)
	for j := range mean {
		mean[j] /= n
	}
	return mean
}

// momentsOfRows returns the moments of the rows of x, [n, d], that index lists. It adds the rows in the order of index.
func momentsOfRows(x []float32, d int, index []int) (*Moments, error) {
	m := NewMoments(d)
	rows := make([]float32, min(len(index), addBlock)*d)
	for lo := 0; lo < len(index); lo += addBlock {
		part := index[lo:min(lo+addBlock, len(index))]
		for k, i := range part {
			copy(rows[k*d:(k+1)*d], x[i*d:(i+1)*d])
		}
		if err := m.Add(rows[:len(part)*d]); err != nil {
			return nil, err
		}
	}
	return m, nil
}

// distancesAtOnce calls work(i) for each i < n and returns the error of the lowest i that fails. Parts of the
// computation of a Fréchet distance run on one core or wait for memory, so several distances are computed concurrently.
// Their number is limited, because each needs about eight matrices of d² values (0.3 GB for Inception features).
func distancesAtOnce(n int, work func(i int) error) error {
	const concurrent = 4
	errs := make([]error, n)
	for lo := 0; lo < n; lo += concurrent {
		linalg.Parallel(min(concurrent, n-lo), func(i int) { errs[lo+i] = work(lo + i) })
	}
	return cmp.Or(errs...)
}
