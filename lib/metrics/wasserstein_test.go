package metrics

import (
	"math"
	"math/rand/v2"
	"runtime"
	"slices"
	"testing"

	"vapo/lib/random"
)

func points(r *rand.Rand, n, d int) []float32 {
	x := make([]float32, n*d)
	for i := range x {
		x[i] = float32(r.NormFloat64())
	}
	return x
}

func sliced(t *testing.T, a, b []float32, d int) float64 {
	t.Helper()
	w, err := SlicedW2(a, b, d, 32, 1)
	if err != nil {
		t.Fatal(err)
	}
	return w
}

func TestW2AgreesWithNumPy(t *testing.T) {
	for _, g := range readGolden(t).W2 {
		x, _ := goldenData(g.A)
		y, _ := goldenData(g.B)
		// In one dimension every direction is ±1, so the sliced distance is W2.
		if w := sliced(t, single(x), single(y), 1); relative(w, g.Value) > 1e-12 {
			t.Errorf("W2 = %.15g, NumPy has %.15g", w, g.Value)
		}
	}
}

func TestSlicedW2Properties(t *testing.T) {
	for trial := range 20 {
		r := rand.New(rand.NewPCG(uint64(trial), 4))
		d := 1 + r.IntN(5)
		a, b := points(r, 50+r.IntN(50), d), points(r, 50+r.IntN(50), d)
		if w := sliced(t, a, a, d); w != 0 {
			t.Errorf("distance of a set from itself is %g, want 0", w)
		}
		ab := sliced(t, a, b, d)
		if ba := sliced(t, b, a, d); relative(ab, ba) > 1e-12 {
			t.Errorf("SlicedW2(a, b) is %g, SlicedW2(b, a) is %g, want the same", ab, ba)
		}
		// Repeating every point of one set does not change the distance, although the sets then have different sizes.
		if w := sliced(t, slices.Concat(a, a, a), b, d); relative(w, ab) > 1e-12 {
			t.Errorf("SlicedW2 is %g with each point three times, %g with each once, want the same", w, ab)
		}
		// The order of the points does not matter.
		rows := r.Perm(len(a) / d)
		shuffled := make([]float32, 0, len(a))
		for _, i := range rows {
			shuffled = append(shuffled, a[i*d:(i+1)*d]...)
		}
		if w := sliced(t, shuffled, b, d); w != ab {
			t.Errorf("SlicedW2 is %g after a shuffle, %g before, want the same", w, ab)
		}
	}
}

// A translation by c moves the projection on direction θ by θ·c.
func TestSlicedW2OfATranslation(t *testing.T) {
	const d = 3
	a := points(rand.New(rand.NewPCG(8, 8)), 64, d)
	c := [d]float32{0.5, -1, 0.25}
	b := slices.Clone(a)
	for i := range b {
		b[i] += c[i%d]
	}
	var want float64
	for k := range 32 {
		dir := make([]float64, d)
		random.New(1, "metrics/sliced-w2", uint64(k)).Normal64(dir)
		var dot, norm float64
		for j, v := range dir {
			dot += v * float64(c[j])
			norm += v * v
		}
		want += dot * dot / norm
	}
	want = math.Sqrt(want / 32)
	if w := sliced(t, a, b, d); relative(w, want) > 1e-6 { // b is rounded to float32
		t.Errorf("SlicedW2 is %.12g, want %.12g", w, want)
	}
}

func TestSlicedW2IsDeterministic(t *testing.T) {
	r := rand.New(rand.NewPCG(2, 2))
	a, b := points(r, 300, 4), points(r, 200, 4)
	want := sliced(t, a, b, 4)
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	if w := sliced(t, a, b, 4); w != want {
		t.Errorf("SlicedW2 is %v on one processor, %v on several, want the same", w, want)
	}
}

func TestSlicedW2Refuses(t *testing.T) {
	ok := []float32{1, 2}
	for name, run := range map[string]func() (float64, error){
		"empty":      func() (float64, error) { return SlicedW2(nil, ok, 1, 8, 0) },
		"ragged":     func() (float64, error) { return SlicedW2(ok, []float32{1, 2, 3}, 2, 8, 0) },
		"dimension":  func() (float64, error) { return SlicedW2(ok, ok, 0, 8, 0) },
		"directions": func() (float64, error) { return SlicedW2(ok, ok, 1, 0, 0) },
		"nan":        func() (float64, error) { return SlicedW2(ok, []float32{float32(math.NaN())}, 1, 8, 0) },
	} {
		if w, err := run(); err == nil {
			t.Errorf("%s: distance %v, want an error", name, w)
		}
	}
}
