// Package average makes it possible to choose the length of a moving average of the weights after training.
//
// The best length of the average can be found only by sampling and scoring, and it depends on all other settings.
// Training once per candidate would be too expensive. Therefore Karras et al. track a few averages, keep snapshots of
// them, and combine the snapshots linearly into any other average. Source: "Analyzing and Improving the Training
// Dynamics of Diffusion Models" (EDM2, arXiv 2312.02696, section 3.1 and appendix C).
//
// A profile is the family of averages whose length is a fixed fraction of the training so far. After step t, with
// t = 1 for the first step, the average becomes
//
//	average = beta(t)·average + (1-beta(t))·theta,  beta(t) = (1 - 1/t)^(gamma+1)
//
// After T steps, the weights theta of step t then contribute the integral from t-1 to t of the profile
//
//	p(s) = (gamma+1)·s^gamma / T^(gamma+1),  0 <= s <= T
//
// A profile is named by the standard deviation of s under p, as a fraction of T.
package average

import (
	"fmt"
	"math"

	"vapo/lib/portable"
)

// The smallest and the largest standard deviation of a profile. At 1/sqrt(12), about 0.289, all steps have the same
// weight; a longer average would favour the first steps.
const (
	MinStd = 0.001
	MaxStd = 0.28
)

// Gamma returns the exponent of the profile with a given relative standard deviation, from MinStd to MaxStd. It is the
// solution of
//
//	std = (gamma+1)^(1/2) · (gamma+2)^-1 · (gamma+3)^(-1/2),  gamma >= 0
//
// Source: EDM2, equation 123 and algorithm 2.
func Gamma(std float64) (float64, error) {
	if !(std >= MinStd && std <= MaxStd) {
		return 0, fmt.Errorf("the relative standard deviation of an average is %v, expected %v to %v", std, MinStd, MaxStd)
	}
	low, high := 0.0, 2/std // the standard deviation falls as gamma grows, and is below 1/gamma
	for {
		mid := float64((low + high) / 2)
		if mid <= low || mid >= high {
			return mid, nil
		}
		if mid+1 > std*std*(mid+2)*(mid+2)*(mid+3) { // the standard deviation for gamma = mid is larger than std
			low = mid
		} else {
			high = mid
		}
	}
}

// Decay returns beta(t), the share of the old average that remains after step t = 1, 2, ...
func Decay(gamma float64, t int64) float64 { return portable.Pow(1-1/float64(t), gamma+1) }

// profile is the function p(s) above for an exponent gamma, after T = steps steps.
type profile struct{ gamma, steps float64 }

// inner returns the integral of the product of two profiles (EDM2, algorithm 3, p_dot_p).
func inner(a, b profile) float64 {
	if a.steps < b.steps {
		a, b = b, a
	}
	overlap := portable.Pow(b.steps/a.steps, a.gamma)
	return (a.gamma + 1) * (b.gamma + 1) * overlap / ((a.gamma + b.gamma + 1) * a.steps)
}

// relative returns the norm of a profile's error as a fraction of the norm of the profile, from their squares.
func relative(squaredError, squaredNorm float64) float64 {
	return math.Sqrt(max(0, squaredError) / squaredNorm)
}
