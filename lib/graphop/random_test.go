package graphop_test

import (
	"math"
	"slices"
	"testing"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"vapo/lib/graphop"
)

// builder builds an expression from x and the key of the random numbers.
type builder = func(x, key *graphop.Node) *graphop.Node

// uniform returns a builder of uniform random numbers; the builder ignores x.
func uniform(stream string, shape ...int) builder {
	return func(_, key *graphop.Node) *graphop.Node { return graphop.Uniform(key, stream, shape...) }
}

// draw evaluates the expression that build returns in the element type dt. All elements of x are 1, and the key is that
// of seed and step.
func draw(t *testing.T, dt tensor.Dtype, seed, step uint64, shape []int, build builder) []float64 {
	t.Helper()
	g := gorgonia.NewGraph()
	x, key := graphop.Input(g, dt, "x", shape...), graphop.Input(g, dt, "key", 8)
	k := graphop.PhiloxKey(seed, step)
	ones := slices.Repeat([]float64{1}, x.Shape().TotalSize())
	return eval(t, map[*graphop.Node][]float64{x: ones, key: k[:]}, build(x, key))
}

func TestPhiloxKeyIsExact(t *testing.T) {
	k := graphop.PhiloxKey(0xfedcba9876543210, 0x0123456789abcdef)
	if want := [8]float64{0x3210, 0x7654, 0xba98, 0xfedc, 0xcdef, 0x89ab, 0x4567, 0x0123}; k != want {
		t.Errorf("key %v, want %v", k, want)
	}
	for _, v := range k {
		if float64(float32(v)) != v {
			t.Errorf("%v is not exact in float32", v)
		}
	}
}

// The expected words come from an independent implementation (testdata/philox.py).
func TestUniformGolden(t *testing.T) {
	for _, c := range []struct {
		seed, step uint64
		stream     string
		want       []uint32 // the first two blocks of four words
	}{
		{0, 0, "", []uint32{
			0x59e2fc89, 0xa227c008, 0x9bba1fd4, 0x701f724f, 0x3f708be1, 0x1ec31b67, 0x983f860d, 0xc95d89bc,
		}},
		{0xfedcba9876543210, 0x0123456789abcdef, "blocks.0.dropout", []uint32{
			0x38249d47, 0xcb726117, 0x3f17598a, 0x8e87c4bb, 0x0d4c4307, 0xf243616b, 0x771a250b, 0x3186badc,
		}},
	} {
		for _, dt := range []tensor.Dtype{tensor.Float32, tensor.Float64} {
			got := draw(t, dt, c.seed, c.step, []int{2, 4}, uniform(c.stream, 2, 4))
			for i, w := range c.want {
				if want := float64(w>>8) / (1 << 24); got[i] != want {
					t.Errorf("%v, seed %d, step %d, stream %q: element %d is %v, want %v",
						dt, c.seed, c.step, c.stream, i, got[i], want)
				}
			}
		}
	}
}

// The numbers depend on the row-major index, the seed, the step and the stream, but not on the shape.
func TestUniformDependencies(t *testing.T) {
	of := func(seed, step uint64, stream string, shape ...int) []float64 {
		return draw(t, tensor.Float32, seed, step, []int{1}, uniform(stream, shape...))
	}
	base := of(1, 2, "a", 6, 5)
	for _, shape := range [][]int{{30}, {2, 3, 5}, {3, 5}} {
		if other := of(1, 2, "a", shape...); !slices.Equal(other, base[:len(other)]) {
			t.Errorf("the shape %v changes the numbers", shape)
		}
	}
	for name, other := range map[string][]float64{
		"seed": of(3, 2, "a", 30), "high half of the seed": of(1+1<<32, 2, "a", 30), "step": of(1, 3, "a", 30),
		"high half of the step": of(1, 2+1<<48, "a", 30), "stream": of(1, 2, "b", 30),
	} {
		for i := range base {
			if base[i] == other[i] {
				t.Errorf("number %d does not depend on the %s", i, name)
			}
		}
	}
}

// Uniform numbers pass tests of chi-squared over 64 bins, mean, variance and correlation of neighbours.
func TestUniformIsUniform(t *testing.T) {
	const n = 1 << 16
	u := draw(t, tensor.Float32, 5, 6, []int{1}, uniform("u", n))
	var bins [64]float64
	var sum, square, product float64
	for i, v := range u {
		if v < 0 || v >= 1 {
			t.Fatalf("element %d is %v, outside of [0, 1)", i, v)
		}
		bins[int(v*64)]++
		sum += v - 0.5
		square += (v - 0.5) * (v - 0.5)
		product += (v - 0.5) * (u[(i+1)%n] - 0.5)
	}
	chi := 0.0
	for _, b := range bins {
		chi += (b - n/64) * (b - n/64) / (n / 64)
	}
	// Chi-squared with 63 degrees of freedom has mean 63 and standard deviation sqrt(2·63); allow 5 standard
	// deviations.
	if chi > 63+5*math.Sqrt(126) {
		t.Errorf("chi-squared of 64 bins is %v, want at most %v", chi, 63+5*math.Sqrt(126))
	}
	// The standard deviations of the mean, of the variance and of the covariance of neighbours.
	mean, variance, covariance := math.Sqrt(1.0/12/n), math.Sqrt(1.0/180/n), 1/(12*math.Sqrt(n))
	if math.Abs(sum/n) > 5*mean || math.Abs(square/n-1.0/12) > 5*variance || math.Abs(product/n) > 5*covariance {
		t.Errorf("mean 1/2 %+.2g, variance 1/12 %+.2g, covariance of neighbours %.2g; want at most ±%.2g, ±%.2g, ±%.2g",
			sum/n, square/n-1.0/12, product/n, 5*mean, 5*variance, 5*covariance)
	}
}

func TestDropout(t *testing.T) {
	const n = 40000
	for _, p := range []float64{0.3, 0.5, 0.1, 1.0 / 3, 1e-3} {
		drop := func(x, key *graphop.Node) *graphop.Node { return graphop.Dropout(x, key, "layer", p) }
		single := draw(t, tensor.Float32, 9, 1, []int{n}, drop)
		double := draw(t, tensor.Float64, 9, 1, []int{n}, drop)
		u := draw(t, tensor.Float64, 9, 1, []int{n}, uniform("layer", n))
		zeros := 0.0
		for i := range single {
			want := 1 / (1 - p)
			if u[i] < p {
				want = 0
				zeros++
			}
			if double[i] != want || single[i] != float64(float32(want)) {
				t.Fatalf("p %v: element %d is %v, and %v in float64, with u = %v; want %v", p, i, single[i], double[i], u[i], want)
			}
		}
		if rate := zeros / n; math.Abs(rate-p) > 5*math.Sqrt(p*(1-p)/n) {
			t.Errorf("p %v: the fraction of dropped elements is %v, want about p", p, rate)
		}
	}
	g := gorgonia.NewGraph()
	x, key := graphop.Input(g, tensor.Float64, "x", 2, 3), graphop.Input(g, tensor.Float64, "key", 8)
	if graphop.Dropout(x, key, "a", 0) != x {
		t.Error("dropout with probability 0 is not the identity")
	}
}
