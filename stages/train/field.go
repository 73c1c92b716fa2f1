package main

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

// fieldTimes are where the learned field is compared with the exact one, as fractions of the schedule's training variable
// (on the linear schedule these are times), and fieldPoints how many points each.
var fieldTimes = []float64{0.2, 0.5, 0.8}

const fieldPoints = 1000

// fieldCheck compares grad Phi with the closed form for data from a Gaussian mixture (equation L6).
type fieldCheck struct {
	field *potential.Field
	x     [][]float32 // by time: points drawn on the path, [fieldPoints, D]
	want  [][]float32 // the exact field there
	t     [][]float32
	grad  []float32
}

func newFieldCheck(be backend.Backend, c potential.Config, seed uint64, set dataset.Set) (*fieldCheck, error) {
	points, ok := set.(*dataset.Points)
	if !ok || points.Mixture == nil {
		return nil, failure.New(failure.Input, "prepare a Gaussian mixture, or leave --field-every at 0", "--field-every compares with the closed form of a Gaussian mixture, and the data are none")
	}
	path, err := c.Path()
	if err != nil {
		return nil, err
	}
	d := c.Dim()
	f := &fieldCheck{grad: make([]float32, fieldPoints*d)}
	exact := homotopy.NewMixtureField(points.Mixture)
	for k, u := range fieldTimes {
		t := path.Draw(u)
		p := path.At(t)
		data, _ := points.Mixture.Sample(random.New(seed, "train/field-data", uint64(k)), fieldPoints)
		noise := make([]float32, len(data))
		random.New(seed, "train/field-noise", uint64(k)).Normal(noise)
		x, want, times := make([]float32, len(data)), make([]float32, len(data)), make([]float32, fieldPoints)
		row, grad := make([]float64, d), make([]float64, d)
		for i := range fieldPoints {
			times[i] = float32(t)
			for j := range d {
				x[i*d+j] = float32(float64(p.Mu*float64(data[i*d+j])) + float64(p.Sigma*float64(noise[i*d+j])))
				row[j] = float64(x[i*d+j])
			}
			exact.At(p, row, grad)
			for j := range d {
				want[i*d+j] = float32(grad[j])
			}
		}
		f.x, f.want, f.t = append(f.x, x), append(f.want, want), append(f.t, times)
	}
	initial, err := c.Initial(seed)
	if err != nil {
		return nil, err
	}
	f.field, err = potential.NewField(be, c, initial, fieldPoints)
	return f, err
}

// errors returns the relative root mean square error of the averaged weights' field at each time.
func (f *fieldCheck) errors(s *training.Step) (map[string]float64, error) {
	weights, err := s.Averages(0)
	if err != nil {
		return nil, err
	}
	if err := f.field.Load(weights); err != nil {
		return nil, err
	}
	out := map[string]float64{}
	for k, t := range fieldTimes {
		if err := f.field.Eval(f.x[k], f.t[k], nil, f.grad); err != nil {
			return nil, err
		}
		e, err := metrics.RelativeRMS(f.grad, f.want[k])
		if err != nil {
			return nil, fmt.Errorf("field error at t = %v: %w", t, err)
		}
		out[fmt.Sprintf("%.1f", t)] = round(e, 6)
	}
	return out, nil
}
