package metrics

import (
	"fmt"
	"math"
	"math/rand/v2"
	"sync/atomic"
	"testing"
)

func TestJackknifeAgreesWithSciPy(t *testing.T) {
	g := readSets(t).Jackknife
	a, d := goldenSet(g.A, 0)
	b, _ := goldenData(g.B)
	r, err := Jackknife(a, momentsOf(t, b, d), d, g.Groups)
	if err != nil {
		t.Fatal(err)
	}
	for i, v := range r.Without {
		if relative(v, g.Without[i]) > 1e-10 {
			t.Errorf("without group %d: %.12g, SciPy has %.12g", i, v, g.Without[i])
		}
	}
	for name, pair := range map[string][2]float64{
		"value": {r.Value, g.Value}, "error": {r.StdErr, g.StdErr}, "low": {r.Low, g.Low}, "high": {r.High, g.High},
	} {
		if relative(pair[0], pair[1]) > 1e-9 {
			t.Errorf("%s: %.12g, SciPy has %.12g", name, pair[0], pair[1])
		}
	}
}

// The standard error agrees with the standard deviation over independent draws. At least 85 of 100 intervals, which are
// 95% intervals, contain the mean over the draws.
func TestJackknifeEstimatesTheError(t *testing.T) {
	const n, d, draws = 400, 4, 100
	reference := exactly(t, d, 0.3, 1.1)
	var values, errors []float64
	var results []JackknifeResult
	for i := range uint64(draws) {
		r, err := Jackknife(points(rand.New(rand.NewPCG(i, 3)), n, d), reference, d, 10)
		if err != nil {
			t.Fatal(err)
		}
		results = append(results, r)
		values, errors = append(values, r.Value), append(errors, r.StdErr)
	}
	mean, spread := meanStd(values)
	typical, _ := meanStd(errors)
	if ratio := typical / spread; ratio < 1/1.25 || ratio > 1.25 {
		t.Errorf("mean standard error %.4g, want about %.4g, the standard deviation of the values of %d draws",
			typical, spread, draws)
	}
	held := 0
	for _, r := range results {
		if r.StdErr < spread/3 || r.StdErr > 3*spread {
			t.Errorf("standard error %.4g, want within a factor of 3 of %.4g", r.StdErr, spread)
		}
		if r.Low <= mean && mean <= r.High {
			held++
		}
	}
	if held < 85 {
		t.Errorf("%d of %d intervals contain the mean, want at least 85", held, draws)
	}
}

// Groups do not coincide with classes, even if there are as many classes as groups and the images alternate between
// classes or are sorted by class. The standard error is within a factor of two of that for images in random order.
func TestJackknifeIgnoresTheOrder(t *testing.T) {
	const n, d, classes = 600, 2, 10
	r := rand.New(rand.NewPCG(4, 1))
	turns, blocks := make([]float32, 0, n*d), make([]float32, 0, n*d)
	noise := points(r, n, d)
	at := func(i, class int) []float32 {
		return []float32{noise[i*d] + 5*float32(class), noise[i*d+1]}
	}
	for i := range n {
		turns = append(turns, at(i, i%classes)...)
		blocks = append(blocks, at(i, i*classes/n)...)
	}
	shuffled := make([]float32, 0, n*d)
	for _, i := range r.Perm(n) {
		shuffled = append(shuffled, turns[i*d:(i+1)*d]...)
	}
	reference := exactly(t, d, 20, 10)
	var errs []float64
	for _, x := range [][]float32{turns, blocks, shuffled} {
		r, err := Jackknife(x, reference, d, 10)
		if err != nil {
			t.Fatal(err)
		}
		errs = append(errs, r.StdErr)
	}
	for _, e := range errs[:2] {
		if e > 2*errs[2] || e < errs[2]/2 {
			t.Errorf("standard errors %v for classes in turn, in blocks and at random differ by more than a factor of 2",
				errs)
		}
	}
}

func TestJackknifeIsDeterministic(t *testing.T) {
	a := points(rand.New(rand.NewPCG(5, 1)), 503, 8)
	b := exactly(t, 8, 0.2, 1)
	sameOnAnyCores(t, func() (JackknifeResult, error) { return Jackknife(a, b, 8, 7) })
	r, err := Jackknife(a, b, 8, 7)
	if err != nil {
		t.Fatal(err)
	}
	whole, err := FrechetDistance(momentsOf(t, a, 8), b)
	if err != nil || relative(r.Value, whole.Value) > 1e-12 {
		t.Errorf("value %g, %v, want %g", r.Value, err, whole.Value)
	}
	if len(r.Without) != 7 || r.Low >= r.Value || r.High <= r.Value {
		t.Errorf("%+v: want 7 groups and an interval around the value", r)
	}
}

func TestJackknifeWarns(t *testing.T) {
	for _, tc := range []struct {
		n    int
		warn bool
	}{{22, true}, {24, false}} { // of 22 or 24 vectors, 19 or 21 are left, for 20 features
		r, err := Jackknife(points(rand.New(rand.NewPCG(6, 1)), tc.n, 20), exactly(t, 20, 0, 1), 20, 10)
		if err != nil {
			t.Fatal(err)
		}
		if tc.warn {
			warns(t, "few", r.Warnings, "19 images for 20 features without a group")
		} else if len(r.Warnings) != 1 { // the distance warns: fewer vectors than twice the features
			t.Errorf("%d vectors: warnings %q, want only that of the distance", tc.n, r.Warnings)
		}
		if r.Low < 0 || math.IsNaN(r.StdErr) {
			t.Errorf("%+v: want Low of at least 0 and StdErr not NaN", r)
		}
	}
}

func TestJackknifeRefuses(t *testing.T) {
	b := exactly(t, 2, 0, 1)
	ok := points(rand.New(rand.NewPCG(1, 1)), 40, 2)
	run := func(a []float32, b *Moments, d, g int) error { _, err := Jackknife(a, b, d, g); return err }
	refuses(t, "one group", run(ok, b, 2, 1), "1 groups")
	refuses(t, "many", run(ok, b, 2, 51), "2 to 50")
	refuses(t, "few", run(ok[:38], b, 2, 10), "19 vectors", "at least 20")
	refuses(t, "reference", run(ok, nil, 2, 10), "reference")
	refuses(t, "dimension", run(ok, exactly(t, 3, 0, 1), 2, 10), "dimension 2")
	refuses(t, "not finite", run(notFinite(), b, 2, 2), "row 2 of the sample set")
}

// Every distance is computed once. If several computations fail, the error is that of the lowest index.
func TestDistancesAtOnce(t *testing.T) {
	const n = 11
	var done [n]atomic.Int32
	err := distancesAtOnce(n, func(i int) error {
		done[i].Add(1)
		if i%4 == 2 {
			return fmt.Errorf("distance %d", i)
		}
		return nil
	})
	refuses(t, "distances", err, "distance 2")
	for i := range done {
		if c := done[i].Load(); c != 1 {
			t.Errorf("distance %d was computed %d times, want once", i, c)
		}
	}
}

// The integral of Student's density from 0 to each quantile, by Simpson's rule, is 0.475.
func TestStudentT(t *testing.T) {
	for i, quantile := range studentT {
		nu := float64(i + 1)
		upper, _ := math.Lgamma((nu + 1) / 2)
		lower, _ := math.Lgamma(nu / 2)
		density := func(x float64) float64 {
			return math.Exp(upper-lower) / math.Sqrt(nu*math.Pi) * math.Pow(1+x*x/nu, -(nu+1)/2)
		}
		const steps = 4000
		h := quantile / steps
		sum := density(0) + density(quantile)
		for k := 1; k < steps; k++ {
			sum += float64(2+2*(k%2)) * density(float64(k)*h)
		}
		if got := sum * h / 3; math.Abs(got-0.475) > 1e-11 {
			t.Errorf("%d degrees of freedom: probability %.14g between 0 and %g, want 0.475", i+1, got, quantile)
		}
	}
}
