package metrics

import (
	"math/rand/v2"
	"slices"
	"testing"
)

func TestManifoldAgreesWithNumPy(t *testing.T) {
	for _, g := range readSets(t).Manifold {
		real, d := goldenSet(g.A, g.Grid)
		fake, _ := goldenSet(g.B, g.Grid)
		copy(fake[:g.Copies*d], real)
		r, err := Manifold(real, fake, d, g.K)
		if err != nil {
			t.Fatal(err)
		}
		for name, pair := range map[string][2]float64{
			"precision": {r.Precision, g.Precision}, "recall": {r.Recall, g.Recall},
			"density": {r.Density, g.Density}, "coverage": {r.Coverage, g.Coverage},
		} {
			if !closeTo(pair[0], pair[1], 1e-13) { // one vector more or less changes a value by at least 3e-4
				t.Errorf("seed %g: %s %.15g, NumPy has %.15g", g.A[0], name, pair[0], pair[1])
			}
		}
	}
}

func TestManifoldOfEqualSets(t *testing.T) {
	const n, d, k = kernelTile + 100, 16, 3
	x := points(rand.New(rand.NewPCG(1, 1)), n, d)
	for i := range x {
		x[i] += 1000 // the squared norms are 1e6 times the squared distances
	}
	// The rows are rotated, so that no tile is compared with its own copy.
	shuffled := make([]float32, 0, len(x))
	for i := range n {
		i = (i + 77) % n
		shuffled = append(shuffled, x[i*d:(i+1)*d]...)
	}
	r, err := Manifold(x, shuffled, d, k)
	if err != nil {
		t.Fatal(err)
	}
	// Each ball contains its centre and k more vectors, because a vector at a distance equal to the radius is inside.
	complete := r.Precision == 1 && r.Recall == 1 && r.Coverage == 1
	if !complete || !closeTo(r.Density, (k+1.0)/k, 1e-13) || len(r.Warnings) > 0 {
		t.Errorf("a set and its copy: %+v, want 1, a density of %g and no warning", r, (k+1.0)/k)
	}
}

// Copies within a set lead to balls of radius zero, which contain their centre and its copies. A vector does not count
// as its own neighbour, but its copies do.
func TestManifoldOfRepeatedVectors(t *testing.T) {
	const d, k = 3, 2
	r := rand.New(rand.NewPCG(2, 1))
	ten := points(r, 10, d)
	for i := range ten {
		ten[i] = ten[i]/100 + 50
	}
	thrice := slices.Concat(ten, ten, ten)
	m, err := Manifold(thrice, thrice, d, k)
	if err != nil {
		t.Fatal(err)
	}
	if m.Precision != 1 || m.Recall != 1 || m.Coverage != 1 || m.Density != 3.0/k {
		t.Errorf("every vector three times: %+v, want 1 and a density of %g", m, 3.0/k)
	}
	same := slices.Repeat([]float32{0.1, -3, 7e5}, 12)
	if m, err = Manifold(same, same, d, k); err != nil || m.Precision != 1 || m.Coverage != 1 || m.Density != 12.0/k {
		t.Errorf("one vector twelve times: %+v (%v), want 1 and a density of %g", m, err, 12.0/k)
	}
}

func TestManifoldOfDisjointSets(t *testing.T) {
	const n, d = 200, 5
	r := rand.New(rand.NewPCG(3, 1))
	a, b := points(r, n, d), points(r, n, d)
	for i := range b {
		b[i] += 100
	}
	m, err := Manifold(a, b, d, 3)
	if err != nil || m.Precision != 0 || m.Recall != 0 || m.Density != 0 || m.Coverage != 0 {
		t.Errorf("disjoint sets: %+v (%v), want 0 for all four", m, err)
	}
}

// The nearest candidates, ties included, do not depend on the order of insertion.
func TestInsertInAnyOrder(t *testing.T) {
	all := []candidate[float64]{{1, 4}, {2, 0}, {2, 3}, {2, 7}, {3, 1}, {5, 2}}
	r := rand.New(rand.NewPCG(6, 1))
	for range 50 {
		list := make([]candidate[float64], 0, 3)
		for _, i := range r.Perm(len(all)) {
			list = insert(list, all[i])
		}
		if !slices.Equal(list, all[:3]) {
			t.Fatalf("insert kept %v, want the smallest %v", list, all[:3])
		}
	}
}

// For two samples of one distribution, the coverage is about 1 - 2⁻ᵏ and the density about 1. Missing modes reduce
// recall and coverage, and noise reduces precision and density.
func TestManifoldDetectsFaults(t *testing.T) {
	const n, d, k = 1000, 4, 3
	r := rand.New(rand.NewPCG(4, 1))
	a, b := points(r, n, d), points(r, n, d)
	narrow, wide := slices.Clone(b), slices.Clone(b)
	for i := range b {
		if narrow[i] < 0 {
			narrow[i] = -narrow[i]
		}
		wide[i] *= 2
	}
	measure := func(fake []float32) ManifoldResult {
		m, err := Manifold(a, fake, d, k)
		if err != nil {
			t.Fatal(err)
		}
		return m
	}
	same, fewer, noisy := measure(b), measure(narrow), measure(wide)
	if !closeTo(same.Coverage, 0.875, 0.05) || !closeTo(same.Density, 1, 0.1) {
		t.Errorf("two samples of one distribution: %+v, want a coverage of about 0.875 and a density of about 1", same)
	}
	if fewer.Recall > same.Recall/2 || fewer.Coverage > same.Coverage/2 || fewer.Precision < same.Precision-0.1 {
		t.Errorf("a sixteenth of the modes: %+v, all modes: %+v; want half the recall and coverage or less",
			fewer, same)
	}
	if noisy.Precision > same.Precision-0.2 || noisy.Density > same.Density/2 || noisy.Recall < same.Recall-0.1 {
		t.Errorf("twice the standard deviation: %+v, the correct one: %+v; want a precision and density clearly lower",
			noisy, same)
	}
}

func TestManifoldIsDeterministic(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 1))
	a, b := points(r, 1200, 6), points(r, 1100, 6)
	for i := range b {
		a[i], b[i] = float32(int(4*a[i])), float32(int(4*b[i])) // ties
	}
	sameOnAnyCores(t, func() (ManifoldResult, error) { return Manifold(a, b, 6, 3) })
	m, err := Manifold(a, b, 6, 3)
	if err != nil {
		t.Fatal(err)
	}
	warns(t, "sizes", m.Warnings, "1200 real against 1100 fake")
}

func TestManifoldRefuses(t *testing.T) {
	ok := make([]float32, 8)
	run := func(a, b []float32, d, k int) error { _, err := Manifold(a, b, d, k); return err }
	refuses(t, "k", run(ok, ok, 2, 0), "k is 0")
	refuses(t, "large k", run(ok, ok, 2, 101), "1 to 100")
	refuses(t, "few", run(ok, ok[:6], 2, 3), "fake set of 3 vectors", "at least 4")
	refuses(t, "ragged", run(ok[:7], ok, 2, 1), "real set")
	refuses(t, "not finite", run(notFinite(), ok, 2, 1), "row 2 of the real set")
}

func BenchmarkManifold(b *testing.B) {
	r := rand.New(rand.NewPCG(1, 1))
	x, y := points(r, 2000, 2048), points(r, 2000, 2048)
	for b.Loop() {
		if _, err := Manifold(x, y, 2048, 3); err != nil {
			b.Fatal(err)
		}
	}
}
