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

	"vapo/lib/artifact"
	"vapo/lib/checkpoint"
	"vapo/lib/engine"
	"vapo/lib/failure"
	"vapo/lib/layer"
	"vapo/lib/objectstore/objectstoretest"
	"vapo/lib/potential"
	"vapo/lib/program"
	"vapo/lib/safetensors"
	"vapo/lib/stage"
	"vapo/lib/torchfile"
)

// command runs a command of the stage in this process.
func command(t *testing.T, args ...string) (code failure.Class, stdout, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	code = stage.Main(spec, args, &out, &errs)
	return code, out.String(), errs.String()
}

// released returns the description of the network in testdata/released.py.
func released() potential.Config {
	return potential.Config{Kind: "unet", Shape: []int{1, 8, 8}, Schedule: "linear", PriorStd: 1,
		UNet: &potential.UNet{Channels: 4, Mult: []int{1, 2}, ResBlocks: 1, Groups: 2, Attention: []int{2}, Dropout: 0.3}}
}

func smallMLP() potential.Config {
	return potential.Config{Kind: "mlp", Shape: []int{3}, Schedule: "vapo", PriorStd: 2,
		MLP: &potential.MLP{Width: 12, Depth: 2, Fourier: 3}}
}

// checkpointOf writes a checkpoint with random weights and different random averages, and returns its path.
func checkpointOf(t *testing.T, c potential.Config) string {
	t.Helper()
	raw, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	params, err := c.Parameters()
	if err != nil {
		t.Fatal(err)
	}
	ck := &checkpoint.Checkpoint{Kind: checkpoint.Potential, Config: raw, Step: 77}
	for _, p := range params {
		p.Init = layer.Init{Bound: 0.4}
		ck.Tensors = append(ck.Tensors,
			checkpoint.Named{Name: checkpoint.Param + p.Name, Shape: p.Shape, Data: p.Draw(1)},
			checkpoint.Named{Name: checkpoint.EMA + p.Name, Shape: p.Shape, Data: p.Draw(2)},
			checkpoint.Named{Name: checkpoint.AdamM + p.Name, Shape: p.Shape, Data: p.Draw(3)})
	}
	path := filepath.Join(t.TempDir(), "checkpoint.arrow")
	if err := program.WriteFile(path, func(w io.Writer) error { return checkpoint.Write(w, ck) }); err != nil {
		t.Fatal(err)
	}
	return path
}

// fieldOf compiles the field of one group of weights in a checkpoint, for the CPU engine.
func fieldOf(t *testing.T, path, group string, batch int) *potential.Field {
	t.Helper()
	ck, err := checkpoint.Read(path)
	if err != nil {
		t.Fatal(err)
	}
	config, weights, err := potential.FromCheckpoint(ck, group)
	if err != nil {
		t.Fatal(err)
	}
	be, err := engine.Open("tape")
	if err != nil {
		t.Fatal(err)
	}
	f, err := potential.NewField(be, config, weights, batch)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func evaluate(t *testing.T, path, group string, x, times []float32) (phi, grad []float32) {
	t.Helper()
	phi, grad = make([]float32, len(times)), make([]float32, len(x))
	if err := fieldOf(t, path, group, len(times)).Eval(x, times, phi, grad); err != nil {
		t.Fatal(err)
	}
	return phi, grad
}

func importLine(t *testing.T, code failure.Class, stdout, stderr string) imported {
	t.Helper()
	if code != 0 || strings.Count(stdout, "\n") != 1 {
		t.Fatalf("exit %d, want 0 and one line on standard output, not %q: %s", code, stdout, stderr)
	}
	var l imported
	if err := json.Unmarshal([]byte(stdout), &l); err != nil {
		t.Fatal(err)
	}
	return l
}

// A file that PyTorch wrote in the layout of the released code gives, once imported, the potential and the gradient
// that PyTorch computes, for both sets of weights.
func TestImportReleased(t *testing.T) {
	raw, err := os.ReadFile("testdata/released.json")
	if err != nil {
		t.Fatal(err)
	}
	type result struct{ Phi, Grad []float32 }
	var golden struct {
		X, T       []float32
		Model, EMA result
	}
	if err := json.Unmarshal(raw, &golden); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	like := checkpointOf(t, released())
	near := func(what string, got, want []float32) {
		t.Helper()
		var diff, norm float64
		for i := range want {
			diff += math.Pow(float64(got[i]-want[i]), 2)
			norm += math.Pow(float64(want[i]), 2)
		}
		if relative := math.Sqrt(diff / norm); len(got) != len(want) || !(relative < 1e-4) {
			t.Errorf("%s differs from PyTorch's by %.2g of its norm", what, relative)
		}
	}
	for _, c := range []struct {
		weights, stderr string
		param, ema      result
	}{
		{"any", "ema+model", golden.Model, golden.EMA},
		{"ema", "ema", golden.EMA, golden.EMA},
		{"model", "model", golden.Model, golden.Model},
	} {
		path := filepath.Join(dir, "from-"+c.weights+".arrow")
		code, stdout, stderr := command(t, "import", "testdata/released.pth", "--like", like, "--weights="+c.weights, "--out",
			path)
		l := importLine(t, code, stdout, stderr)
		if l.Weights != c.stderr || l.Step != 2 || l.Kind != "potential" || l.File != path || l.Ignored != nil {
			t.Errorf("--weights=%s: want the weights %q of a potential at step 2 in %s, and no ignored tensors, got %s",
				c.weights, c.stderr, path, stdout)
		}
		if digest, _, err := artifact.FileDigest(path); err != nil || string(digest) != l.Digest {
			t.Errorf("the digest is %s, expected %s (%v)", l.Digest, digest, err)
		}
		params, err := released().Parameters()
		if err != nil {
			t.Fatal(err)
		}
		if l.Parameters != layer.Count(params) || l.Tensors != len(params) {
			t.Errorf("%d parameters in %d tensors, expected %d in %d", l.Parameters, l.Tensors, layer.Count(params), len(params))
		}
		phi, grad := evaluate(t, path, checkpoint.Param, golden.X, golden.T)
		near("Phi of the weights", phi, c.param.Phi)
		near("grad Phi of the weights", grad, c.param.Grad)
		phi, grad = evaluate(t, path, checkpoint.EMA, golden.X, golden.T)
		near("Phi of the averages", phi, c.ema.Phi)
		near("grad Phi of the averages", grad, c.ema.Grad)
	}
	if slices.Equal(golden.Model.Grad, golden.EMA.Grad) {
		t.Error("the two sets of weights in released.json have the same gradient, so they cannot be told apart")
	}
}

// With --ref, import also puts the checkpoint into the store, from where it can be exported again. Weights that import
// refuses get no ref.
func TestImportIntoStore(t *testing.T) {
	env := objectstoretest.EmbeddedEnv(t)
	for _, v := range env.Environ() {
		name, value, _ := strings.Cut(v, "=")
		t.Setenv(name, value)
	}
	store := artifact.New(objectstoretest.Open(t, env))
	dir := t.TempDir()
	out := filepath.Join(dir, "out.arrow")
	code, stdout, stderr := command(t, "import", "testdata/released.pth", "--like", checkpointOf(t, released()), "--out",
		out, "--ref", "weights/released")
	l := importLine(t, code, stdout, stderr)
	if d, err := store.Ref(t.Context(), "weights/released"); err != nil || string(d) != l.Digest ||
		l.Ref != "weights/released" {
		t.Errorf("the ref weights/released is %s (%v), want %s; import printed the ref %q", d, err, l.Digest, l.Ref)
	}
	if err := store.Verify(t.Context(), artifact.Digest(l.Digest)); err != nil {
		t.Error(err)
	}
	code, _, stderr = command(t, "import", "testdata/released.pth", "--preset", "unet-32", "--out",
		filepath.Join(dir, "none.arrow"), "--ref", "none")
	if _, err := store.Ref(t.Context(), "none"); code != failure.Input || err == nil {
		t.Errorf("refused weights: exit %d, want %d and no ref (%v): %s", code, failure.Input, err, stderr)
	}
	if code, stdout, stderr = command(t, "export", "ref:weights/released",
		filepath.Join(dir, "w.safetensors")); code != 0 || !strings.Contains(stdout, `"step":2`) {
		t.Errorf("exporting from the store: exit %d, want 0; want step 2, got %s: %s", code, stdout, stderr)
	}
}

// tensorsOf returns the weights in testdata/released.pth, with a prefix added to their names.
func tensorsOf(t *testing.T, prefix string) []safetensors.Tensor {
	t.Helper()
	f, err := torchfile.Open("testdata/released.pth")
	if err != nil {
		t.Fatal(err)
	}
	var out []safetensors.Tensor
	for _, name := range f.Names() {
		if rest, ok := strings.CutPrefix(name, "model.module.model."); ok {
			v, shape, _, err := f.Tensor(name)
			if err != nil {
				t.Fatal(err)
			}
			out = append(out, safetensors.Tensor{Name: prefix + rest, Shape: shape, Data: v})
		}
	}
	return out
}

func safetensorsFile(t *testing.T, tensors []safetensors.Tensor) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "weights.safetensors")
	if err := program.WriteFile(path, func(w io.Writer) error { return safetensors.Write(w, tensors, nil) }); err != nil {
		t.Fatal(err)
	}
	return path
}

// Import finds the same weights under any name prefix.
func TestImportPrefixes(t *testing.T) {
	like := checkpointOf(t, released())
	var first string
	for _, prefix := range []string{"", "module.", "model.", "module.model.", "net.f."} {
		out := filepath.Join(t.TempDir(), "out.arrow")
		code, stdout, stderr := command(t, "import", safetensorsFile(t, tensorsOf(t, prefix)), "--like", like, "--out", out)
		l := importLine(t, code, stdout, stderr)
		if first == "" {
			first = l.Digest
		}
		if l.Digest != first || l.Weights != "model" || l.Step != 0 {
			t.Errorf("prefix %q: want the weights \"model\" at step 0 with digest %s, got %s", prefix, first, stdout)
		}
	}
	code, _, stderr := command(t, "import", safetensorsFile(t, tensorsOf(t, "net.")), "--like", like, "--prefix", "foo",
		"--out", filepath.Join(t.TempDir(), "out.arrow"))
	if code != failure.Input ||
		!strings.Contains(stderr, `no tensor has a name that begins with "foo"; the first one is "net.`) {
		t.Errorf("a prefix of no name: exit %d, want %d and a message that says so: %s", code, failure.Input, stderr)
	}
	// If a file holds both weights and averages, import tells them apart by name.
	both := tensorsOf(t, "model.")
	for _, n := range tensorsOf(t, "model_ema.") {
		n.Data = slices.Clone(n.Data)
		n.Data[0]++
		both = append(both, n)
	}
	out := filepath.Join(t.TempDir(), "out.arrow")
	code, stdout, stderr := command(t, "import", safetensorsFile(t, both), "--like", like, "--out", out)
	if l := importLine(t, code, stdout, stderr); l.Weights != "ema+model" {
		t.Errorf("want the weights \"ema+model\", got %s", stdout)
	}
	ck, err := checkpoint.Read(out)
	if err != nil {
		t.Fatal(err)
	}
	w, e := ck.Group(checkpoint.Param)["out.2.bias"], ck.Group(checkpoint.EMA)["out.2.bias"]
	if e.Data[0] != w.Data[0]+1 {
		t.Errorf("the average is %v and the weight is %v, want the average 1 above the weight", e.Data[0], w.Data[0])
	}
}

// Import refuses weights that do not fit the network, and invalid flags. The error names the problem, and no file is
// written.
func TestImportRefusals(t *testing.T) {
	like := checkpointOf(t, released())
	edit := func(f func(list []safetensors.Tensor) []safetensors.Tensor) string {
		return safetensorsFile(t, f(tensorsOf(t, "module.")))
	}
	index := func(list []safetensors.Tensor, name string) int {
		i := slices.IndexFunc(list, func(n safetensors.Tensor) bool { return n.Name == name })
		if i < 0 {
			t.Fatalf("no tensor %s", name)
		}
		return i
	}
	text := filepath.Join(t.TempDir(), "text")
	if err := os.WriteFile(text, []byte("not weights at all"), 0o600); err != nil {
		t.Fatal(err)
	}
	extra := edit(func(l []safetensors.Tensor) []safetensors.Tensor {
		return append(l, safetensors.Tensor{Name: "module.label_emb.weight", Shape: []int{1}, Data: []float32{1}})
	})
	for _, c := range []struct {
		name string
		code failure.Class
		args []string
		want []string
	}{
		{"missing", failure.Input, []string{edit(func(l []safetensors.Tensor) []safetensors.Tensor {
			l[index(l, "module.out.2.bias")].Name = "module.out.3.bias"
			return l
		}), "--like", like}, []string{"1 of the", "1 missing: module.out.2.bias", "also has module.out.3.bias"}},
		{"shape", failure.Input, []string{edit(func(l []safetensors.Tensor) []safetensors.Tensor {
			for _, name := range []string{"module.out.0.bias", "module.out.0.weight"} {
				l[index(l, name)].Shape = []int{2, 2}
			}
			return l
		}), "--like", like}, []string{"2 with a different shape", "module.out.0.weight is [2 2], expected [4]"}},
		{"extra", failure.Input, []string{extra, "--like", like},
			[]string{"1 of its tensors", "module.label_emb.weight", "--ignore-extra"}},
		{"not finite", failure.Input, []string{edit(func(l []safetensors.Tensor) []safetensors.Tensor {
			l[index(l, "module.out.2.bias")].Data[0] = float32(math.NaN())
			return l
		}), "--like", like}, []string{"module.out.2.bias", "NaN"}},
		{"two sets", failure.Input, []string{safetensorsFile(t, append(tensorsOf(t, "a."), tensorsOf(t, "b.")...)), "--like",
			like}, []string{`"a."`, `"b."`}},
		{"another network", failure.Input, []string{"testdata/released.pth", "--preset", "unet-32"},
			[]string{"the 390 parameters"}},
		{"nothing", failure.Input, []string{safetensorsFile(t, []safetensors.Tensor{{Name: "x", Data: []float32{1}}}),
			"--like", like}, []string{"no weights of a unet", "it has x"}},
		{"no averages", failure.Input, []string{extra, "--like", like, "--weights", "ema"}, []string{"no moving averages"}},
		{"no weights", failure.Input, []string{text, "--like", like}, []string{"not weights at all"}},
		{"no file", failure.Input, []string{filepath.Join(t.TempDir(), "none"), "--like", like}, []string{"none"}},
		{"not a checkpoint", failure.Input, []string{extra, "--like", text}, []string{"--like"}},
		{"no network", failure.Usage, []string{extra}, []string{"--preset"}},
		{"two networks", failure.Usage, []string{extra, "--preset", "unet-32", "--like", like}, []string{"--preset"}},
		{"unknown preset", failure.Usage, []string{extra, "--preset", "none"}, []string{"unet-cifar10"}},
		{"bad prior", failure.Usage, []string{extra, "--like", like, "--prior-std=-1"}, []string{"prior"}},
		{"no prior", failure.Usage, []string{extra, "--like", like, "--prior-std=0"}, []string{"prior"}},
		{"bad ref", failure.Usage, []string{extra, "--like", like, "--ref", "../x"}, []string{"--ref"}},
		{"no store", failure.Usage, []string{extra, "--like", like, "--ref", "x"}, []string{"VAPO_STORE"}},
	} {
		out := filepath.Join(t.TempDir(), "out.arrow")
		code, stdout, stderr := command(t, append([]string{"import", "--out", out}, c.args...)...)
		if code != c.code || stdout != "" {
			t.Errorf("%s: exit %d, want %d and nothing on standard output, not %q: %s", c.name, code, c.code, stdout, stderr)
		}
		for _, w := range c.want {
			if !strings.Contains(stderr, w) {
				t.Errorf("%s: the message lacks %q: %s", c.name, w, stderr)
			}
		}
		if _, err := os.Stat(out); err == nil {
			t.Errorf("%s: a file was written", c.name)
		}
	}
	out := filepath.Join(t.TempDir(), "out.arrow")
	code, stdout, stderr := command(t, "import", extra, "--like", like, "--ignore-extra", "--out", out)
	if l := importLine(t, code, stdout, stderr); !slices.Equal(l.Ignored, []string{"module.label_emb.weight"}) {
		t.Errorf("want the ignored tensor module.label_emb.weight, got %s", stdout)
	}
	if code, _, stderr = command(t, "import", extra, "--like", like, "--ignore-extra", "--out",
		out); code != failure.Usage || !strings.Contains(stderr, "--force") {
		t.Errorf("over an existing file: exit %d, want %d and a message with --force: %s", code, failure.Usage, stderr)
	}
}
