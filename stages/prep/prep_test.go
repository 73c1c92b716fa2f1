package main

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"encoding/json"
	"errors"
	"image/png"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"vapo/lib/contract"
	"vapo/lib/dataset"
	"vapo/lib/failure"
	"vapo/lib/stage"
)

// prep runs the stage in this process, without a store.
func prep(t *testing.T, args ...string) (code failure.Class, m *contract.Manifest, stderr string) {
	t.Helper()
	t.Setenv("VAPO_STORE", "")
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

// mustPrep runs the stage with a new output directory and fails the test on errors.
func mustPrep(t *testing.T, args ...string) (dir string, m *contract.Manifest) {
	t.Helper()
	dir = t.TempDir()
	code, m, stderr := prep(t, append(args, "--out="+dir)...)
	if code != failure.OK {
		t.Fatalf("prep %v: exit %d\n%s", args, code, stderr)
	}
	return dir, m
}

func readSet(t *testing.T, path string) dataset.Set {
	t.Helper()
	s, err := dataset.Read(path)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// digits writes the four files of an MNIST-like set with 4x4 images, 30 for training and 10 for testing. It returns
// their directory. edit may change the files before they are compressed.
func digits(t *testing.T, edit func(files map[string][]byte)) string {
	t.Helper()
	idx := func(mod int, sizes ...int) []byte {
		b, n := []byte{0, 0, 8, byte(len(sizes))}, 1
		for _, s := range sizes {
			b = binary.BigEndian.AppendUint32(b, uint32(s))
			n *= s
		}
		for i := range n {
			b = append(b, byte(i*7%mod))
		}
		return b
	}
	files := map[string][]byte{
		"train-images-idx3-ubyte": idx(256, 30, 4, 4), "train-labels-idx1-ubyte": idx(10, 30),
		"t10k-images-idx3-ubyte": idx(256, 10, 4, 4), "t10k-labels-idx1-ubyte": idx(10, 10),
	}
	if edit != nil {
		edit(files)
	}
	dir := t.TempDir()
	for name, b := range files {
		var z bytes.Buffer
		w := gzip.NewWriter(&z)
		if _, err := w.Write(b); err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(w.Close(), os.WriteFile(filepath.Join(dir, name+".gz"), z.Bytes(), 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestImages(t *testing.T) {
	dir, m := mustPrep(t, "--source=mnist", "--no-verify", "--path="+digits(t, nil), "--n-train=25")
	train, ok := readSet(t, filepath.Join(dir, "train.arrow")).(*dataset.Images)
	if !ok || train.N != 25 || train.H != 4 ||
		train.Name != "mnist" || train.Split != "train" || len(train.Classes) != 10 {
		t.Fatalf("train is %+v, want 25 images of height 4 from the training split of mnist, with 10 classes", train)
	}
	if train.Labels[2] != 14%10 || train.Image(1)[0] != 16*7 {
		t.Errorf("image 2 has label %d, want 4; image 1 starts with pixel %d, want 112", train.Labels[2], train.Image(1)[0])
	}
	if n := readSet(t, filepath.Join(dir, "test.arrow")).Len(); n != 10 {
		t.Errorf("%d test images, want 10", n)
	}
	checkPNG(t, filepath.Join(dir, "preview.png"))
	var s summary
	b, err := os.ReadFile(filepath.Join(dir, "summary.json"))
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(b, &s); err != nil {
		t.Fatal(err)
	}
	if s.Train.Count != 25 || s.Test.Count != 10 || len(s.Files) != 4 ||
		!slices.Equal(s.Test.PerClass, []int{1, 1, 1, 1, 1, 1, 1, 1, 1, 1}) {
		t.Errorf("summary %+v, want 25 training images, 10 test images, one of each class, and 4 files", s)
	}
	var mean float64
	for _, p := range train.Pixels {
		mean += float64(p) / float64(len(train.Pixels))
	}
	if math.Abs(mean-s.Train.Mean[0]) > 1e-9 {
		t.Errorf("mean %v, want %v", s.Train.Mean[0], mean)
	}
	if m.Results["train"] != 25.0 || m.Units["n-train"] != "samples" {
		t.Errorf("results %v, want train 25; units %v, want samples for n-train", m.Results, m.Units)
	}
}

func checkPNG(t *testing.T, path string) {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	img, err := png.Decode(f)
	if err != nil {
		t.Fatal(err)
	}
	first, colours := img.At(0, 0), 0
	for y := range img.Bounds().Dy() {
		for x := range img.Bounds().Dx() {
			if img.At(x, y) != first {
				colours++
			}
		}
	}
	if colours == 0 {
		t.Errorf("%s is blank", path)
	}
}

func TestPoints(t *testing.T) {
	components := `[{"weight":1,"mean":[1,2,3],"std":0.1},{"weight":3,"mean":[-1,0,0],"std":0.2}]`
	for _, args := range [][]string{
		{"--source=8gaussians"}, {"--source=two-moons", "--std=0"}, {"--source=rings"},
		{"--source=mixture", "--components=" + components},
		{"--source=mixture", `--components=[{"weight":1,"mean":[0],"std":1}]`},
	} {
		dir, m := mustPrep(t, append(args, "--n-train=500", "--n-test=100", "--seed=3")...)
		train := readSet(t, filepath.Join(dir, "train.arrow")).(*dataset.Points)
		if train.N != 500 || len(train.Labels) != 500 {
			t.Errorf("%v: %d points and %d labels, want 500 of both", args, train.N, len(train.Labels))
		}
		if mixture := args[0] == "--source=mixture" || args[0] == "--source=8gaussians"; mixture != (train.Mixture != nil) {
			t.Errorf("%v: the set describes the mixture %v, want one exactly if it was drawn from a mixture", args,
				train.Mixture)
		}
		checkPNG(t, filepath.Join(dir, "preview.png"))
		if m.Params["source-digest"] != "none" {
			t.Errorf("%v: source-digest is %v, want the word none", args, m.Params["source-digest"])
		}
		_, again := mustPrep(t, append(args, "--n-train=500", "--n-test=100", "--seed=3")...)
		if d := cmp.Diff(m.Outputs, again.Outputs); d != "" { // including the picture
			t.Errorf("%v: a second run differs:\n%s", args, d)
		}
	}
}

// resolved returns the parameters that go into the cache key.
func resolved(t *testing.T, params string) map[string]any {
	t.Helper()
	t.Setenv("VAPO_STORE", "")
	var out, errs bytes.Buffer
	if code := stage.Main(spec, []string{"describe", "--check", params}, &out, &errs); code != failure.OK {
		t.Fatalf("describe --check %s: exit %d\n%s", params, code, errs.String())
	}
	d, err := contract.DecodeDescription(out.Bytes())
	if err != nil {
		t.Fatal(err)
	}
	return d.Action(d.Resolved, nil).Params
}

// TestKeyFollowsContent: equal files in different folders give equal keys, and changed files give another key.
func TestKeyFollowsContent(t *testing.T) {
	key := func(dir string) map[string]any {
		return resolved(t, `{"source":"mnist","verify":false,"path":`+string(must(json.Marshal(dir)))+`}`)
	}
	a, b := key(digits(t, nil)), key(digits(t, nil))
	changed := key(digits(t, func(f map[string][]byte) { f["t10k-images-idx3-ubyte"][20] ^= 1 }))
	if d := cmp.Diff(a, b); d != "" {
		t.Errorf("the same files in two folders give different keys:\n%s", d)
	}
	if cmp.Equal(a, changed) {
		t.Error("a changed pixel leaves the key as it was")
	}
}

func must(b []byte, err error) []byte {
	if err != nil {
		panic(err)
	}
	return b
}

// TestRefuses runs the stage on bad input. It checks the exit code, parts of the message, and that no file is written.
func TestRefuses(t *testing.T) {
	sound := digits(t, nil)
	raw := func(name string, edit func([]byte) []byte) string {
		dir := digits(t, nil)
		path := filepath.Join(dir, name)
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, edit(b), 0o644); err != nil {
			t.Fatal(err)
		}
		return dir
	}
	images, zeros := "train-images-idx3-ubyte.gz", strings.Repeat("0", 64)
	half := raw(images, func(b []byte) []byte { return b[:len(b)/2] })
	page := raw(images, func([]byte) []byte { return []byte("<html>404 not found</html>") })
	flipped := raw(images, func(b []byte) []byte { b[len(b)-6] ^= 1; return b })
	mixture := func(components string) []string { return []string{"--source=mixture", "--components=" + components} }
	for name, c := range map[string]struct {
		args []string
		code failure.Class
		want []string
	}{
		"truncated": {[]string{"--source=mnist", "--path=" + half}, failure.Input, []string{images, "truncated"}},
		"not gzip": {
			[]string{"--source=mnist", "--path=" + page},
			failure.Input, []string{images, "expected gzip"},
		},
		"flipped bit": {
			[]string{"--source=mnist", "--path=" + flipped},
			failure.Integrity, []string{images, "checksum"},
		},
		"not the published": {
			[]string{"--source=mnist", "--path=" + sound},
			failure.Integrity, []string{images, "checksum of the published mnist", "--no-verify"},
		},
		"other digest": {
			[]string{"--source=mnist", "--no-verify", "--path=" + sound, "--source-digest=sha256:" + zeros},
			failure.Integrity, []string{"source-digest", zeros},
		},
		"not a digest": {
			[]string{"--source=mnist", "--path=" + sound, "--source-digest=latest"},
			failure.Usage, []string{"source-digest", "latest"},
		},
		"no such place": {
			[]string{"--source=fashion-mnist", "--path=" + filepath.Join(sound, "none")},
			failure.Input, []string{"none", "dataset-fashion-mnist"},
		},
		"cifar10 no path": {[]string{"--source=cifar10"}, failure.Input, []string{"cifar10", "cifar-10-binary.tar.gz"}},
		"too many": {
			[]string{"--source=mnist", "--no-verify", "--path=" + sound, "--n-test=11"},
			failure.Usage, []string{"n-test is 11", "10 samples"},
		},
		"negative count": {[]string{"--source=rings", "--n-train=-1"}, failure.Usage, []string{"n-train is -1"}},
		"huge count": {
			[]string{"--source=rings", "--n-train=1000000000000"},
			failure.Usage, []string{"1000000000000"},
		},
		"unknown source": {[]string{"--source=imagenet"}, failure.Usage, []string{"imagenet"}},
		"path of rings":  {[]string{"--source=rings", "--path=" + sound}, failure.Usage, []string{"rings", "no path"}},
		"negative std":   {[]string{"--source=rings", "--std=-1"}, failure.Usage, []string{"std -1"}},
		"no components":  {[]string{"--source=mixture"}, failure.Usage, []string{"needs components"}},
		"components of mnist": {
			[]string{"--source=mnist", "--path=" + sound, "--components=[]"},
			failure.Usage, []string{"components", "no effect while source is mnist"},
		},
		"unknown key": {mixture(`[{"weight":1,"mean":[0],"sd":1}]`), failure.Usage, []string{"sd"}},
		"no list":     {mixture(`{"weight":1}`), failure.Usage, []string{"components"}},
		"weight 0": {
			mixture(`[{"weight":0,"mean":[0],"std":1}]`),
			failure.Usage, []string{"component 0 has weight 0"},
		},
		"two dimensions": {
			mixture(`[{"weight":1,"mean":[0],"std":1},{"weight":1,"mean":[0,1],"std":1}]`),
			failure.Usage, []string{"component 1"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			code, _, stderr := prep(t, append(c.args, "--out="+dir)...)
			if code != c.code {
				t.Errorf("exit %d, want %d", code, c.code)
			}
			for _, w := range c.want {
				if !strings.Contains(stderr, w) {
					t.Errorf("standard error lacks %q:\n%s", w, stderr)
				}
			}
			if files, err := os.ReadDir(dir); err != nil || len(files) != 0 {
				t.Errorf("the failed run left files behind: %v (%v)", files, err)
			}
		})
	}
}

// TestOffline: a published set that is missing has a digest, because it can be downloaded. With --offline or
// VAPO_OFFLINE=1, it is an error.
func TestOffline(t *testing.T) {
	t.Setenv("HOME", t.TempDir())
	t.Setenv("XDG_CACHE_HOME", "")
	t.Setenv("VAPO_OFFLINE", "")
	resolved := func(offline bool) (string, error) {
		p := params{Source: "cifar10", SourceDigest: "auto", Verify: true, Offline: offline}
		err := resolve(&p, stage.Given{})
		return p.SourceDigest, err
	}
	digest, err := resolved(false)
	if err != nil || !digestForm.MatchString(digest) {
		t.Errorf("a set that can be downloaded: digest %q, error %v; want a digest and no error", digest, err)
	}
	_, err = resolved(true)
	if failure.ClassOf(err) != failure.Input || !strings.Contains(failure.HintOf(err), "cifar-10") {
		t.Errorf("--offline: error %v with hint %q, want an input error whose hint names cifar-10", err,
			failure.HintOf(err))
	}
	t.Setenv("VAPO_OFFLINE", "1")
	if _, err := resolved(false); failure.ClassOf(err) != failure.Input {
		t.Errorf("VAPO_OFFLINE=1: %v, want an input error", err)
	}
}

// The summary counts every class, also one without samples in a split.
func TestSummaryOfClasses(t *testing.T) {
	set := &dataset.Points{N: 2, D: 1, X: []float32{1, 2}, Labels: []int64{1, 0}, Classes: []string{"a", "b", "c"}}
	if got := describe(set).PerClass; !slices.Equal(got, []int{1, 1, 0}) {
		t.Errorf("the summary counts %v, want 1, 1 and 0", got)
	}
}
