package feature_test

import (
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"vapo/lib/backend"
	"vapo/lib/backend/tape"
	"vapo/lib/checkpoint"
	"vapo/lib/dataset"
	"vapo/lib/feature"
	"vapo/lib/graphop"
	"vapo/lib/layer"
)

// golden is the output of testdata/golden.py, which evaluates the classifier in PyTorch.
type golden struct {
	Names            []string
	Shapes           [][]int
	Labels           []int64
	Features, Logits []float64
	Loss             float64
	Grads            [][]float64
}

var config = feature.Classifier{Shape: []int{2, 8, 8}, Classes: 4, Channels: 3, Features: 6}

func read(t *testing.T) golden {
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

func weight(k, i, fan int) float64 {
	w := float64(float32(float64((i*7919+k*104729)%2003)/1001 - 1))
	return float64(float32(w * 2 / math.Sqrt(float64(fan))))
}

// weights returns the weights that golden.py uses.
func weights(g golden) map[string][]float32 {
	out := map[string][]float32{}
	for k, name := range g.Names {
		size, fan := 1, 4
		for i, d := range g.Shapes[k] {
			size *= d
			if i == 1 {
				fan = d
			} else if i > 1 {
				fan *= d
			}
		}
		v := make([]float32, size)
		for i := range v {
			v[i] = float32(weight(k, i, fan))
		}
		out[name] = v
	}
	return out
}

func images(n int, labels []int64) *dataset.Images {
	im := &dataset.Images{Name: "test", N: n, C: 2, H: 8, W: 8, Pixels: make([]uint8, n*128), Labels: labels}
	for i := range im.Pixels {
		im.Pixels[i] = uint8((i*37 + i/11) % 256)
	}
	return im
}

func engine(*testing.T) backend.Backend { return tape.Tape{} }

func TestClassifierAgainstPyTorch(t *testing.T) {
	g := read(t)
	n, err := feature.NewClassifier(engine(t), config, weights(g))
	if err != nil {
		t.Fatal(err)
	}
	im := images(5, g.Labels)
	rows := make([]float32, len(g.Features)+len(g.Logits))
	if err := n.Features(feature.Of(im), 0, 5, rows); err != nil {
		t.Fatal(err)
	}
	for i, got := range rows {
		k, want := i%(6+4), 0.0
		if k < 6 {
			want = g.Features[i/(6+4)*6+k]
		} else {
			want = g.Logits[i/(6+4)*4+k-6]
		}
		if math.Abs(float64(got)-want) > 2e-6*(1+math.Abs(want)) {
			t.Fatalf("value %d of row %d is %v, want %v", k, i/(6+4), got, want)
		}
	}
	right := 0
	for i, l := range g.Labels {
		row := g.Logits[i*4 : i*4+4]
		if slices.Index(row, slices.Max(row)) == int(l) {
			right++
		}
	}
	if a, err := n.Accuracy(im); err != nil || a != float64(right)/5 {
		t.Errorf("accuracy %v (%v), want %v", a, err, float64(right)/5)
	}
}

func TestLossAndGradientsAgainstPyTorch(t *testing.T) {
	g := read(t)
	b := &layer.Builder{Graph: gorgonia.NewGraph(), Dtype: tensor.Float64}
	x := graphop.Input(b.Graph, b.Dtype, "x", 5, 2, 8, 8)
	labels := graphop.Input(b.Graph, b.Dtype, "labels", 5, 4)
	_, logits := config.Build(b, x)
	loss := feature.CrossEntropy(logits, labels)
	grads, err := graphop.Grad(loss, b.Nodes()...)
	if err != nil {
		t.Fatal(err)
	}
	inputs := append([]*graphop.Node{x, labels}, b.Nodes()...)
	exe, err := engine(t).Compile(backend.Graph{Inputs: inputs, Outputs: append([]*graphop.Node{loss, logits}, grads...)})
	if err != nil {
		t.Fatal(err)
	}
	im := images(5, g.Labels)
	pixels, hot := make([]float64, len(im.Pixels)), make([]float64, 20)
	for i, p := range im.Pixels {
		pixels[i] = float64(p)/127.5 - 1
	}
	for i, l := range g.Labels {
		hot[4*i+int(l)] = 1
	}
	in := []backend.Buffer{backend.Buffer{F64: pixels}, backend.Buffer{F64: hot}}
	out := []backend.Buffer{backend.Buffer{F64: make([]float64, 1)}, backend.Buffer{F64: make([]float64, 20)}}
	w := weights(g)
	for k, p := range b.Params {
		if p.Name != g.Names[k] || !slices.Equal(p.Shape, g.Shapes[k]) {
			t.Fatalf("parameter %d is %s %v, want %s %v", k, p.Name, p.Shape, g.Names[k], g.Shapes[k])
		}
		v := make([]float64, len(w[p.Name]))
		for i, x := range w[p.Name] {
			v[i] = float64(x)
		}
		in, out = append(in, backend.Buffer{F64: v}), append(out, backend.Buffer{F64: make([]float64, len(v))})
	}
	if err := exe.Run(in, out); err != nil {
		t.Fatal(err)
	}
	for k, want := range append([][]float64{{g.Loss}, g.Logits}, g.Grads...) {
		for i, v := range want {
			if got := out[k].F64[i]; math.Abs(got-v) > 1e-7*(1+math.Abs(v)) {
				t.Fatalf("result %d (loss, logits, gradients) element %d: %v, want %v", k, i, got, v)
			}
		}
	}
}

// Large logits must not overflow. A certain, correct prediction has a loss of zero.
func TestCrossEntropyOfLargeLogits(t *testing.T) {
	g := gorgonia.NewGraph()
	logits, labels := graphop.Input(g, tensor.Float32, "logits", 2, 3), graphop.Input(g, tensor.Float32, "labels", 2, 3)
	loss := feature.CrossEntropy(logits, labels)
	grads, err := graphop.Grad(loss, logits)
	if err != nil {
		t.Fatal(err)
	}
	exe, err := engine(t).Compile(backend.Graph{
		Inputs: []*graphop.Node{logits, labels}, Outputs: []*graphop.Node{loss, grads[0]},
	})
	if err != nil {
		t.Fatal(err)
	}
	l, d := make([]float32, 1), make([]float32, 6)
	in := []backend.Buffer{backend.F32([]float32{1e4, 0, 0, -500, 500, 0}), backend.F32([]float32{1, 0, 0, 1, 0, 0})}
	if err := exe.Run(in, []backend.Buffer{backend.F32(l), backend.F32(d)}); err != nil {
		t.Fatal(err)
	}
	if l[0] != 500 || !slices.Equal(d, []float32{0, 0, 0, -0.5, 0.5, 0}) {
		t.Errorf("loss %v and gradient %v, want 500 and [0 0 0 -0.5 0.5 0]", l[0], d)
	}
}

// A feature row depends only on its image: not on how the set is divided, nor on other images.
func TestFeaturesDependOnTheirImageAlone(t *testing.T) {
	const n = 150
	net, err := feature.NewClassifier(engine(t), config, weights(read(t)))
	if err != nil {
		t.Fatal(err)
	}
	im := images(n, nil)
	all := make([]float32, n*10)
	if err := net.Features(feature.Of(im), 0, n, all); err != nil {
		t.Fatal(err)
	}
	for _, cut := range [][2]int{{0, 1}, {63, 65}, {5, 131}, {149, 150}, {64, 128}, {30, 30}} {
		got := make([]float32, (cut[1]-cut[0])*10)
		if err := net.Features(feature.Of(im), cut[0], cut[1], got); err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(got, all[cut[0]*10:cut[1]*10]) {
			t.Errorf("features of images %v differ from those computed with the whole set", cut)
		}
	}
	other := images(n, nil)
	for i := range other.Pixels {
		if i/128%7 != 3 {
			other.Pixels[i] ^= 0x55
		}
	}
	got := make([]float32, n*10)
	if err := net.Features(feature.Of(other), 0, n, got); err != nil {
		t.Fatal(err)
	}
	for i := range n {
		if same := slices.Equal(got[i*10:i*10+10], all[i*10:i*10+10]); same != (i%7 == 3) {
			t.Errorf("image %d: the features are the same: %v, want %v", i, same, i%7 == 3)
		}
	}
}

func TestRefusals(t *testing.T) {
	be := engine(t)
	w := weights(read(t))
	net, err := feature.NewClassifier(be, config, w)
	if err != nil {
		t.Fatal(err)
	}
	if err := net.Features(feature.Of(images(3, nil)), 0, 3, make([]float32, 5)); err == nil {
		t.Error("an output slice that is too short was accepted")
	}
	wide := images(2, nil)
	wide.H, wide.W = 4, 16
	err = net.Features(feature.Of(wide), 0, 2, make([]float32, 20))
	if err == nil || !strings.Contains(err.Error(), "[2 4 16]") {
		t.Errorf("images of another shape: error %v, want one with their shape", err)
	}
	if _, err := net.Accuracy(images(3, nil)); err == nil {
		t.Error("the accuracy on images without labels was computed")
	}
	for _, c := range []feature.Classifier{
		{Shape: []int{1, 6, 8}, Classes: 4, Channels: 3, Features: 6},
		{Shape: []int{8, 8}, Classes: 4, Channels: 3, Features: 6},
		{Shape: []int{0, 8, 8}, Classes: 4, Channels: 3, Features: 6},
		{Shape: []int{1, 8, 8}, Classes: 1, Channels: 3, Features: 6},
		{Shape: []int{1, 8, 8}, Classes: 4, Channels: 0, Features: 6},
		{Shape: []int{1, 8, 8}, Classes: 4, Channels: 3},
	} {
		if c.Check() == nil {
			t.Errorf("%+v was accepted", c)
		}
		if _, err := feature.NewClassifier(be, c, w); err == nil {
			t.Errorf("%+v was compiled", c)
		}
	}
	for _, raw := range []string{
		``, `[]`, `{}`, `{"shape":[1,8,8],"classes":4,"channels":3,"features":6,"more":1}`,
		`{"shape":[1,8,8],"classes":"4","channels":3,"features":6}`,
	} {
		if _, err := feature.ParseClassifier(json.RawMessage(raw)); err == nil {
			t.Errorf("configuration %s was accepted", raw)
		}
	}
}

// Open accepts only checkpoints like those that training writes.
func TestOpen(t *testing.T) {
	g := read(t)
	w := weights(g)
	raw, err := json.Marshal(config)
	if err != nil {
		t.Fatal(err)
	}
	write := func(edit func(c *checkpoint.Checkpoint)) string {
		c := &checkpoint.Checkpoint{Kind: checkpoint.Classifier, Config: raw}
		for k, name := range g.Names {
			c.Tensors = append(c.Tensors, checkpoint.Named{Name: checkpoint.EMA + name, Shape: g.Shapes[k], Data: w[name]})
		}
		edit(c)
		path := filepath.Join(t.TempDir(), "c.arrow")
		f, err := os.Create(path)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		if err := checkpoint.Write(f, c); err != nil {
			t.Fatal(err)
		}
		return path
	}
	be := engine(t)
	net, err := feature.Open(be, write(func(*checkpoint.Checkpoint) {}), "", feature.Options{})
	if err != nil {
		t.Fatal(err)
	}
	got := make([]float32, len(g.Features)+len(g.Logits))
	err = net.Network.Features(feature.Of(images(5, nil)), 0, 5, got)
	if err != nil || math.Abs(float64(got[0])-g.Features[0]) > 1e-5 || net.Network.Dim != 6 {
		t.Errorf("features begin with %v (%v), want %v; dimension %d, want 6", got[0], err, g.Features[0], net.Network.Dim)
	}
	for name, edit := range map[string]func(c *checkpoint.Checkpoint){
		"a potential":       func(c *checkpoint.Checkpoint) { c.Kind = checkpoint.Potential },
		"no configuration":  func(c *checkpoint.Checkpoint) { c.Config = json.RawMessage(`{}`) },
		"a missing tensor":  func(c *checkpoint.Checkpoint) { c.Tensors = c.Tensors[1:] },
		"an unknown tensor": func(c *checkpoint.Checkpoint) { c.Tensors[0].Name += "x" },
		"another architecture": func(c *checkpoint.Checkpoint) {
			c.Config = json.RawMessage(strings.Replace(string(raw), `"features":6`, `"features":7`, 1))
		},
	} {
		if _, err := feature.Open(be, write(edit), "", feature.Options{}); err == nil {
			t.Errorf("a checkpoint with %s was opened", name)
		}
	}
}
