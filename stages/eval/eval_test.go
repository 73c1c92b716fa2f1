package main

import (
	"bytes"
	"encoding/json"
	"io"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"vapo/lib/checkpoint"
	"vapo/lib/contract"
	"vapo/lib/dataset"
	"vapo/lib/failure"
	"vapo/lib/feature"
	"vapo/lib/graphop"
	"vapo/lib/layer"
	"vapo/lib/random"
	"vapo/lib/stage"
	"vapo/lib/tensorfile"
)

const edge = 16

func writeFile(t testing.TB, path string, write func(io.Writer) error) string {
	t.Helper()
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := write(f); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	return path
}

func writeSet(t testing.TB, dir, name string, s dataset.Set) string {
	t.Helper()
	path := filepath.Join(dir, name+".arrow")
	return writeFile(t, path, func(w io.Writer) error { return tensorfile.Write(w, s.Table()) })
}

// discs draws n images of a grey disc with random position and size. Unlike noise, this data set has structure.
func discs(split string, n int) *dataset.Images {
	s := &dataset.Images{Name: "discs", Split: split, N: n, C: 1, H: edge, W: edge, Pixels: make([]uint8, n*edge*edge)}
	for i := range n {
		src := random.New(1, "discs/"+split, uint64(i))
		cx, cy, r := 5+6*src.Uniform64(), 5+6*src.Uniform64(), 2+3*src.Uniform64()
		for y := range edge {
			for x := range edge {
				d := r - math.Hypot(float64(x)-cx, float64(y)-cy)
				s.Pixels[(i*edge+y)*edge+x] = uint8(255 * math.Min(1, math.Max(0, d)))
			}
		}
	}
	return s
}

// writeNetwork writes an untrained classifier. Its random features are good enough for these tests.
func writeNetwork(t testing.TB, dir string, features int) string {
	t.Helper()
	c := feature.Classifier{Shape: []int{1, edge, edge}, Classes: 3, Channels: 4, Features: features}
	b := &layer.Builder{Graph: gorgonia.NewGraph(), Dtype: tensor.Float32}
	if err := graphop.Build(func() {
		c.Build(b, graphop.Input(b.Graph, b.Dtype, "x", 2, 1, edge, edge))
	}); err != nil {
		t.Fatal(err)
	}
	config, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	ck := &checkpoint.Checkpoint{Kind: checkpoint.Classifier, Config: config}
	for _, p := range b.Params {
		for _, group := range []string{checkpoint.Param, checkpoint.EMA} {
			ck.Tensors = append(ck.Tensors, checkpoint.Named{Name: group + p.Name, Shape: p.Shape, Data: p.Draw(3)})
		}
	}
	return writeFile(t, filepath.Join(dir, "network.arrow"), func(w io.Writer) error { return checkpoint.Write(w, ck) })
}

// eval runs the stage in this process. It returns the exit code, standard output and standard error.
func eval(t testing.TB, args ...string) (failure.Class, string, string) {
	t.Helper()
	var stdout, stderr bytes.Buffer
	code := stage.Main(spec, args, &stdout, &stderr)
	return code, stdout.String(), stderr.String()
}

func readScore(t testing.TB, dir string) score {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join(dir, "score.json"))
	if err != nil {
		t.Fatal(err)
	}
	var s score
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&s); err != nil {
		t.Fatal(err)
	}
	return s
}

func ring(t testing.TB) *dataset.Mixture {
	t.Helper()
	var list []dataset.Component
	for k := range 8 {
		a := 2 * math.Pi * float64(k) / 8
		list = append(list, dataset.Component{Weight: 1, Mean: []float64{math.Cos(a), math.Sin(a)}, Std: 0.15})
	}
	m, err := dataset.NewMixture(list)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func TestPointsAgainstAKnownDensity(t *testing.T) {
	dir := t.TempDir()
	m := ring(t)
	sample := func(seed uint64, n int) *dataset.Points {
		x, _ := m.Sample(random.New(seed, "test", 0), n)
		return &dataset.Points{Name: "ring", Split: "train", N: n, D: 2, X: x, Mixture: m}
	}
	reference := writeSet(t, dir, "reference", sample(1, 500))
	perfect := sample(2, 16000)
	narrow := sample(2, 16000)
	for i := range narrow.X {
		narrow.X[i] *= 0.9
	}
	for _, tc := range []struct {
		name     string
		set      *dataset.Points
		min, max float64
	}{{"perfect", perfect, 0.8, 1.25}, {"narrow", narrow, 2, 100}} {
		out := filepath.Join(dir, tc.name)
		code, _, stderr := eval(t, "--input=samples="+writeSet(t, dir, tc.name, tc.set), "--input=reference="+reference,
			"--n=2000", "--projections=32", "--out="+out)
		if code != 0 {
			t.Fatalf("exit %d: %s", code, stderr)
		}
		s := readScore(t, out)
		if s.Ratio < tc.min || s.Ratio > tc.max {
			t.Errorf("%s samples: ratio %g, want %g to %g", tc.name, s.Ratio, tc.min, tc.max)
		}
		if s.N[0] != 2000 || len(s.Warnings) != 0 || !strings.Contains(s.Headline, "2000 samples against fresh draws") {
			t.Errorf("%s samples: score %+v, want n 2000, no warnings, and a headline with \"2000 samples against fresh "+
				"draws\"", tc.name, s)
		}
	}
}

func TestPointsAgainstPointsOnly(t *testing.T) {
	dir := t.TempDir()
	m := ring(t)
	x, _ := m.Sample(random.New(1, "test", 0), 6000)
	reference := &dataset.Points{Name: "ring", Split: "train", N: 6000, D: 2, X: x}
	y, _ := m.Sample(random.New(2, "test", 0), 900)
	samples := &dataset.Points{N: 900, D: 2, X: y}
	out := filepath.Join(dir, "out")
	code, _, stderr := eval(t, "--input=samples="+writeSet(t, dir, "s", samples),
		"--input=reference="+writeSet(t, dir, "r", reference), "--n=1000", "--pairs=4", "--projections=32", "--out="+out)
	if code != 0 {
		t.Fatalf("exit %d: %s", code, stderr)
	}
	s := readScore(t, out)
	if s.N[0] != 900 || s.Ratio < 0.5 || s.Ratio > 2 {
		t.Errorf("score %+v, want n 900 and a ratio between 0.5 and 2", s)
	}
	text := strings.Join(s.Warnings, "\n")
	if !strings.Contains(text, "900 samples, fewer") || !strings.Contains(text, "overlap") {
		t.Errorf("warnings %q, want one about 900 samples and one about the overlap", s.Warnings)
	}
}

func TestImages(t *testing.T) {
	dir := t.TempDir()
	train, test, samples := discs("train", 400), discs("test", 150), discs("samples", 90)
	copy(samples.Image(4), train.Image(17)) // eval must find this copy
	args := func(out string, more ...string) []string {
		return append([]string{
			"--input=samples=" + filepath.Join(dir, "samples.arrow"),
			"--input=reference=" + filepath.Join(dir, "train.arrow"), "--input=test=" + filepath.Join(dir, "test.arrow"),
			"--backend", "tape", "--panel", "6", "--out", filepath.Join(dir, out),
		}, more...)
	}
	writeSet(t, dir, "train", train)
	writeSet(t, dir, "test", test)
	writeSet(t, dir, "samples", samples)
	network := writeNetwork(t, dir, 16)

	code, summary, stderr := eval(t, args("a", "--input", "features="+network)...)
	if code != 0 {
		t.Fatalf("exit %d: %s", code, stderr)
	}
	s := readScore(t, filepath.Join(dir, "a"))
	gaussian, floor, all := s.Baselines[baseGaussian], s.Baselines[baseTest], s.Baselines[baseAllTest]
	// Samples from the distribution of the data score like test images, and far better than noise with the same marginals.
	if !(s.Value > 0 && s.Value < gaussian/4 && s.Value < 4*floor && all < gaussian/4) {
		t.Errorf("score %g, Gaussian %g, 90 test images %g, all test images %g; want a score above 0 and below 4 times "+
			"that of 90 test images; the score and that of all test images must be below a quarter of the Gaussian's",
			s.Value, gaussian, floor, all)
	}
	if math.Abs(s.MeanTerm+s.CovTerm-s.Value) > 1e-9*s.Value {
		t.Errorf("the terms %g and %g do not add up to the distance %g", s.MeanTerm, s.CovTerm, s.Value)
	}
	for _, want := range []string{
		"90 samples against the 400 images of discs train", "classifier-1x16x16-features16 sha256:", "per-pixel Gaussian",
		"test images",
	} {
		if !strings.Contains(s.Headline, want) {
			t.Errorf("headline %q lacks %q", s.Headline, want)
		}
		if printed := strings.ReplaceAll(summary, "\n ", ""); !strings.Contains(printed, want) {
			t.Errorf("the printed summary lacks %q:\n%s", want, summary)
		}
	}
	if !strings.Contains(s.Network, "sha256:") || s.Reference != "discs train" || s.N[0] != 90 || s.N[1] != 400 {
		t.Errorf("score %+v, want the digest of the network, the reference \"discs train\" and n 90 and 400", s)
	}
	if s.Nearest == nil || s.Nearest.Copies != 1 || s.Nearest.Compared != 90 || s.Nearest.TestLeast <= 0 ||
		!strings.Contains(strings.Join(s.Warnings, "\n"), "1 of 90 samples are copies") {
		t.Errorf("nearest %+v, want 1 copy in 90 compared and test_least above 0; warnings %q, want one about the copy",
			s.Nearest, s.Warnings)
	}
	var m contract.Manifest
	if raw, err := os.ReadFile(filepath.Join(dir, "a", "manifest.json")); err != nil || json.Unmarshal(raw, &m) != nil {
		t.Fatal(err)
	}
	if len(m.Outputs) != 4 || m.Backend != "tape" || m.Results["headline"] != s.Headline || m.Results["block"] != 64. {
		t.Errorf("manifest %+v, want 4 outputs, the backend tape, the headline %q and a block of 64", m, s.Headline)
	}

	// A second run writes the same bytes.
	if code, again, stderr := eval(t, args("b", "--json", "--input", "features="+network)...); code != 0 {
		t.Fatalf("exit %d: %s", code, stderr)
	} else {
		var m2 contract.Manifest
		if err := json.Unmarshal([]byte(again), &m2); err != nil {
			t.Fatal(err)
		}
		for name, o := range m.Outputs {
			if m2.Outputs[name].Digest != o.Digest {
				t.Errorf("output %s differs in a second run", name)
			}
		}
	}

	// Without a network, pixels are compared, with a warning.
	if code, _, stderr := eval(t, args("c")...); code != 0 {
		t.Fatalf("exit %d: %s", code, stderr)
	}
	s = readScore(t, filepath.Join(dir, "c"))
	if s.Network != "" || !strings.Contains(s.Metric, "pixels") || !slices.Contains(s.Warnings, noNetwork) ||
		s.Value > s.Baselines[baseGaussian] {
		t.Errorf("score %+v, want no network, a metric of pixels, the warning %q and a value below the Gaussian's", s,
			noNetwork)
	}
}

// A score has a warning if there are few samples for the number of features.
func TestSmallNIsAWarning(t *testing.T) {
	dir := t.TempDir()
	out := filepath.Join(dir, "out")
	code, _, stderr := eval(t, "--input=samples="+writeSet(t, dir, "s", discs("samples", 20)),
		"--input=reference="+writeSet(t, dir, "r", discs("train", 100)), "--input=features="+writeNetwork(t, dir, 24),
		"--backend=tape", "--out="+out)
	if code != 0 {
		t.Fatalf("exit %d: %s", code, stderr)
	}
	if s := readScore(t, out); !strings.Contains(strings.Join(s.Warnings, "\n"), "20 images for 24 features") {
		t.Errorf("warnings %q, want one about 20 images for 24 features", s.Warnings)
	}
}

func TestRefusals(t *testing.T) {
	dir := t.TempDir()
	images := writeSet(t, dir, "images", discs("train", 20))
	small := writeSet(t, dir, "small", &dataset.Images{N: 2, C: 1, H: 2, W: 2, Pixels: make([]uint8, 8)})
	one := writeSet(t, dir, "one", discs("one", 1))
	points := writeSet(t, dir, "points", &dataset.Points{N: 4, D: 2, X: make([]float32, 8)})
	network := writeNetwork(t, dir, 8)
	junk := writeText(t, filepath.Join(dir, "junk.arrow"), "ARROW1 no more")
	other := writeFile(t, filepath.Join(dir, "potential.arrow"), func(w io.Writer) error {
		tensors := []checkpoint.Named{{Name: "param/a", Data: []float32{1}}}
		ck := checkpoint.Checkpoint{Kind: checkpoint.Potential, Config: json.RawMessage("{}"), Tensors: tensors}
		return checkpoint.Write(w, &ck)
	})
	pair := func(samples, reference string, more ...string) []string {
		return append([]string{"--input=samples=" + samples, "--input=reference=" + reference}, more...)
	}
	for _, tc := range []struct {
		name string
		args []string
		code failure.Class
		want string
	}{
		{"kinds", pair(points, images), failure.Input, "holds points"},
		{"sizes", pair(images, small), failure.Input, "[1 16 16]"},
		{"test size", pair(images, images, "--input=test="+small), failure.Input, "input test"},
		{"one sample", pair(one, images), failure.Input, "input samples holds 1 rows"},
		{"damaged", pair(junk, images), failure.Input, "input samples"},
		{"features of points", pair(points, points, "--input=features="+network), failure.Input,
			"without a feature network"},
		{"no network", pair(images, images, "--input=features="+images), failure.Input, "feature network"},
		{"another network", pair(images, images, "--input=features="+other), failure.Input, "expected a classifier"},
		{"network of another size", pair(small, small, "--input=features="+network), failure.Input, "features"},
		{"missing", []string{"--input", "samples=" + images}, failure.Input, "reference"},
		{"parameter", pair(images, images, "--pairs=0"), failure.Usage, "pairs is 0"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			out := filepath.Join(dir, "out-"+strings.ReplaceAll(tc.name, " ", "-"))
			code, stdout, stderr := eval(t, append(tc.args, "--out", out)...)
			if tc.name == "missing" && code == failure.Usage {
				code = failure.Input // either class is acceptable
			}
			if code != tc.code || !strings.Contains(stderr, tc.want) {
				t.Errorf("exit %d, %s; want %d with %q", code, stderr, tc.code, tc.want)
			}
			if stdout != "" {
				t.Errorf("the failed run printed to standard output: %s", stdout)
			}
			if _, err := os.Stat(filepath.Join(out, "manifest.json")); err == nil {
				t.Error("the failed run left a manifest")
			}
		})
	}
}

func TestWindowsSpreadEvenly(t *testing.T) {
	x := make([]float32, 100)
	for i := range x {
		x[i] = float32(i)
	}
	for _, tc := range []struct {
		n, pairs int
		starts   []float32
	}{
		{25, 4, []float32{0, 25, 50, 75}}, {10, 3, []float32{0, 10, 20}}, {40, 3, []float32{0, 30, 60}},
		{100, 3, []float32{0, 0, 0}}, {7, 1, []float32{0}},
	} {
		for k, want := range tc.starts {
			w := window(x, 1, tc.n, k, tc.pairs)
			if len(w) != tc.n || w[0] != want {
				t.Errorf("window %d of %d starts at row %g and has %d rows, want row %g and %d rows", k, tc.pairs, w[0], len(w),
					want, tc.n)
			}
		}
	}
}
