package metrics

import (
	"encoding/json"
	"math"
	"os"
	"reflect"
	"runtime"
	"strings"
	"testing"
)

// goldenSets is the content of testdata/sets.json, which testdata/sets.py writes.
type goldenSets struct {
	KID []struct {
		A, B          [6]float64
		Size, Subsets int
		Mean, Std     float64
	}
	Score []struct {
		A         [6]float64
		Splits    int
		Mean, Std float64
	}
	Manifold []struct {
		A, B                                 [6]float64
		K, Copies                            int
		Grid                                 float64
		Precision, Recall, Density, Coverage float64
	}
	Infinity struct {
		A, B                   [6]float64
		Distances              []float64
		Value, Slope, Residual float64
	}
	Jackknife struct {
		A, B                     [6]float64
		Groups                   int
		Without                  []float64
		Value, StdErr, Low, High float64
	}
	MMD []struct {
		A, B      [6]float64
		Limit     int
		Bandwidth float64
		Scales    [5]float64
	}
	AUROC []struct {
		A, B        [6]float64
		Grid, Value float64
	}
}

func readSets(t *testing.T) (g goldenSets) {
	t.Helper()
	raw, err := os.ReadFile("testdata/sets.json")
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(raw, &g); err != nil {
		t.Fatal(err)
	}
	return g
}

// goldenSet returns the data for the parameters p. If grid is not zero, values are rounded to multiples of grid.
func goldenSet(p [6]float64, grid float64) (x []float32, d int) {
	values, d := goldenData(p)
	if grid > 0 {
		for i, v := range values {
			values[i] = math.RoundToEven(v/grid) * grid
		}
	}
	return single(values), d
}

// closeTo reports whether |got - want| is at most tol times the larger of |want| and 1.
func closeTo(got, want, tol float64) bool {
	return math.Abs(got-want) <= tol*max(1, math.Abs(want))
}

// sameOnAnyCores requires that f has the same result on one processor and on four.
func sameOnAnyCores[T any](t *testing.T, f func() (T, error)) {
	t.Helper()
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(0))
	var results [2]T
	for i, n := range []int{1, 4} {
		runtime.GOMAXPROCS(n)
		var err error
		if results[i], err = f(); err != nil {
			t.Fatal(err)
		}
	}
	if !reflect.DeepEqual(results[0], results[1]) {
		t.Errorf("the metrics are %+v on one processor, %+v on four, want the same", results[0], results[1])
	}
}

// refuses requires an error that contains each of the words.
func refuses(t *testing.T, name string, err error, words ...string) {
	t.Helper()
	if err == nil {
		t.Errorf("%s: no error", name)
		return
	}
	for _, w := range words {
		if !strings.Contains(err.Error(), w) {
			t.Errorf("%s: error %q does not say %q", name, err, w)
		}
	}
}

func warns(t *testing.T, name string, warnings []string, word string) {
	t.Helper()
	if !strings.Contains(strings.Join(warnings, "\n"), word) {
		t.Errorf("%s: warnings %q do not say %q", name, warnings, word)
	}
}

// notFinite returns a set [4, 2] with an infinity in row 2, column 1.
func notFinite() []float32 { return []float32{1, 2, 3, 4, 5, float32(math.Inf(1)), 7, 8} }
