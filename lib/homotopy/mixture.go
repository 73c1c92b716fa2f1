package homotopy

import (
	"math"

	"vapo/lib/dataset"
	"vapo/lib/portable"
)

// MixtureField is the exact solution L6 for data from a Gaussian mixture. It gives the gradient of a perfectly trained
// potential and the log density of the path.
//
// On the path, component k becomes N(mu·m_k, (mu²s_k² + sigma²) I). Its mean velocity given x is mu'·m_k + (mu·mu'·s_k²
// + sigma·sigma')/(mu²s_k² + sigma²)·(x - mu·m_k). The field is the mean of the components' velocities, weighted by the
// posterior of k. This form does not divide by mu, which is 0 at t = 0.
type MixtureField struct {
	components []dataset.Component
	logp       []float64
}

// NewMixtureField prepares the solution for data from m.
func NewMixtureField(m *dataset.Mixture) *MixtureField {
	return &MixtureField{components: m.Components, logp: make([]float64, len(m.Components))}
}

// At writes grad Phi at x (d values) into grad and returns log rhobar(x, t). It is not safe for concurrent use.
func (f *MixtureField) At(p Point, x, grad []float64) (logDensity float64) {
	d := len(x)
	top := math.Inf(-1)
	for k, c := range f.components {
		v := p.variance(c)
		var r2 float64
		for i := range d {
			e := x[i] - float64(p.Mu*c.Mean[i])
			r2 += float64(e * e)
		}
		f.logp[k] = portable.Log(c.Weight) - float64(0.5*r2/v) - float64(0.5*float64(d)*portable.Log(2*math.Pi*v))
		top = max(top, f.logp[k])
	}
	var total float64
	for k := range f.logp {
		total += portable.Exp(f.logp[k] - top)
	}
	clear(grad)
	for k, c := range f.components {
		post := portable.Exp(f.logp[k]-top) / total
		slope := (float64(p.Mu*p.DMu*c.Std*c.Std) + float64(p.Sigma*p.DSigma)) / p.variance(c)
		for i := range d {
			velocity := float64(p.DMu*c.Mean[i]) + float64(slope*(x[i]-float64(p.Mu*c.Mean[i])))
			grad[i] += float64(post * velocity)
		}
	}
	return top + portable.Log(total)
}

// variance returns the variance of component c at p, mu²s² + sigma².
func (p Point) variance(c dataset.Component) float64 {
	return float64(p.Mu*p.Mu*c.Std*c.Std) + float64(p.Sigma*p.Sigma)
}
