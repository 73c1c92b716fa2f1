package graphop_test

import (
	"math"
	"testing"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"vapo/lib/graphop"
)

// draw makes and evaluates an expression of an x of ones and a key, in one element type.
func draw(t *testing.T, dt tensor.Dtype, seed, step uint64, shape []int, build func(x, key *graphop.Node) *graphop.Node) []float64 {
	t.Helper()
	g := gorgonia.NewGraph()
	x, key := graphop.Input(g, dt, "x", shape...), graphop.Input(g, dt, "key", 8)
	k := graphop.PhiloxKey(seed, step)
	ones := make([]float64, x.Shape().TotalSize())
	for i := range ones {
		ones[i] = 1
	}
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

// The words come from an implementation of its own (testdata/philox.py).
func TestUniformGolden(t *testing.T) {
	for _, c := range []struct {
		seed, step uint64
		stream     string
		want       []uint32 // words of the first two blocks
	}{
		{0, 0, "", []uint32{0x59e2fc89, 0xa227c008, 0x9bba1fd4, 0x701f724f, 0x3f708be1, 0x1ec31b67, 0x983f860d, 0xc95d89bc}},
		{0xfedcba9876543210, 0x0123456789abcdef, "blocks.0.dropout", []uint32{0x38249d47, 0xcb726117, 0x3f17598a, 0x8e87c4bb, 0x0d4c4307, 0xf243616b, 0x771a250b, 0x3186badc}},
	} {
		for _, dt := range []tensor.Dtype{tensor.Float32, tensor.Float64} {
			got := draw(t, dt, c.seed, c.step, []int{2, 4}, func(_, key *graphop.Node) *graphop.Node { return graphop.Uniform(key, c.stream, 2, 4) })
			for i, w := range c.want {
				if want := float64(w>>8) / (1 << 24); got[i] != want {
					t.Errorf("%v: element %d of seed %d, step %d, stream %q is %v, want %v", dt, i, c.seed, c.step, c.stream, got[i], want)
				}
			}
		}
	}
}

// The shape gives the elements their order and nothing else; seed, step and stream each give other numbers.
func TestUniformDependsOnTheIndexAlone(t *testing.T) {
	of := func(seed, step uint64, stream string, shape ...int) []float64 {
		return draw(t, tensor.Float32, seed, step, []int{1}, func(_, key *graphop.Node) *graphop.Node { return graphop.Uniform(key, stream, shape...) })
	}
	base := of(1, 2, "a", 6, 5)
	equal := func(a, b []float64) (n int) {
		for i := range min(len(a), len(b)) {
			if a[i] == b[i] {
				n++
			}
		}
		return n
	}
	if n := equal(base, of(1, 2, "a", 30)) + equal(base, of(1, 2, "a", 2, 3, 5)) + equal(base, of(1, 2, "a", 3, 5)); n != 75 {
		t.Errorf("%d of 75 elements stay when the shape changes, want all", n)
	}
	for name, other := range map[string][]float64{
		"seed": of(3, 2, "a", 30), "high half of the seed": of(1+1<<32, 2, "a", 30), "step": of(1, 3, "a", 30),
		"high half of the step": of(1, 2+1<<48, "a", 30), "stream": of(1, 2, "b", 30),
	} {
		if n := equal(base, other); n > 0 {
			t.Errorf("with another %s %d of 30 numbers stay", name, n)
		}
	}
}

// Uniform numbers fill [0, 1) evenly: chi-squared over 64 bins, mean and variance, correlation of neighbours.
func TestUniformIsUniform(t *testing.T) {
	const n = 1 << 16
	u := draw(t, tensor.Float32, 5, 6, []int{1}, func(_, key *graphop.Node) *graphop.Node { return graphop.Uniform(key, "u", n) })
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
	// 63 degrees of freedom: 5 standard deviations of sqrt(2·63) above the mean.
	if chi > 63+5*math.Sqrt(126) {
		t.Errorf("chi-squared of 64 bins is %v", chi)
	}
	sigma := math.Sqrt(1.0 / 12 / n)
	if math.Abs(sum/n) > 5*sigma || math.Abs(square/n-1.0/12) > 5*math.Sqrt(1.0/180/n) || math.Abs(product/n) > 5/(12*math.Sqrt(n)) {
		t.Errorf("mean 1/2 %+.2g, variance 1/12 %+.2g, covariance of neighbours %.2g", sum/n, square/n-1.0/12, product/n)
	}
}

func TestDropout(t *testing.T) {
	const n = 40000
	for _, p := range []float64{0.3, 0.5, 0.1, 1.0 / 3, 1e-3} {
		drop := func(x, key *graphop.Node) *graphop.Node { return graphop.Dropout(x, key, "layer", p) }
		single := draw(t, tensor.Float32, 9, 1, []int{n}, drop)
		double := draw(t, tensor.Float64, 9, 1, []int{n}, drop)
		u := draw(t, tensor.Float64, 9, 1, []int{n}, func(_, key *graphop.Node) *graphop.Node { return graphop.Uniform(key, "layer", n) })
		zeros := 0.0
		for i := range single {
			want := 1 / (1 - p)
			if u[i] < p {
				want = 0
				zeros++
			}
			if double[i] != want || single[i] != float64(float32(want)) {
				t.Fatalf("p %v: element %d is %v, and %v in float64, for u = %v; want %v", p, i, single[i], double[i], u[i], want)
			}
		}
		if rate := zeros / n; math.Abs(rate-p) > 5*math.Sqrt(p*(1-p)/n) {
			t.Errorf("p %v: a share of %v was dropped", p, rate)
		}
	}
	g := gorgonia.NewGraph()
	x, key := graphop.Input(g, tensor.Float64, "x", 2, 3), graphop.Input(g, tensor.Float64, "key", 8)
	if graphop.Dropout(x, key, "a", 0) != x {
		t.Error("dropping with probability 0 is not the identity")
	}
}
