package dataset

import (
	"encoding/json"
	"fmt"
	"math"
	"slices"

	"vapo/lib/portable"
	"vapo/lib/random"
)

// Component is one isotropic Gaussian of a mixture.
type Component struct {
	Weight float64   `json:"weight"`
	Mean   []float64 `json:"mean"`
	Std    float64   `json:"std"`
}

// Mixture is a mixture of isotropic Gaussians, p(x) = sum_k w_k N(x; mu_k, s_k^2 I). Its weights sum to one.
type Mixture struct {
	Components []Component `json:"components"`
}

// MaxCoordinate bounds the means and standard deviations of mixtures so that every sampled point is a finite float32.
const MaxCoordinate = 1e30

// NewMixture validates the components and returns the mixture with normalised weights. Weights must be positive and
// finite. Standard deviations must not be negative; zero is a point mass, which can be sampled but has no density. All
// means must have the same dimension.
func NewMixture(components []Component) (*Mixture, error) {
	if len(components) == 0 {
		return nil, fmt.Errorf("mixture has no components")
	}
	d := len(components[0].Mean)
	if d == 0 {
		return nil, fmt.Errorf("component 0 has an empty mean")
	}
	var sum float64
	for i, c := range components {
		if !(c.Weight > 0) || math.IsInf(c.Weight, 0) {
			return nil, fmt.Errorf("component %d has weight %v, expected a positive number", i, c.Weight)
		}
		if !(c.Std >= 0 && c.Std <= MaxCoordinate) {
			return nil, fmt.Errorf("component %d has std %v, expected a number from 0 to %g", i, c.Std, MaxCoordinate)
		}
		if len(c.Mean) != d {
			return nil, fmt.Errorf("component %d has a mean of %d dimensions, expected %d as in component 0", i, len(c.Mean), d)
		}
		for j, m := range c.Mean {
			if !(math.Abs(m) <= MaxCoordinate) {
				return nil, fmt.Errorf("component %d has mean[%d] = %v, expected a magnitude of at most %g",
					i, j, m, MaxCoordinate)
			}
		}
		sum += c.Weight
	}
	if math.IsInf(sum, 0) {
		return nil, fmt.Errorf("the weights sum to %v, expected a finite number", sum)
	}
	if math.Abs(sum-1) < 1e-12 {
		sum = 1 // already normalised: a mixture that is written and read again keeps its bits
	}
	m := &Mixture{Components: make([]Component, len(components))}
	for i, c := range components {
		m.Components[i] = Component{Weight: c.Weight / sum, Mean: slices.Clone(c.Mean), Std: c.Std}
	}
	return m, nil
}

// UnmarshalJSON reads a mixture and checks it as NewMixture does.
func (m *Mixture) UnmarshalJSON(b []byte) error {
	var raw struct {
		Components []Component `json:"components"`
	}
	if err := json.Unmarshal(b, &raw); err != nil {
		return err
	}
	checked, err := NewMixture(raw.Components)
	if err != nil {
		return err
	}
	*m = *checked
	return nil
}

// Dim returns the dimension of the space.
func (m *Mixture) Dim() int { return len(m.Components[0].Mean) }

// Sample draws n points x [n, Dim]. component [n] holds the index of the component that each point comes from. The
// first k points are the same for every n >= k.
func (m *Mixture) Sample(src *random.Source, n int) (x []float32, component []int64) {
	d := m.Dim()
	x, component = make([]float32, n*d), make([]int64, n)
	z := make([]float64, d)
	for i := range n {
		k := m.pick(src.Uniform64())
		src.Normal64(z)
		c := &m.Components[k]
		for j := range d {
			// The inner conversion forbids a fused multiply-add, which would change the bits on some machines.
			x[i*d+j] = float32(c.Mean[j] + float64(c.Std*z[j]))
		}
		component[i] = int64(k)
	}
	return x, component
}

// pick returns the index of the component whose share of [0, 1) contains u.
func (m *Mixture) pick(u float64) int {
	for k := range m.Components {
		if u -= m.Components[k].Weight; u < 0 {
			return k
		}
	}
	return len(m.Components) - 1 // rounding may leave the sum of the weights below one
}

// LogDensity returns log p(x) in nats for x [Dim], by log-sum-exp over the components. Components whose standard
// deviation is zero can make the result -Inf or +Inf.
func (m *Mixture) LogDensity(x []float64) float64 {
	logs := make([]float64, len(m.Components))
	best := math.Inf(-1)
	for k, c := range m.Components {
		var sq float64
		for j, v := range x {
			e := v - c.Mean[j]
			sq += float64(e * e)
		}
		switch {
		case c.Std > 0:
			logStd := portable.Log(c.Std) + float64(0.5*portable.Log(2*math.Pi))
			logs[k] = portable.Log(c.Weight) - float64(0.5*sq/(c.Std*c.Std)) - float64(float64(len(x))*logStd)
		case sq == 0:
			return math.Inf(1)
		default:
			logs[k] = math.Inf(-1)
		}
		best = max(best, logs[k])
	}
	if math.IsInf(best, 0) {
		return best
	}
	var sum float64
	for _, l := range logs {
		sum += portable.Exp(l - best)
	}
	return best + portable.Log(sum)
}
