package watch

import (
	"fmt"

	"vapo/lib/backend"
	"vapo/lib/dataset"
	"vapo/lib/failure"
	"vapo/lib/homotopy"
	"vapo/lib/metrics"
	"vapo/lib/potential"
	"vapo/lib/random"
	"vapo/lib/training"
)

// fieldTimes are the times at which the fields are compared, as fractions of the range of the schedule's training
// variable (see homotopy.Times). On the linear schedule, this variable is t itself, and its range is almost [0, 1].
var fieldTimes = []float64{0.2, 0.5, 0.8}

// fieldPoints is the number of points compared at each time.
const fieldPoints = 1000

// Field measures the error of grad Phi against the closed form L6, which exists for data from a Gaussian mixture. A nil
// Field measures nothing.
type Field struct {
	every int64
	field *potential.Field
	at    []fieldAt // one per entry of fieldTimes
	grad  []float32
}

type fieldAt struct {
	x, t  []float32 // points on the path [fieldPoints, D], and the time of each point
	exact []float32 // exact grad Phi at these points
}

// NewField compiles the gradient field of a network. The method At then compares the field with the closed form every
// `every` steps. NewField returns nil if every is 0.
func NewField(be backend.Backend, c potential.Config, every int, seed uint64, set dataset.Set) (*Field, error) {
	if every == 0 {
		return nil, nil
	}
	points, ok := set.(*dataset.Points)
	if !ok || points.Mixture == nil {
		return nil, failure.New(failure.Input, "prepare a Gaussian mixture, or leave --field-every at 0",
			"--field-every needs data that were drawn from a Gaussian mixture, for which the field has a closed form")
	}
	path, err := c.Path()
	if err != nil {
		return nil, err
	}
	f := &Field{every: int64(every), grad: make([]float32, fieldPoints*c.Dim())}
	exact := homotopy.NewMixtureField(points.Mixture)
	for k, u := range fieldTimes {
		data, _ := points.Mixture.Sample(random.New(seed, "train/field-data", uint64(k)), fieldPoints)
		noise := make([]float32, len(data))
		random.New(seed, "train/field-noise", uint64(k)).Normal(noise)
		f.at = append(f.at, newFieldAt(exact, path, path.Draw(u), data, noise))
	}
	initial, err := c.Initial(seed)
	if err != nil {
		return nil, err
	}
	f.field, err = potential.NewField(be, c, initial, fieldPoints)
	return f, err
}

// newFieldAt computes the points of the path at time t and the exact field at these points.
func newFieldAt(field *homotopy.MixtureField, path homotopy.Schedule, t float64, data, noise []float32) fieldAt {
	p, d := path.At(t), len(data)/fieldPoints
	at := fieldAt{x: make([]float32, len(data)), t: make([]float32, fieldPoints), exact: make([]float32, len(data))}
	x, grad := make([]float64, d), make([]float64, d)
	for i := range fieldPoints {
		at.t[i] = float32(t)
		for j := range d {
			k := i*d + j
			at.x[k] = float32(float64(p.Mu*float64(data[k])) + float64(p.Sigma*float64(noise[k])))
			x[j] = float64(at.x[k])
		}
		field.At(p, x, grad)
		for j := range d {
			at.exact[i*d+j] = float32(grad[j])
		}
	}
	return at
}

// At returns, for each time, the relative root mean square error of the field with the averaged weights. It returns nil
// if no comparison is due at the given step.
func (f *Field) At(t *training.Trainer, step int64, h *History) (map[string]float64, error) {
	if f == nil || step%f.every != 0 {
		return nil, nil
	}
	weights, err := t.Averages(0)
	if err != nil {
		return nil, err
	}
	if err := f.field.Load(weights); err != nil {
		return nil, err
	}
	out := map[string]float64{}
	for k, u := range fieldTimes {
		at := f.at[k]
		if err := f.field.Eval(at.x, at.t, nil, f.grad); err != nil {
			return nil, err
		}
		e, err := metrics.RelativeRMS(f.grad, at.exact)
		if err != nil {
			return nil, fmt.Errorf("field error at %v of the training variable: %w", u, err)
		}
		out[fmt.Sprintf("%.1f", u)] = Round(e, 6)
	}
	h.Timeline = append(h.Timeline, Mark{step, h.Seconds, out})
	return out, nil
}
