package training

import (
	"fmt"
	"math"
)

// BinCount is the number of bins in Bins.
const BinCount = 10

// Bins are statistics of training samples by time, because a single loss hides where on the path a potential is still
// bad. Bin i covers the samples whose fraction u of the schedule's training variable is in [i/10, (i+1)/10);
// homotopy.Schedule.Draw maps u to a time. A resumed run continues identically if the Bins are stored as JSON with the
// checkpoint. The zero value is empty.
type Bins [BinCount]Bin

// Bin holds the sums of one bin. For Psi it holds the running mean and the sum of squares around the mean, which avoids
// the cancellation of plain sums of squares (Welford, Technometrics 4, 1962).
type Bin struct {
	Count     int64   `json:"count"`
	Loss      float64 `json:"loss"`    // sum of losses
	Squares   float64 `json:"squares"` // sum of mean squares of grad Psi
	Mean      float64 `json:"mean"`    // of Psi
	Around    float64 `json:"around"`  // sum of squares of Psi around its mean
	NonFinite int64   `json:"nonfinite,omitempty"`
}

// BinSummary is a bin in the form in which it is reported.
type BinSummary struct {
	From  float64 `json:"from"` // fractions of the training variable
	To    float64 `json:"to"`
	Count int64   `json:"count"` // number of samples; if it is 0, the values below are meaningless
	// Loss is the mean loss per dimension, without the weight of the sample's time.
	Loss float64 `json:"loss"`
	// GradRMS is the root mean square over samples and dimensions of grad_x Psi or, without a potential, of the output.
	GradRMS float64 `json:"grad_rms"`
	// Spread is the standard deviation of Psi over the bin's samples. Psi is determined only up to a function of time
	// (L6), so its mean is meaningless and values of different bins cannot be compared. If the function of time changes
	// much within a bin, the spread is meaningless too.
	Spread float64 `json:"spread"`
	// NonFinite counts the samples that the other fields exclude because one of their values was not finite.
	NonFinite int64 `json:"nonfinite,omitempty"`
}

// Add adds samples to their bins. u holds the samples' fractions of the training variable, in [0, 1), parallel to the
// slices of s.
func (b *Bins) Add(u []float64, s PerSample) error {
	if len(s.Losses) != len(u) || len(s.Squares) != len(u) || len(s.Values) != len(u) {
		return fmt.Errorf("time bins: got %d losses, %d squares and %d values for samples at %d times",
			len(s.Losses), len(s.Squares), len(s.Values), len(u))
	}
	for _, v := range u {
		if !(v >= 0 && v < 1) {
			return fmt.Errorf("time bins: a sample has the fraction %v of the training variable, expected a number in [0, 1)", v)
		}
	}
	for i, v := range u {
		// v·10 rounds to 10 for the largest v below 1.
		b[min(int(v*BinCount), BinCount-1)].add(float64(s.Losses[i]), float64(s.Squares[i]), float64(s.Values[i]))
	}
	return nil
}

func (b *Bin) add(loss, square, value float64) {
	if !finite(loss + square + value) { // the float64 sum of finite float32 values is finite
		b.NonFinite++
		return
	}
	n, d := float64(b.Count), value-b.Mean
	b.Count++
	b.Loss += loss
	b.Squares += square
	b.Mean += d / (n + 1)
	b.Around += d * d * n / (n + 1)
}

// Summary returns the statistics of every bin, in order.
func (b *Bins) Summary() []BinSummary {
	out := make([]BinSummary, BinCount)
	for i, v := range b {
		from, to := float64(i)/BinCount, float64(i+1)/BinCount
		out[i] = BinSummary{From: from, To: to, Count: v.Count, NonFinite: v.NonFinite}
		if n := float64(v.Count); n > 0 {
			out[i].Loss, out[i].GradRMS, out[i].Spread = v.Loss/n, math.Sqrt(v.Squares/n), math.Sqrt(v.Around/n)
		}
	}
	return out
}
