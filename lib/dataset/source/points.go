package source

import (
	"fmt"
	"math"

	"vapo/lib/dataset"
	"vapo/lib/portable"
	"vapo/lib/random"
)

// pointSources lists the sources that draw points from a distribution.
var pointSources = []string{"8gaussians", "two-moons", "rings", "mixture"}

// ringRadii are the radii of the source "rings".
var ringRadii = []float64{1, 2, 3}

// eightGaussians returns 8 equally likely components on the unit circle, at multiples of 45 degrees.
func eightGaussians(std float64) []dataset.Component {
	components := make([]dataset.Component, 8)
	for k := range components {
		sin, cos := portable.Sincos(float64(k) * math.Pi / 4)
		components[k] = dataset.Component{Weight: 1, Mean: []float64{cos, sin}, Std: std}
	}
	return components
}

// Points draws nTrain and nTest points of a source. The two splits are independent. The first points of each split do
// not depend on how many points are drawn.
//
//   - 8gaussians: 8 equally likely Gaussians around the unit circle, at multiples of 45 degrees
//   - two-moons: two half circles of radius 1, together centred on the origin, plus Gaussian noise
//   - rings: circles of radius 1, 2 and 3, equally likely, plus Gaussian noise
//   - mixture: the Gaussian mixture of the given components, each of which has its own standard deviation
//
// std is the standard deviation of each Gaussian of 8gaussians, and of the noise of two-moons and rings.
func Points(
	source string, std float64, components []dataset.Component, seed uint64, nTrain, nTest int,
) (train, test *dataset.Points, err error) {
	draw, err := sampler(source, std, components)
	if err != nil {
		return nil, nil, inSource(source, err)
	}
	split := func(name string, n int) *dataset.Points {
		s := draw(random.New(seed, "dataset/"+source+"/"+name, 0), n)
		s.Name, s.Split = source, name
		return s
	}
	return split("train", nTrain), split("test", nTest), nil
}

func sampler(
	source string, std float64, components []dataset.Component,
) (func(*random.Source, int) *dataset.Points, error) {
	if !(std >= 0 && std <= dataset.MaxCoordinate) {
		return nil, fmt.Errorf("std %v, expected a number from 0 to %g", std, dataset.MaxCoordinate)
	}
	if source != "mixture" && components != nil {
		return nil, fmt.Errorf("only the source mixture has components")
	}
	switch source {
	case "8gaussians", "mixture":
		if source == "8gaussians" {
			components = eightGaussians(std)
		}
		m, err := dataset.NewMixture(components)
		if err != nil {
			return nil, err
		}
		return func(src *random.Source, n int) *dataset.Points {
			x, labels := m.Sample(src, n)
			return &dataset.Points{N: n, D: m.Dim(), X: x, Labels: labels, Mixture: m}
		}, nil
	case "two-moons":
		return planar(std, 2, func(moon int, u float64) (x, y float64) {
			sin, cos := portable.Sincos(math.Pi * u)
			if moon == 0 {
				return cos - 0.5, sin - 0.25
			}
			return 0.5 - cos, 0.25 - sin
		}), nil
	case "rings":
		return planar(std, len(ringRadii), func(ring int, u float64) (x, y float64) {
			sin, cos := portable.Sincos(2 * math.Pi * u)
			return ringRadii[ring] * cos, ringRadii[ring] * sin
		}), nil
	}
	return nil, fmt.Errorf("unknown source, expected one of %v", pointSources)
}

// planar returns a function that draws points from k equally likely curves in the plane, each parametrised over [0, 1),
// and adds Gaussian noise of standard deviation std.
func planar(
	std float64, k int, curve func(k int, u float64) (x, y float64),
) func(*random.Source, int) *dataset.Points {
	return func(src *random.Source, n int) *dataset.Points {
		s := &dataset.Points{N: n, D: 2, X: make([]float32, 2*n), Labels: make([]int64, n)}
		z := make([]float64, 2)
		for i := range n {
			label := src.IntN(k)
			x, y := curve(label, src.Uniform64())
			src.Normal64(z)
			s.X[2*i] = float32(x + float64(std*z[0]))
			s.X[2*i+1] = float32(y + float64(std*z[1]))
			s.Labels[i] = int64(label)
		}
		return s
	}
}
