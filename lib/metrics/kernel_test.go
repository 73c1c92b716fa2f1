package metrics

import (
	"math/big"
	"math/rand/v2"
	"slices"
	"testing"

	"vapo/lib/random"
)

func TestKIDAgreesWithNumPy(t *testing.T) {
	for _, g := range readSets(t).KID {
		a, d := goldenSet(g.A, 0)
		b, _ := goldenSet(g.B, 0)
		r, err := KID(a, b, d, KIDOptions{Subsets: g.Subsets, Size: g.Size, Seed: 7})
		if err != nil {
			t.Fatal(err)
		}
		// The tolerance is relative to Mean. If the kernel has values of about 1e7, rounding leaves fewer digits.
		tol := 1e-11
		if g.Mean > 1000 {
			tol = 1e-10
		}
		if !closeTo(r.Mean, g.Mean, tol) || !closeTo(r.Std, g.Std, tol) || r.Size != g.Size || r.Subsets != g.Subsets {
			t.Errorf("seeds %g and %g: %+v, NumPy has %.15g ± %.15g", g.A[0], g.B[0], r, g.Mean, g.Std)
		}
	}
}

// KID agrees with plain loops on subsets that are larger than a tile.
func TestKIDAgreesWithLoops(t *testing.T) {
	const d, size, subsets = 3, kernelTile + 9, 2
	r := rand.New(rand.NewPCG(1, 1))
	a, b := points(r, 700, d), points(r, 600, d)
	var values []float64
	for s := range uint64(subsets) {
		ia := random.New(5, "metrics/kid", 2*s).Perm(700)[:size]
		ib := random.New(5, "metrics/kid", 2*s+1).Perm(600)[:size]
		mean := func(x, y []float32, ix, iy []int, same bool) float64 {
			var sum, n float64
			for p, i := range ix {
				for q, j := range iy {
					if same && p == q {
						continue
					}
					var dot float64
					for c := range d {
						dot += float64(x[i*d+c]) * float64(y[j*d+c])
					}
					sum += cubic(dot / d)
					n++
				}
			}
			return sum / n
		}
		values = append(values, mean(a, a, ia, ia, true)+mean(b, b, ib, ib, true)-2*mean(a, b, ia, ib, false))
	}
	mean, std := meanStd(values)
	got, err := KID(a, b, d, KIDOptions{Subsets: subsets, Size: size, Seed: 5})
	if err != nil || !closeTo(got.Mean, mean, 1e-12) || !closeTo(got.Std, std, 1e-12) {
		t.Errorf("KID = %+v, %v, loops have %g ± %g", got, err, mean, std)
	}
}

// Far from the origin, the three means differ only in their last six digits. KID still agrees with arithmetic in 200
// bits.
func TestKIDDoesNotCancel(t *testing.T) {
	const n, d = 100, 4
	r := rand.New(rand.NewPCG(1, 6))
	a, b := points(r, n, d), points(r, n, d)
	for i := range a {
		a[i], b[i] = a[i]/4+30, b[i]/4+30
	}
	number := func(v float64) *big.Float { return new(big.Float).SetPrec(200).SetFloat64(v) }
	want := number(0)
	add := func(x, y []float32, weight float64, same bool) {
		sum := number(0)
		for i := range n {
			for j := range n {
				if same && i == j {
					continue
				}
				k := number(0)
				for c := range d {
					k.Add(k, number(float64(x[i*d+c])*float64(y[j*d+c]))) // exact: 24 bits each
				}
				k.Add(k.Quo(k, number(d)), number(1))
				sum.Add(sum, number(0).Mul(number(0).Mul(k, k), k))
			}
		}
		want.Add(want, sum.Quo(sum, number(weight)))
	}
	add(a, a, n*(n-1), true)
	add(b, b, n*(n-1), true)
	add(a, b, -n*n/2, false)
	exact, _ := want.Float64()
	got, err := KID(a, b, d, KIDOptions{Size: n})
	if err != nil || relative(got.Mean, exact) > 1e-12 {
		t.Errorf("KID is %.15g (%v), exact arithmetic gives %.15g", got.Mean, err, exact)
	}
}

func TestKIDProperties(t *testing.T) {
	const n, d = 60, 4
	whole := KIDOptions{Subsets: 1, Size: n}
	kid := func(a, b []float32, d int) float64 {
		r, err := KID(a, b, d, whole)
		if err != nil {
			t.Fatal(err)
		}
		return r.Mean
	}
	r := rand.New(rand.NewPCG(3, 1))
	a, b := points(r, n, d), points(r, n, d)
	want := kid(a, b, d)
	if got := kid(b, a, d); !closeTo(got, want, 1e-12) {
		t.Errorf("KID(a, b) is %g, KID(b, a) is %g, want the same", want, got)
	}
	rotate := func(x []float32) []float32 { // exchanges two columns and negates one
		y := slices.Clone(x)
		for i := 0; i < len(y); i += d {
			y[i], y[i+2] = y[i+2], -y[i]
		}
		return y
	}
	if got := kid(rotate(a), rotate(b), d); !closeTo(got, want, 1e-12) {
		t.Errorf("KID is %g, and %g after a rotation, want the same", want, got)
	}
	shuffled := make([]float32, 0, len(a))
	for _, i := range r.Perm(n) {
		shuffled = append(shuffled, a[i*d:(i+1)*d]...)
	}
	if got := kid(shuffled, b, d); !closeTo(got, want, 1e-12) {
		t.Errorf("KID is %g, and %g after a shuffle, want the same", want, got)
	}
	// Repeating every component does not change the value, since the kernel divides by d.
	repeated := func(x []float32) (y []float32) {
		for i := 0; i < len(x); i += d {
			y = append(append(y, x[i:i+d]...), x[i:i+d]...)
		}
		return y
	}
	if got := kid(repeated(a), repeated(b), 2*d); !closeTo(got, want, 1e-12) {
		t.Errorf("KID is %g, and %g with each component twice, want the same", want, got)
	}
	if moved := kid(a, points(r, n, d)[:n*d], d); moved > want+1 {
		t.Errorf("the distance between two samples of one distribution is %g, want at most %g", moved, want+1)
	}
}

// The estimate is unbiased: if both sets come from one distribution, the mean of the estimate over many draws is zero.
func TestKIDIsUnbiased(t *testing.T) {
	const n, d, draws = 20, 3, 400
	var values []float64
	for i := range uint64(draws) {
		r := rand.New(rand.NewPCG(i, 2))
		k, err := KID(points(r, n, d), points(r, n, d), d, KIDOptions{Size: n})
		if err != nil {
			t.Fatal(err)
		}
		values = append(values, k.Mean)
	}
	if mean, std := meanStd(values); mean > 4*std/20 || mean < -4*std/20 {
		t.Errorf("mean %g of %d draws whose standard deviation is %g, want about 0", mean, draws, std)
	}
}

func TestKIDWarnings(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 3))
	a, b := points(r, 30, 2), points(r, 50, 2)
	k, err := KID(a, b, 2, KIDOptions{})
	if err != nil {
		t.Fatal(err)
	}
	warns(t, "small", k.Warnings, "subsets of 30 instead of 1000")
	if k.Size != 30 || k.Subsets != 100 || k.Std == 0 {
		t.Errorf("subsets of the larger set: %+v, want 100 of 30 vectors", k)
	}
	k, err = KID(a, b[:60], 2, KIDOptions{})
	if err != nil {
		t.Fatal(err)
	}
	warns(t, "whole", k.Warnings, "no spread")
	if k.Subsets != 1 || k.Std != 0 {
		t.Errorf("subsets that are the whole sets: %+v, want a single one", k)
	}
	if k, err = KID(a, b, 2, KIDOptions{Size: 20}); err != nil || len(k.Warnings) > 0 {
		t.Errorf("enough vectors for the subsets: %+v (%v), want no warning", k, err)
	}
}

func TestKIDIsDeterministic(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 4))
	a, b := points(r, 900, 8), points(r, 800, 8)
	sameOnAnyCores(t, func() (KIDResult, error) { return KID(a, b, 8, KIDOptions{Subsets: 5, Size: 700}) })
	one, _ := KID(a, b, 8, KIDOptions{Subsets: 5, Size: 100})
	other, _ := KID(a, b, 8, KIDOptions{Subsets: 5, Size: 100, Seed: 1})
	if one.Mean == other.Mean {
		t.Error("two seeds draw the same subsets")
	}
}

func TestKIDRefuses(t *testing.T) {
	ok := []float32{1, 2, 3, 4}
	run := func(a, b []float32, d int, o KIDOptions) error { _, err := KID(a, b, d, o); return err }
	refuses(t, "ragged", run(ok, ok[:3], 2, KIDOptions{}), "second set", "3 values", "rows of 2")
	refuses(t, "dimension", run(ok, ok, 0, KIDOptions{}), "first set")
	refuses(t, "one", run(ok[:2], ok, 2, KIDOptions{}), "at least 2")
	refuses(t, "not finite", run(ok, notFinite(), 2, KIDOptions{}), "component 1 of row 2 of the second set", "+Inf")
	refuses(t, "subsets", run(ok, ok, 2, KIDOptions{Subsets: -1}), "subsets")
	refuses(t, "size", run(ok, ok, 2, KIDOptions{Size: 1}), "1 vectors")
}

// BenchmarkKIDSubset computes one subset of the usual size on Inception features, in 8.2·10⁹ operations.
func BenchmarkKIDSubset(b *testing.B) {
	r := rand.New(rand.NewPCG(1, 1))
	x, y := points(r, 1100, 2048), points(r, 1100, 2048)
	for b.Loop() {
		if _, err := KID(x, y, 2048, KIDOptions{Subsets: 1}); err != nil {
			b.Fatal(err)
		}
	}
}
