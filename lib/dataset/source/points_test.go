package source

import (
	"math"
	"slices"
	"testing"

	"vapo/lib/dataset"
)

func TestPointsPrefixAndSplits(t *testing.T) {
	for _, source := range []string{"8gaussians", "two-moons", "rings"} {
		train, test, err := Points(source, 0.1, nil, 1, 100, 100)
		if err != nil {
			t.Fatal(err)
		}
		longer, _, err := Points(source, 0.1, nil, 1, 1000, 1)
		if err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(train.X, longer.X[:200]) || !slices.Equal(train.Labels, longer.Labels[:100]) {
			t.Errorf("%s: the first points depend on how many are drawn", source)
		}
		if slices.Equal(train.X, test.X) {
			t.Errorf("%s: training and test points are the same", source)
		}
		other, _, err := Points(source, 0.1, nil, 2, 100, 1)
		if err != nil {
			t.Fatal(err)
		}
		if slices.Equal(train.X, other.X) {
			t.Errorf("%s: two seeds draw the same points", source)
		}
	}
}

// TestCurves: without noise, the points lie on the curves.
func TestCurves(t *testing.T) {
	rings, _, err := Points("rings", 0, nil, 1, 1000, 1)
	if err != nil {
		t.Fatal(err)
	}
	for i := range rings.N {
		p := rings.Point(i)
		if r := math.Hypot(float64(p[0]), float64(p[1])); math.Abs(r-ringRadii[rings.Labels[i]]) > 1e-6 {
			t.Fatalf("ring point %d has radius %v, want %v", i, r, ringRadii[rings.Labels[i]])
		}
	}
	moons, _, err := Points("two-moons", 0, nil, 1, 1000, 1)
	if err != nil {
		t.Fatal(err)
	}
	for i := range moons.N {
		p := moons.Point(i)
		x, y := float64(p[0])+0.5, float64(p[1])+0.25
		if moons.Labels[i] == 1 {
			x, y = float64(p[0])-0.5, float64(p[1])-0.25
		}
		if above := moons.Labels[i] == 0; math.Abs(math.Hypot(x, y)-1) > 1e-6 || above && y < -1e-6 || !above && y > 1e-6 {
			t.Fatalf("moon point %d, label %d, is %v, not on its half circle", i, moons.Labels[i], p)
		}
	}
}

func TestPointsRefuses(t *testing.T) {
	one := []dataset.Component{{Weight: 1, Mean: []float64{0}, Std: 1}}
	for name, err := range map[string]error{
		"unknown":             second(Points("spiral", 0.1, nil, 1, 1, 1)),
		"negative std":        second(Points("rings", -1, nil, 1, 1, 1)),
		"NaN std":             second(Points("two-moons", math.NaN(), nil, 1, 1, 1)),
		"mixture of nothing":  second(Points("mixture", 0.1, nil, 1, 1, 1)),
		"components of rings": second(Points("rings", 0.1, one, 1, 1, 1)),
	} {
		if err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

func second(_, _ *dataset.Points, err error) error { return err }
