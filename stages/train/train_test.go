package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"vapo/lib/contract"
	"vapo/lib/dataset"
	"vapo/lib/failure"
	"vapo/lib/objectstore/objectstoretest"
	"vapo/lib/program"
	"vapo/lib/random"
	"vapo/lib/stage"
	"vapo/lib/tensorfile"
	"vapo/stages/train/internal/data"
	"vapo/stages/train/internal/watch"
)

func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == streamed {
		data.Limits, data.InMemory = narrow, 0
		os.Exit(int(stage.Main(spec, os.Args[2:], os.Stdout, os.Stderr)))
	}
	os.Unsetenv("VAPO_STORE")
	code := objectstoretest.Main(m)
	if binaryDir != "" {
		os.RemoveAll(binaryDir)
	}
	os.Exit(code)
}

var binaryDir string

// binary returns the path of the stage program, which is built on first use.
var binary = sync.OnceValue(func() string {
	dir, err := os.MkdirTemp("", "train-test-*")
	if err != nil {
		panic(err)
	}
	binaryDir = dir
	path := filepath.Join(dir, "train")
	if out, err := exec.Command("go", "build", "-o", path, ".").CombinedOutput(); err != nil {
		panic(fmt.Sprintf("go build: %v\n%s", err, out))
	}
	return path
})

// train runs the stage in this process.
func train(t *testing.T, args ...string) (code failure.Class, m *contract.Manifest, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	code = stage.Main(spec, append(args, "--json"), &out, &errs)
	if code == failure.OK {
		var err error
		if m, err = contract.DecodeManifest(out.Bytes()); err != nil {
			t.Fatalf("manifest: %v\n%s", err, out.Bytes())
		}
	}
	return code, m, errs.String()
}

func write(t *testing.T, name string, set dataset.Set) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := program.WriteFile(path, func(w io.Writer) error { return tensorfile.Write(w, set.Table()) }); err != nil {
		t.Fatal(err)
	}
	return path
}

// points writes points drawn from a Gaussian mixture. The file describes the mixture.
func points(t *testing.T) string {
	t.Helper()
	m, err := dataset.NewMixture([]dataset.Component{
		{Weight: 1, Mean: []float64{0.6, 0}, Std: 0.1}, {Weight: 2, Mean: []float64{-0.5, 0.5}, Std: 0.2},
	})
	if err != nil {
		t.Fatal(err)
	}
	x, labels := m.Sample(random.New(1, "test", 0), 500)
	return write(t, "points.arrow", &dataset.Points{Name: "two", N: 500, D: 2, X: x, Labels: labels, Mixture: m})
}

func pictures(t *testing.T, side int, edit func(s *dataset.Images)) string {
	t.Helper()
	const n = 40
	s := &dataset.Images{Name: "squares", N: n, C: 1, H: side, W: side, Pixels: make([]uint8, n*side*side),
		Classes: []string{"low", "high"}}
	for i := range n {
		s.Labels = append(s.Labels, int64(i%2))
		for k := range side * side {
			s.Pixels[i*side*side+k] = uint8(100*(i%2) + (i*31+k*7)%120)
		}
	}
	if edit != nil {
		edit(s)
	}
	return write(t, "pictures.arrow", s)
}

func small(data string, more ...string) []string {
	args := []string{"--input=data=" + data, "--backend=tape", "--steps=25", "--batch=16", "--warmup=5", "--log-every=10"}
	if !slices.ContainsFunc(more, func(arg string) bool {
		return strings.HasPrefix(arg, "--model=") || strings.HasPrefix(arg, "--preset=")
	}) {
		args = append(args, "--width=12", "--depth=2")
	}
	return append(args, more...)
}

func smallUNet(data string, more ...string) []string {
	return small(data, append([]string{"--model=unet", "--channels=4", "--channel-mult=[1,2]", "--groups=2", "--batch=5",
		"--steps=6"}, more...)...)
}

func smallClassifier(data string, more ...string) []string {
	return small(data, append([]string{"--model=classifier", "--channels=2", "--features=5"}, more...)...)
}

func TestMetrics(t *testing.T) {
	dir := t.TempDir()
	code, m, stderr := train(t, small(points(t), "--field-every=8", "--variance-every=10", "--variance-batches=3",
		"--out="+dir)...)
	if code != 0 {
		t.Fatalf("exit %d\n%s", code, stderr)
	}
	raw, err := os.ReadFile(filepath.Join(dir, "metrics.ndjson"))
	if err != nil {
		t.Fatal(err)
	}
	var steps []int64
	before := int64(0)
	for _, text := range strings.Split(strings.TrimSpace(string(raw)), "\n") {
		var l watch.Line
		if err := json.Unmarshal([]byte(text), &l); err != nil {
			t.Fatal(err)
		}
		steps = append(steps, l.Step)
		if l.Loss == nil || *l.Loss == 0 || l.GradNorm <= 0 || l.FieldRMS <= 0 || l.Rate < 0 {
			t.Errorf("line %s: want a loss other than 0, grad_norm and field_rms above 0, and no negative rate", text)
		}
		if withField := l.Step%8 == 0; withField != (len(l.FieldError) == 3) {
			t.Errorf("step %d has the field errors %v, want three after every 8th step and none otherwise", l.Step,
				l.FieldError)
		}
		counted := int64(0)
		for _, b := range l.Bins {
			counted += b.Count
			if b.Count > 0 && (b.Loss <= 0 || b.GradRMS <= 0) {
				t.Errorf("step %d: bin %+v, want a loss and a gradient above 0", l.Step, b)
			}
		}
		if len(l.Bins) != 10 || counted != 16*(l.Step-before) {
			t.Errorf("step %d: %d samples in %d bins, want 16 per step since step %d, in 10 bins", l.Step, counted,
				len(l.Bins), before)
		}
		before = l.Step
		if measured := l.Step%10 == 0; measured != (len(l.Variance) == 10) || measured && l.Variance[3].Variance <= 0 {
			t.Errorf("step %d: variances %+v of the gradient, want 10 after every 10th step and none otherwise", l.Step,
				l.Variance)
		}
	}
	if want := []int64{8, 10, 16, 20, 24, 25}; !slices.Equal(steps, want) {
		t.Errorf("lines at steps %v, want %v", steps, want)
	}
	if n := len(m.Results["timeline"].([]any)); n != 3 {
		t.Errorf("%d marks on the timeline, want 3", n)
	}
	for _, key := range []string{"parameters", "memory_bytes", "train_seconds", "samples_per_second", "final_loss"} {
		if v, ok := m.Results[key].(float64); !ok || v == 0 {
			t.Errorf("the result %s is %v, want a number other than 0", key, m.Results[key])
		}
	}
}

func TestClassifierAccuracy(t *testing.T) {
	data := pictures(t, 8, nil)
	code, m, stderr := train(t, smallClassifier(data, "--input=test="+data, "--steps=150", "--learning-rate=0.01",
		"--ema-half-life=[100]", "--out="+t.TempDir())...)
	if code != 0 {
		t.Fatalf("exit %d\n%s", code, stderr)
	}
	if a := m.Results["accuracy"]; a != 1.0 || m.Results["accuracy_images"] != 40.0 {
		t.Errorf("accuracy %v on %v images whose classes differ in brightness, want 1 on 40", a, m.Results["accuracy_images"])
	}
}

func TestRefusals(t *testing.T) {
	data, images := points(t), pictures(t, 8, nil)
	text := filepath.Join(t.TempDir(), "text.arrow")
	if err := os.WriteFile(text, []byte("x1,x2\n1,2\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	whole, err := os.ReadFile(data)
	if err != nil {
		t.Fatal(err)
	}
	cut := filepath.Join(t.TempDir(), "cut.arrow")
	if err := os.WriteFile(cut, whole[:len(whole)-100], 0o644); err != nil {
		t.Fatal(err)
	}
	plain := func(set dataset.Set) string { return write(t, "set.arrow", set) }
	for _, c := range []struct {
		message string
		code    failure.Class
		args    []string
	}{
		{"learning rate", 2, small(data, "--learning-rate=0")},
		{"learning rate", 2, small(data, "--learning-rate=1e39")},
		{"learning-rate", 2, small(data, "--learning-rate=nan")},
		{"epsilon", 2, small(data, "--epsilon=1e-60")},
		{"betas", 2, small(data, "--beta1=1")},
		{"steps", 2, small(data, "--steps=0")},
		{"batch", 2, small(data, "--batch=0")},
		{"batch", 2, small(data, "--batch=1000000000000")},
		{"width", 2, small(data, "--width=0")},
		{"depth", 2, small(data, "--depth=0")},
		{"frequencies", 2, small(data, "--fourier=99")},
		{"prior", 2, small(data, "--prior-std=-1")},
		{"schedule", 2, small(data, "--schedule=bent")},
		{"objective", 2, small(data, "--objective=hope")},
		{"objective", 2, small(data, "--objective=hybrid", "--schedule=vp")},
		{"batch", 2, small(data, "--objective=hybrid", "--batch=1")},
		{"model", 2, small(data, "--model=resnet")},
		{"backend", 2, small(data, "--backend=abacus")},
		{"option", 2, small(data, "--backend=tape,tf32")},
		{"channel-mult", 2, smallUNet(images, `--channel-mult="1,2"`)},
		{"multipliers", 2, smallUNet(images, "--channel-mult=[1,0]")},
		{"multiplier", 2, smallUNet(images, "--channel-mult=[]")},
		{"groups", 2, smallUNet(images, "--groups=3")},
		{"features", 2, smallClassifier(images, "--features=0")},
		{"flip", 2, small(data, "--flip")},
		{"--colour", 2, small(data, "--colour=1")},
		{"data", 2, small(data)[1:]},
		{"no such file", 3, small("nosuch.arrow")},
		{"begins with the text", 3, small(text)},
		{"cut.arrow", 3, small(cut)},
		{"images", 3, smallUNet(data)},
		{"images", 3, smallClassifier(data)},
		{"mlp on samples of shape", 3, small(images)},
		{"divisible", 3, smallUNet(pictures(t, 7, nil))},
		{"divisible", 3, smallClassifier(pictures(t, 6, nil))},
		{"mixture", 3, small(plain(&dataset.Points{Name: "p", N: 2, D: 2, X: make([]float32, 4)}), "--field-every=5")},
		{"no samples", 3, small(plain(&dataset.Points{Name: "p", N: 0, D: 2}))},
		{"labels", 3, smallClassifier(pictures(t, 8, func(s *dataset.Images) { s.Labels = nil }))},
		{"label -1", 3, smallClassifier(pictures(t, 8, func(s *dataset.Images) { s.Classes, s.Labels[3] = nil, -1 }))},
		{"label 4611686018427387904", 3, smallClassifier(pictures(t, 8,
			func(s *dataset.Images) { s.Classes, s.Labels[3] = nil, 1<<62 }))},
		{"input test", 3, smallClassifier(images, "--input=test="+text)},
		{"input test", 3, smallClassifier(images, "--input=test="+data)},
		{"input test", 3, smallClassifier(images, "--input=test="+pictures(t, 4, nil))},
		{`class 0 is "high", expected "low"`, 3, smallClassifier(images,
			"--input=test="+pictures(t, 8, func(s *dataset.Images) { s.Classes = []string{"high", "low"} }))},
		{"input test", 3, smallClassifier(images,
			"--input=test="+pictures(t, 8, func(s *dataset.Images) { s.Labels = nil }))},
	} {
		dir := t.TempDir()
		code, _, stderr := train(t, append(c.args, "--out="+dir)...)
		last := stderr[strings.LastIndex(stderr, "error:")+1:]
		if code != c.code || !strings.Contains(last, c.message) {
			t.Errorf("%v: exit %d, want %d and a message with %q:\n%s", c.args, code, c.code, c.message, stderr)
		}
		if left, err := filepath.Glob(filepath.Join(dir, "*")); err != nil || len(left) > 0 {
			t.Errorf("%v: left %v behind", c.args, left)
		}
	}
}
