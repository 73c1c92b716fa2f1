package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"io"
	"math"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"vapo/lib/artifact"
	"vapo/lib/failure"
	"vapo/lib/feature"
	"vapo/lib/feature/featuretest"
	"vapo/lib/objectstore/objectstoretest"
	"vapo/lib/safetensors"
)

func TestMain(m *testing.M) { os.Exit(objectstoretest.Main(m)) }

// stemWeights returns only the tensors of the layers needed for taps 64 and 192.
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

// torchBytes returns stemWeights as a PyTorch file, and the SHA-256 of the file.
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

// publish makes the file with the given digest count as the published weights for the rest of the test.
func publish(t *testing.T, digest string) {
	old := publishedDigest
	publishedDigest = digest
	t.Cleanup(func() { publishedDigest = old })
}

func runResult(t testing.TB, code failure.Class, stdout, stderr string) weightsResult {
	t.Helper()
	if code != 0 || strings.Count(stdout, "\n") != 1 {
		t.Fatalf("exit %d, want 0 and one line on standard output, not %q: %s", code, stdout, stderr)
	}
	var l weightsResult
	if err := json.Unmarshal([]byte(stdout), &l); err != nil {
		t.Fatal(err)
	}
	return l
}

// ownStore creates an empty store and makes this process use it.
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
		"pth": writeText(t, filepath.Join(dir, "w.pth"), string(torch)),
		"safetensors": writeFile(t, filepath.Join(dir, "w.safetensors"), func(w io.Writer) error {
			return safetensors.Write(w, stemWeights(t), nil)
		}),
	}
	publish(t, sum)

	// The published file needs no flags.
	code, stdout, stderr := eval(t, "weights", "import", files["pth"])
	l := runResult(t, code, stdout, stderr)
	if l.Digest != "sha256:"+sum || l.FileDigest != sum || l.Ref != "weights/inception" || l.Unverified ||
		l.Published != feature.PublishedWeights || !slices.Equal(l.Taps, []int{64, 192}) || l.Size != int64(len(torch)) {
		t.Errorf("want the published weights with digest %s, size %d, taps 64 and 192 and the default ref, got %s", sum,
			len(torch), stdout)
	}
	if d, err := store.Ref(t.Context(), "weights/inception"); err != nil || string(d) != l.Digest {
		t.Errorf("the ref is %s (%v), want %s", d, err, l.Digest)
	}
	if err := store.Verify(t.Context(), artifact.Digest(l.Digest)); err != nil {
		t.Error(err)
	}

	// Without --unverified, any other file is refused and nothing is stored. With --unverified, it is imported and marked
	// as unverified.
	code, stdout, stderr = eval(t, "weights", "import", files["safetensors"], "--ref", "other")
	if code != failure.Input || stdout != "" || !strings.Contains(stderr, "not that of the published file") ||
		!strings.Contains(stderr, "--unverified") {
		t.Errorf("exit %d, want %d, no output, and a message that names the published file and --unverified; got %q: %s",
			code, failure.Input, stdout, stderr)
	}
	if _, err := store.Ref(t.Context(), "other"); err == nil {
		t.Error("a file that was refused has a ref")
	}
	code, stdout, stderr = eval(t, "weights", "import", files["safetensors"], "--ref", "other", "--unverified")
	l = runResult(t, code, stdout, stderr)
	if l.Published != "" || !l.Unverified || !strings.Contains(stdout, `"unverified":true`) ||
		!strings.Contains(stderr, "not comparable with others") || l.Ref != "other" {
		t.Errorf("want unverified weights with the ref other, and a warning that scores are not comparable; got %s\n%s",
			stdout, stderr)
	}

	// Weights in the store can be imported again.
	code, stdout, stderr = eval(t, "weights", "import", "ref:other", "--ref", "again", "--unverified")
	if again := runResult(t, code, stdout, stderr); again.Digest != l.Digest || !slices.Equal(again.Taps, []int{64, 192}) {
		t.Errorf("imported again: %+v, want digest %s and taps 64 and 192", again, l.Digest)
	}

	// The blob in the store is a valid file of weights.
	path := filepath.Join(dir, "fetched")
	if err := store.Fetch(t.Context(), artifact.Digest(l.Digest), path); err != nil {
		t.Fatal(err)
	}
	if src, err := feature.OpenWeights(path); err != nil {
		t.Error(err)
	} else if h, err := feature.Examine(src); err != nil || !slices.Equal(h.Taps, []int{64, 192}) {
		t.Errorf("the blob is read as %+v (%v), want taps 64 and 192", h, err)
	}
}

func TestWeightsImportRefuses(t *testing.T) {
	t.Setenv("VAPO_STORE", "") // all mistakes but one are found before the store is opened
	dir := t.TempDir()
	tensors := func(name string, edit func(list []safetensors.Tensor) []safetensors.Tensor) string {
		return writeFile(t, filepath.Join(dir, name), func(w io.Writer) error {
			return safetensors.Write(w, edit(stemWeights(t)), nil)
		})
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
	text := writeText(t, filepath.Join(dir, "text"), "no weights at all")
	good := tensors("good", func(list []safetensors.Tensor) []safetensors.Tensor { return list })
	for name, c := range map[string]struct {
		args []string
		code failure.Class
		want string
	}{
		"missing":      {[]string{filepath.Join(dir, "nowhere")}, failure.Input, "nowhere"},
		"a folder":     {[]string{dir}, failure.Input, "not a regular file"},
		"text":         {[]string{text, "--unverified"}, failure.Input, "the text \"no weights at all\", expected"},
		"not a number": {[]string{nan, "--unverified"}, failure.Input, "holds NaN"},
		"a shape":      {[]string{shape, "--unverified"}, failure.Input, "has shape [1 32]"},
		"other":        {[]string{other, "--unverified"}, failure.Input, "serve no tap"},
		"unknown":      {[]string{good}, failure.Input, "published"},
		"a bad ref":    {[]string{good, "--ref", "../x"}, failure.Usage, "--ref"},
		"no store":     {[]string{good, "--unverified"}, failure.Usage, "no gateway serves the store"},
		"no file":      {nil, failure.Usage, "<file>"},
	} {
		code, stdout, stderr := eval(t, append([]string{"weights", "import"}, c.args...)...)
		if code != c.code || stdout != "" || !strings.Contains(stderr, c.want) {
			t.Errorf("%s: exit %d, %q: %s; want %d, nothing on standard output, and a message with %q", name, code, stdout,
				stderr, c.code, c.want)
		}
	}
}

func serve(t *testing.T, data []byte) string {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.ServeContent(w, r, "weights.pth", time.Time{}, bytes.NewReader(data))
	}))
	t.Cleanup(server.Close)
	return server.URL
}

func TestWeightsFetch(t *testing.T) {
	t.Setenv("VAPO_STORE", "")
	content, sum := torchBytes(t)
	publish(t, sum)
	url, out := serve(t, content), filepath.Join(t.TempDir(), "w.pth")
	for _, log := range []string{`"unit":"bytes"`, "exists already"} { // the second time, the file exists already
		code, stdout, stderr := eval(t, "weights", "fetch", "--url", url, "--out", out)
		r := runResult(t, code, stdout, stderr)
		if r.File != out || r.FileDigest != sum || r.Published != feature.PublishedWeights || r.Digest != "" ||
			r.Ref != "" || r.Size != int64(len(content)) || !slices.Equal(r.Taps, []int{64, 192}) {
			t.Errorf("want file %s of %d bytes, the published weights, with taps 64 and 192 and no ref or digest of a "+
				"store; got %s", out, len(content), stdout)
		}
		if got, err := os.ReadFile(out); err != nil || !bytes.Equal(got, content) {
			t.Errorf("the file differs: %v", err)
		}
		if !strings.Contains(stderr, log) {
			t.Errorf("the log lacks %q: %s", log, stderr)
		}
	}

	// If there is a store, the weights are imported.
	store := ownStore(t)
	code, stdout, stderr := eval(t, "weights", "fetch", "--url", url, "--out", out, "--ref", "weights/mine")
	if r := runResult(t, code, stdout, stderr); r.Digest != "sha256:"+sum || r.Ref != "weights/mine" {
		t.Errorf("want digest sha256:%s and the ref weights/mine, got %s", sum, stdout)
	}
	if d, err := store.Ref(t.Context(), "weights/mine"); err != nil || d != artifact.Digest("sha256:"+sum) {
		t.Errorf("the ref is %s (%v), want sha256:%s", d, err, sum)
	}
}

func TestWeightsFetchRefuses(t *testing.T) {
	t.Setenv("VAPO_STORE", "")
	content, sum := torchBytes(t)
	publish(t, sum)
	dir := t.TempDir()
	other := filepath.Join(dir, "other.pth")
	writeText(t, other, "precious")
	damaged := bytes.Clone(content)
	damaged[len(damaged)/2] ^= 1
	for name, c := range map[string]struct {
		url, out string
		code     failure.Class
		want     string
	}{
		"flipped bit":    {serve(t, damaged), "w.pth", failure.Integrity, "expected " + sum},
		"no such host":   {"http://nowhere.invalid/", "w.pth", failure.Input, "HTTPS_PROXY"},
		"another scheme": {"file:///etc/passwd", "w.pth", failure.Usage, "--url"},
		"password":       {"https://a:b@localhost/", "w.pth", failure.Usage, "password"},
		"existing file":  {serve(t, content), "other.pth", failure.Usage, "exists already"},
	} {
		code, stdout, stderr := eval(t, "weights", "fetch", "--url", c.url, "--out", filepath.Join(dir, c.out))
		if code != c.code || stdout != "" || !strings.Contains(stderr, c.want) {
			t.Errorf("%s: exit %d, %q: %s; want %d, nothing on standard output, and a message with %q", name, code, stdout,
				stderr, c.code, c.want)
		}
	}
	if got, err := os.ReadFile(other); err != nil || string(got) != "precious" {
		t.Errorf("the existing file now holds %q, want precious (%v)", got, err)
	}
	if left, err := filepath.Glob(filepath.Join(dir, "w.pth*")); err != nil || len(left) > 0 {
		t.Errorf("files are left: %v, %v", left, err)
	}
}

// No flag can change which file counts as the published one.
func TestWeightsHasNoFlagForDigests(t *testing.T) {
	for _, command := range []string{"import", "fetch"} {
		code, stdout, _ := eval(t, "weights", command, "--help")
		if code != 0 || strings.Contains(stdout, "published=") {
			t.Errorf("%s --help: exit %d, want 0 and no flag --published: %s", command, code, stdout)
		}
		code, _, stderr := eval(t, "weights", command, "x", "--published", "a=b")
		if code != failure.Usage || !strings.Contains(stderr, "--published") && !strings.Contains(stderr, "unexpected") {
			t.Errorf("%s --published: exit %d, want %d and a message about the unknown flag: %s", command, code,
				failure.Usage, stderr)
		}
	}
}

// TestImportByHand runs the built programs in a directory without a store and without VAPO_STORE. The import creates a
// store in the directory, and the runner finds the weights there.
func TestImportByHand(t *testing.T) {
	t.Setenv("VAPO_STORE", "")
	bin := t.TempDir()
	build := exec.Command("go", "build", "-o", bin+string(filepath.Separator), ".", "../../pipeline")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	dir := t.TempDir()
	torch, sum := torchBytes(t)
	writeText(t, filepath.Join(dir, "w.pth"), string(torch))
	run := func(name string, args ...string) string {
		t.Helper()
		cmd := exec.Command(filepath.Join(bin, name), args...)
		cmd.Dir = dir
		var stderr bytes.Buffer
		cmd.Stderr = &stderr
		out, err := cmd.Output()
		if err != nil {
			t.Fatalf("%s %v: %v\n%s", name, args, err, stderr.String())
		}
		return string(out)
	}
	run("eval", "weights", "import", "w.pth", "--unverified")
	refs := run("pipeline", "ls", "refs")
	if !strings.Contains(refs, "weights/inception") || !strings.Contains(refs, sum) {
		t.Errorf("the refs lack weights/inception with digest %s:\n%s", sum, refs)
	}
	run("eval", "weights", "import", "ref:weights/inception", "--unverified", "--ref", "weights/copy")
}
