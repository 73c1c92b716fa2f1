package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"io"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"vapo/lib/artifact"
	"vapo/lib/failure"
	"vapo/lib/feature"
	"vapo/lib/feature/featuretest"
	"vapo/lib/objectstore/objectstoretest"
	"vapo/lib/safetensors"
	"vapo/lib/stage"
)

func TestMain(m *testing.M) { os.Exit(objectstoretest.Main(m)) }

// stemWeights are tensors of the layers that taps 64 and 192 need.
func stemWeights(t testing.TB) []safetensors.Tensor {
	t.Helper()
	w, err := featuretest.ReadWeights("../../lib/feature/testdata/inception_shapes.json")
	if err != nil {
		t.Fatal(err)
	}
	tensors, err := w.Tensors("Conv2d_")
	if err != nil {
		t.Fatal(err)
	}
	return tensors
}

// torchBytes is a PyTorch file of them, and its sha256.
func torchBytes(t testing.TB) ([]byte, string) {
	t.Helper()
	var b bytes.Buffer
	if err := featuretest.WriteTorch(&b, stemWeights(t)); err != nil {
		t.Fatal(err)
	}
	return b.Bytes(), digestOf(b.Bytes())
}

func digestOf(raw []byte) string {
	sum := sha256.Sum256(raw)
	return hex.EncodeToString(sum[:])
}

// weightsTool runs `eval weights` with a list of published files of the test's own.
func weightsTool(t testing.TB, cmd *weightsCmd, args ...string) (code failure.Class, stdout, stderr string) {
	t.Helper()
	s := stage.Stage[params]{Name: "eval", Commands: []stage.Command{{Name: "weights", Cmd: cmd}}}
	var out, err bytes.Buffer
	code = stage.Main(s, append([]string{"weights"}, args...), &out, &err)
	return code, out.String(), err.String()
}

func weightsResult(t testing.TB, code failure.Class, stdout, stderr string) weightsLine {
	t.Helper()
	if code != 0 || strings.Count(stdout, "\n") != 1 {
		t.Fatalf("exit %d, %q: %s", code, stdout, stderr)
	}
	var l weightsLine
	if err := json.Unmarshal([]byte(stdout), &l); err != nil {
		t.Fatal(err)
	}
	return l
}

// ownStore makes an empty store that of this process.
func ownStore(t *testing.T) *artifact.Store {
	t.Helper()
	env := objectstoretest.EmbeddedEnv(t)
	for _, v := range env.Environ() {
		name, value, _ := strings.Cut(v, "=")
		t.Setenv(name, value)
	}
	return artifact.New(objectstoretest.Open(t, env))
}

func TestWeightsImport(t *testing.T) {
	store := ownStore(t)
	dir := t.TempDir()
	torch, sum := torchBytes(t)
	files := map[string]string{
		"pth":         writeFile(t, filepath.Join(dir, "w.pth"), func(w io.Writer) error { _, err := w.Write(torch); return err }),
		"safetensors": writeFile(t, filepath.Join(dir, "w.safetensors"), func(w io.Writer) error { return safetensors.Write(w, stemWeights(t), nil) }),
	}
	known := func() *weightsCmd {
		return &weightsCmd{Import: importWeightsCmd{published: map[string]string{sum: "published.pth"}}}
	}

	// A published file needs no more than its name.
	code, stdout, stderr := weightsTool(t, known(), "import", files["pth"])
	l := weightsResult(t, code, stdout, stderr)
	if l.Digest != "sha256:"+sum || l.FileDigest != sum || l.Ref != "weights/inception" || l.Published != "published.pth" || l.Unverified || !slices.Equal(l.Taps, []int{64, 192}) || l.Size != int64(len(torch)) {
		t.Errorf("%s", stdout)
	}
	if d, err := store.Ref(t.Context(), "weights/inception"); err != nil || string(d) != l.Digest {
		t.Errorf("the ref is %s, %v", d, err)
	}
	if err := store.Verify(t.Context(), artifact.Digest(l.Digest)); err != nil {
		t.Error(err)
	}

	// Another is refused, and nothing is stored, unless one insists; then that is said.
	code, stdout, stderr = weightsTool(t, known(), "import", files["safetensors"], "--ref", "other")
	if code != failure.Input || stdout != "" || !strings.Contains(stderr, "not that of a published file") || !strings.Contains(stderr, "--unverified") {
		t.Errorf("exit %d, %q: %s", code, stdout, stderr)
	}
	if _, err := store.Ref(t.Context(), "other"); err == nil {
		t.Error("a file that was refused has a ref")
	}
	code, stdout, stderr = weightsTool(t, known(), "import", files["safetensors"], "--ref", "other", "--unverified")
	l = weightsResult(t, code, stdout, stderr)
	if l.Published != "" || !l.Unverified || !strings.Contains(stdout, `"unverified":true`) || !strings.Contains(stderr, "compare with no others") || l.Ref != "other" {
		t.Errorf("%s\n%s", stdout, stderr)
	}

	// As a checkpoint the digest is of what is stored, whichever file it came from; and that can be imported in turn.
	code, stdout, stderr = weightsTool(t, known(), "import", files["pth"], "--ref", "a", "--as-checkpoint")
	a := weightsResult(t, code, stdout, stderr)
	code, stdout, stderr = weightsTool(t, known(), "import", files["safetensors"], "--ref", "b", "--as-checkpoint", "--unverified")
	b := weightsResult(t, code, stdout, stderr)
	if a.Digest != b.Digest || a.FileDigest != sum || a.Digest == "sha256:"+sum || a.Published != "published.pth" || b.Published != "" {
		t.Errorf("%+v and %+v", a, b)
	}
	code, stdout, stderr = weightsTool(t, known(), "import", "ref:a", "--ref", "c", "--unverified")
	if c := weightsResult(t, code, stdout, stderr); c.Digest != a.Digest || !slices.Equal(c.Taps, []int{64, 192}) {
		t.Errorf("%+v", c)
	}
	if left, err := filepath.Glob(filepath.Join(os.TempDir(), "vapo-weights-*")); err != nil || len(left) > 0 {
		t.Errorf("temporary files are left: %v, %v", left, err)
	}

	// What the store holds serves as features.
	path := filepath.Join(dir, "fetched")
	if err := store.Fetch(t.Context(), artifact.Digest(a.Digest), path); err != nil {
		t.Fatal(err)
	}
	if src, err := feature.OpenWeights(path); err != nil {
		t.Error(err)
	} else if h, err := feature.Examine(src); err != nil || !slices.Equal(h.Served, []int{64, 192}) {
		t.Errorf("%+v, %v", h, err)
	}
}

func TestWeightsImportRefuses(t *testing.T) {
	t.Setenv("VAPO_STORE", "") // all but one mistake are found before a store is needed
	dir := t.TempDir()
	tensors := func(name string, edit func(list []safetensors.Tensor) []safetensors.Tensor) string {
		return writeFile(t, filepath.Join(dir, name), func(w io.Writer) error { return safetensors.Write(w, edit(stemWeights(t)), nil) })
	}
	nan := tensors("nan", func(list []safetensors.Tensor) []safetensors.Tensor {
		list[0].Data[0] = float32(math.NaN())
		return list
	})
	shape := tensors("shape", func(list []safetensors.Tensor) []safetensors.Tensor {
		list[1].Shape = []int{1, len(list[1].Data)}
		return list
	})
	other := tensors("other", func([]safetensors.Tensor) []safetensors.Tensor {
		return []safetensors.Tensor{{Name: "w", Shape: []int{1}, Data: []float32{1}}}
	})
	text := writeFile(t, filepath.Join(dir, "text"), func(w io.Writer) error { _, err := io.WriteString(w, "no weights at all"); return err })
	good := tensors("good", func(list []safetensors.Tensor) []safetensors.Tensor { return list })
	for name, c := range map[string]struct {
		args []string
		code failure.Class
		want string
	}{
		"missing":      {[]string{filepath.Join(dir, "nowhere")}, failure.Input, "nowhere"},
		"a folder":     {[]string{dir}, failure.Input, "not a regular file"},
		"text":         {[]string{text, "--unverified"}, failure.Input, "begins like none"},
		"not a number": {[]string{nan, "--unverified"}, failure.Input, "holds NaN"},
		"a shape":      {[]string{shape, "--unverified"}, failure.Input, "has shape [1 32]"},
		"other":        {[]string{other, "--unverified"}, failure.Input, "serve no tap"},
		"unknown":      {[]string{good}, failure.Input, "published"},
		"a bad ref":    {[]string{good, "--ref", "../x"}, failure.Usage, "--ref"},
		"no store":     {[]string{good, "--unverified"}, failure.Usage, "no store"},
		"no file":      {nil, failure.Usage, "<file>"},
	} {
		code, stdout, stderr := weightsTool(t, &weightsCmd{}, append([]string{"import"}, c.args...)...)
		if code != c.code || stdout != "" || !strings.Contains(stderr, c.want) {
			t.Errorf("%s: exit %d, %q: %s; want %d with %q", name, code, stdout, stderr, c.code, c.want)
		}
	}
}

// Nothing that a user can say changes what counts as published.
func TestWeightsHasNoFlagForDigests(t *testing.T) {
	for _, command := range []string{"import", "fetch"} {
		code, stdout, _ := weightsTool(t, &weightsCmd{}, command, "--help")
		if code != 0 || strings.Contains(stdout, "published=") || strings.Contains(stdout, "--limit") || strings.Contains(stdout, "--pause") {
			t.Errorf("%s: exit %d: %s", command, code, stdout)
		}
		if code, _, stderr := weightsTool(t, &weightsCmd{}, command, "x", "--published", "a=b"); code != failure.Usage || !strings.Contains(stderr, "--published") && !strings.Contains(stderr, "unexpected argument") {
			t.Errorf("%s --published: exit %d: %s", command, code, stderr)
		}
	}
}
