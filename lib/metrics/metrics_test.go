package metrics

import (
	"encoding/json"
	"math"
	"math/rand/v2"
	"os"
	"testing"
)

func normals(r *rand.Rand, n, d int, shift, scale float64) []float64 {
	x := make([]float64, n*d)
	for i := range x {
		x[i] = shift + scale*r.NormFloat64()
	}
	return x
}

func relative(got, want float64) float64 {
	return math.Abs(got-want) / math.Max(math.Abs(want), 1e-300)
}

// golden is the content of testdata/golden.json, which testdata/golden.py writes.
type golden struct {
	Frechet []struct {
		Name  string
		A, B  [6]float64
		Value float64
	}
	W2 []struct {
		A, B  [6]float64
		Value float64
	}
}

func readGolden(t *testing.T) golden {
	t.Helper()
	raw, err := os.ReadFile("testdata/golden.json")
	if err != nil {
		t.Fatal(err)
	}
	var g golden
	if err := json.Unmarshal(raw, &g); err != nil {
		t.Fatal(err)
	}
	return g
}

// goldenData returns the same bits as data() in golden.py. All values are float32 numbers.
func goldenData(p [6]float64) (x []float64, d int) {
	state := uint64(p[0])
	n, d := int(p[1]), int(p[2])
	shift, scale, decay := p[3], p[4], p[5]
	for range n {
		last := 0.0
		for j := range d {
			state = (state*1103515245 + 12345) % (1 << 31)
			last = float64(0.5*last) + (float64(state)/(1<<30) - 1)
			x = append(x, float64(float32(shift+float64(float64(scale*last)/(1+float64(decay*float64(j)))))))
		}
	}
	return x, d
}

// single converts x to float32, the type of features.
func single(x []float64) []float32 {
	rows := make([]float32, len(x))
	for i, v := range x {
		rows[i] = float32(v)
	}
	return rows
}

func momentsOf[T float32 | float64](t testing.TB, x []T, d int) *Moments {
	t.Helper()
	rows := make([]float32, len(x))
	for i, v := range x {
		rows[i] = float32(v)
	}
	m := NewMoments(d)
	if err := m.Add(rows); err != nil {
		t.Fatal(err)
	}
	return m
}

func TestRelativeRMS(t *testing.T) {
	got, err := RelativeRMS([]float32{1.5, 2, 0}, []float32{1, 2, 2})
	if want := math.Sqrt(4.25 / 9); err != nil || relative(got, want) > 1e-15 {
		t.Errorf("RelativeRMS = %v, %v, want %v", got, err, want)
	}
	for name, pair := range map[string][2][]float32{
		"lengths": {{1}, {1, 2}},
		"zero":    {{1}, {0}},
		"empty":   {{}, {}},
		"NaN":     {{float32(math.NaN())}, {1}},
	} {
		if v, err := RelativeRMS(pair[0], pair[1]); err == nil {
			t.Errorf("%s: RelativeRMS = %v, want an error", name, v)
		}
	}
}
