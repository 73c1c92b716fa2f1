package dataset

import (
	"bytes"
	"encoding/json"
	"math"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"gonum.org/v1/gonum/stat"

	"vapo/lib/failure"
	"vapo/lib/random"
	"vapo/lib/tensorfile"
)

// reread writes a set to a tensor file in memory and reads it back.
func reread(t *testing.T, s Set) Set {
	t.Helper()
	var b bytes.Buffer
	if err := tensorfile.Write(&b, s.Table()); err != nil {
		t.Fatal(err)
	}
	table, err := tensorfile.Decode(bytes.NewReader(b.Bytes()), int64(b.Len()))
	if err != nil {
		t.Fatal(err)
	}
	got, err := FromTable(table)
	if err != nil {
		t.Fatal(err)
	}
	return got
}

func TestSetsRoundTrip(t *testing.T) {
	mixture, err := NewMixture([]Component{{3, []float64{1, 2, 3}, 0.5}, {4, []float64{0, 0, 0}, 0.1}})
	if err != nil {
		t.Fatal(err)
	}
	x, labels := mixture.Sample(random.New(1, "test", 0), 50)
	sets := []Set{
		&Images{Name: "digits", Split: "train", N: 3, C: 1, H: 1, W: 2, Pixels: []uint8{1, 2, 3, 4, 5, 6},
			Labels: []int64{1, 0, 1}, Classes: []string{"zero", "one"}},
		&Images{N: 1, C: 1, H: 1, W: 2, Pixels: []uint8{1, 2}},
		&Points{Name: "mixture", Split: "test", N: 50, D: 3, X: x, Labels: labels, Mixture: mixture},
		&Points{N: 2, D: 1, X: []float32{1, 2}},
	}
	for _, s := range sets {
		if d := cmp.Diff(s, reread(t, s)); d != "" {
			t.Errorf("%T: (-want +got)\n%s", s, d)
		}
		if h := s.Head(1); h.Len() != 1 || !slices.Equal(h.Shape(), s.Shape()) {
			t.Errorf("%T: Head(1) has %d samples of %v, want 1 of %v", s, h.Len(), h.Shape(), s.Shape())
		} else {
			reread(t, h) // fails if the columns differ in length
		}
		if h := s.Head(1000); h.Len() != s.Len() {
			t.Errorf("%T: Head(1000) has %d samples, want all %d", s, h.Len(), s.Len())
		}
	}
}

func TestFromTableRefuses(t *testing.T) {
	image := tensorfile.Column{Name: ImageColumn, Shape: []int{1, 1, 1}, Data: []uint8{7}}
	point := tensorfile.Column{Name: PointColumn, Shape: []int{1}, Data: []float32{7}}
	label := func(l int64) tensorfile.Column { return tensorfile.Column{Name: LabelColumn, Data: []int64{l}} }
	for name, c := range map[string]struct {
		columns []tensorfile.Column
		meta    map[string]string
		want    string
	}{
		"neither": {[]tensorfile.Column{label(1)}, nil, "neither"},
		"float images": {
			[]tensorfile.Column{{Name: ImageColumn, Shape: []int{1, 1, 1}, Data: []float32{1}}}, nil,
			"float32, expected uint8",
		},
		"flat images": {
			[]tensorfile.Column{{Name: ImageColumn, Shape: []int{1}, Data: []uint8{1}}}, nil, "[C, H, W]",
		},
		"scalar points": {[]tensorfile.Column{{Name: PointColumn, Data: []float32{1}}}, nil, "[D]"},
		"NaN": {
			[]tensorfile.Column{{Name: PointColumn, Shape: []int{1}, Data: []float32{float32(math.NaN())}}}, nil,
			"row 0 holds NaN",
		},
		"float labels": {
			[]tensorfile.Column{image, {Name: LabelColumn, Data: []float64{1}}}, nil, "float64, expected int64",
		},
		"label beyond": {
			[]tensorfile.Column{image, label(2)}, map[string]string{MetaClasses: `["a","b"]`},
			"row 0 has label 2, expected 0..1",
		},
		"negative label": {
			[]tensorfile.Column{image, label(-1)}, map[string]string{MetaClasses: `["a","b"]`}, "label -1",
		},
		"classes not JSON": {[]tensorfile.Column{image}, map[string]string{MetaClasses: `a,b`}, "list of names"},
		"mixture of another dimension": {
			[]tensorfile.Column{point},
			map[string]string{MetaMixture: `{"components":[{"weight":1,"mean":[1,2],"std":1}]}`}, "mixture has 2",
		},
		"invalid mixture": {
			[]tensorfile.Column{point},
			map[string]string{MetaMixture: `{"components":[{"weight":-1,"mean":[1],"std":1}]}`}, "weight -1",
		},
		"empty mixture": {[]tensorfile.Column{point}, map[string]string{MetaMixture: `{}`}, "no components"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := FromTable(&tensorfile.Table{Rows: 1, Columns: c.columns, Meta: c.meta})
			if failure.ClassOf(err) != failure.Input || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error %v, want %q", err, c.want)
			}
		})
	}
	if _, err := Read(filepath.Join(t.TempDir(), "none")); err == nil {
		t.Error("no error for a missing file")
	}
}

func TestMixtureRefuses(t *testing.T) {
	ok := Component{Weight: 1, Mean: []float64{0, 0}, Std: 1}
	for name, components := range map[string][]Component{
		"none":           nil,
		"empty mean":     {{Weight: 1, Std: 1}},
		"zero weight":    {ok, {Weight: 0, Mean: []float64{0, 0}, Std: 1}},
		"NaN weight":     {{Weight: math.NaN(), Mean: []float64{0, 0}, Std: 1}},
		"negative std":   {{Weight: 1, Mean: []float64{0, 0}, Std: -1}},
		"NaN std":        {{Weight: 1, Mean: []float64{0, 0}, Std: math.NaN()}},
		"other length":   {ok, {Weight: 1, Mean: []float64{0}, Std: 1}},
		"infinite mean":  {{Weight: 1, Mean: []float64{0, math.Inf(1)}, Std: 1}},
		"beyond float32": {{Weight: 1, Mean: []float64{0, 1e39}, Std: 1}},
		"infinite sum": {
			{Weight: math.MaxFloat64, Mean: []float64{0}, Std: 1},
			{Weight: math.MaxFloat64, Mean: []float64{0}, Std: 1},
		},
	} {
		if _, err := NewMixture(components); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

// TestMixtureJSON: a mixture survives JSON bit for bit, weights included.
func TestMixtureJSON(t *testing.T) {
	m, err := NewMixture([]Component{{0.1, []float64{1, 2}, 0.3}, {0.7, []float64{-1, 0}, 0}, {1e-3, []float64{5, 5}, 2}})
	if err != nil {
		t.Fatal(err)
	}
	b, err := json.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	var got Mixture
	if err := json.Unmarshal(b, &got); err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(m, &got); d != "" {
		t.Error(d)
	}
}

// TestLogDensity compares with a closed form and integrates the density over the plane.
func TestLogDensity(t *testing.T) {
	one, err := NewMixture([]Component{{5, []float64{1, 2, 3}, 2}})
	if err != nil {
		t.Fatal(err)
	}
	// log N((2,2,3); (1,2,3), 4 I) = -1/8 - 3 log(2 sqrt(2 pi))
	want := -1.0/8 - 3*math.Log(2*math.Sqrt(2*math.Pi))
	if got := one.LogDensity([]float64{2, 2, 3}); math.Abs(got-want) > 1e-14 {
		t.Errorf("log density %v, want %v", got, want)
	}
	m, err := NewMixture([]Component{{1, []float64{-1, 0}, 0.3}, {2, []float64{1, 0.5}, 0.5}})
	if err != nil {
		t.Fatal(err)
	}
	const h = 0.02
	var mass float64
	for x := -6.0; x < 6; x += h {
		for y := -6.0; y < 6; y += h {
			mass += math.Exp(m.LogDensity([]float64{x, y})) * h * h
		}
	}
	if math.Abs(mass-1) > 1e-6 {
		t.Errorf("the density integrates to %v, want 1", mass)
	}
	if got := m.LogDensity([]float64{1e6, 1e6}); math.IsNaN(got) || math.IsInf(got, 0) {
		t.Errorf("log density far away is %v, want a finite number", got)
	}
}

// TestMixtureSample compares the moments of each component's points with its parameters, to within five standard
// errors.
func TestMixtureSample(t *testing.T) {
	m, err := NewMixture([]Component{{1, []float64{-1, 0, 2}, 0.3}, {3, []float64{1, 0.5, -2}, 0.7}})
	if err != nil {
		t.Fatal(err)
	}
	const n = 40000
	x, component := m.Sample(random.New(1, "test", 0), n)
	for k, c := range m.Components {
		for j := range 3 {
			var values []float64
			for i := range n {
				if component[i] == int64(k) {
					values = append(values, float64(x[3*i+j]))
				}
			}
			count := float64(len(values))
			if bound := 5 * math.Sqrt(n*c.Weight*(1-c.Weight)); math.Abs(count-n*c.Weight) > bound {
				t.Errorf("component %d: %v of %d points, want %v within %v", k, count, n, n*c.Weight, bound)
			}
			mean, std := stat.MeanStdDev(values, nil)
			if math.Abs(mean-c.Mean[j]) > 5*c.Std/math.Sqrt(count) || math.Abs(std-c.Std) > 5*c.Std/math.Sqrt(2*count) {
				t.Errorf("component %d, coordinate %d: mean %v std %v, want %v %v", k, j, mean, std, c.Mean[j], c.Std)
			}
		}
	}
}
