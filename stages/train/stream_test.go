package main

import (
	"bytes"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"vapo/lib/artifact"
	"vapo/lib/contract"
	"vapo/lib/dataloader"
	"vapo/lib/dataset"
	"vapo/lib/failure"
	"vapo/lib/objectstore/objectstoretest"
	"vapo/lib/random"
	"vapo/stages/train/internal/data"
)

// streamed, given as the first argument, makes the test binary run as the stage, which then streams its data through
// narrow windows, so that even a small set spans many windows.
const streamed = "streamed"

// narrow limits a block to 8 images of 8x8 pixels, or to 64 points in the plane, and a window to 5 blocks.
var narrow = dataloader.Limits{BlockBytes: 512, BlockRows: 1 << 14, WindowBytes: 5 * 512, WindowRows: 1 << 20}

// narrowed sets narrow windows for the rest of the test. If memory is set, the data is held in memory; otherwise it is
// streamed.
func narrowed(t *testing.T, memory bool) {
	t.Helper()
	data.Limits, data.InMemory = narrow, 0
	if memory {
		data.InMemory = 1 << 40
	}
	t.Cleanup(func() {
		data.Limits, data.InMemory = dataloader.Default, int64(dataloader.Default.WindowBytes)
	})
}

// many returns n labelled random images of 8x8 pixels.
func many(n int) *dataset.Images {
	s := &dataset.Images{Name: "many", N: n, C: 1, H: 8, W: 8, Pixels: make([]uint8, 64*n),
		Classes: []string{"a", "b", "c"}}
	rng := random.New(4, "test", 0)
	for i := range s.Pixels {
		s.Pixels[i] = uint8(rng.IntN(256))
	}
	for i := range n {
		s.Labels = append(s.Labels, int64(i%3))
	}
	return s
}

// stored puts a file into a new store, which the stage then uses, and returns its reference.
func stored(t *testing.T, path string) string {
	t.Helper()
	env := objectstoretest.EmbeddedEnv(t)
	for _, kv := range env.Environ() {
		k, v, _ := strings.Cut(kv, "=")
		t.Setenv(k, v)
	}
	d, _, err := artifact.New(objectstoretest.Open(t, env)).PutFile(t.Context(), path, nil)
	if err != nil {
		t.Fatal(err)
	}
	return string(d)
}

// The outputs do not depend on where the samples are: in memory, in a file, or in the store with a cache that holds
// all, some or none of the data.
func TestStreamedEndsInTheSameBytes(t *testing.T) {
	pics, pts := write(t, "many.arrow", many(1500)), points(t)
	for name, c := range map[string]struct {
		path string
		args func(data string) []string
	}{
		"images": {pics, func(d string) []string {
			return smallUNet(d, "--flip", "--batch=50", "--steps=70",
				"--conditional")
		}},
		"points":  {pts, func(d string) []string { return small(d, "--steps=70", "--field-every=30") }},
		"cluster": {pts, func(d string) []string { return small(d, "--steps=70", "--conditional") }},
	} {
		t.Run(name, func(t *testing.T) {
			digest := func(memory bool, args ...string) (string, *contract.Manifest) {
				t.Helper()
				narrowed(t, memory)
				code, m, stderr := train(t, append(args, "--out="+t.TempDir())...)
				if code != 0 {
					t.Fatalf("exit %d\n%s", code, stderr)
				}
				return m.Outputs["checkpoint"].Digest + m.Outputs["metrics"].Digest, m
			}
			want, _ := digest(true, c.args(c.path)...)
			if got, m := digest(false, c.args(c.path)...); got != want || m.Results["data_blocks_read"] == nil {
				t.Errorf("from a file: %s, in memory %s; results %v, want the number of blocks read among them", got, want,
					m.Results)
			}
			ref := stored(t, c.path)
			for _, cache := range []string{"0", "8000", "1000000"} {
				got, m := digest(false, append(c.args(ref), "--data-cache="+cache)...)
				if got != want {
					t.Errorf("from the store with a cache of %s bytes: %s, in memory %s", cache, got, want)
				}
				if name == "images" && (m.Results["data_blocks_cached"] != 0.0) != (cache == "8000") {
					t.Errorf("a cache of %s bytes: results %v; blocks should be found in the cache of 8000 bytes only", cache,
						m.Results)
				}
			}
		})
	}
}

// Like TestKilledRunsEndInTheSameBytes, but with data streamed from the store through narrow windows.
func TestKilledWhileStreamed(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	ref, temp := stored(t, write(t, "many.arrow", many(700))), t.TempDir()
	t.Setenv("TMPDIR", temp)
	args := append([]string{streamed}, smallUNet(ref, "--flip", "--conditional", "--batch=20", "--steps=120",
		"--checkpoint-every=7", "--data-cache=9000")...)
	whole, broken := t.TempDir(), t.TempDir()
	start := time.Now()
	if code, stderr := attemptOf(t, self, append(args, "--out="+whole), 0, 0); code != 0 ||
		!strings.Contains(stderr, "the data is streamed") {
		t.Fatalf("exit %d, want 0 and a log that says that the data is streamed\n%s", code, stderr)
	}
	took := time.Since(start)
	resumed := 0
	rng := rand.New(rand.NewPCG(uint64(start.UnixNano()), 0))
	for killed := 0; ; killed++ {
		sig := []syscall.Signal{syscall.SIGKILL, syscall.SIGTERM, syscall.SIGKILL, syscall.SIGTERM, 0}[min(killed, 4)]
		code, stderr := attemptOf(t, self, append(args, "--out="+broken), sig, time.Duration(rng.Int64N(int64(took)/3)))
		if strings.Contains(stderr, "resuming") {
			resumed++
		}
		if code == 0 {
			break
		}
		if want := map[syscall.Signal]failure.Class{syscall.SIGKILL: -1, syscall.SIGTERM: 143}[sig]; code != want {
			t.Fatalf("exit %d after %v, want %d\n%s", code, sig, want, stderr)
		}
	}
	c1, m1 := outputs(t, whole)
	c2, m2 := outputs(t, broken)
	if !bytes.Equal(c1, c2) || !bytes.Equal(m1, m2) {
		t.Errorf("the outputs differ after %d resumptions", resumed)
	}
	if left, err := filepath.Glob(filepath.Join(temp, "*", "*.cache")); err != nil || len(left) > 0 {
		t.Errorf("cache files were left behind: %v, %v", left, err)
	}
}

// Invalid streamed data are refused, even if the invalid samples come late.
func TestStreamRefusals(t *testing.T) {
	bad := many(100)
	bad.Classes, bad.Labels[70] = nil, 1<<40
	far := many(100)
	far.Labels[70] = 3
	nan := &dataset.Points{N: 600, D: 2, X: make([]float32, 1200)}
	nan.X[1100] = float32(math.NaN())
	text := filepath.Join(t.TempDir(), "text.arrow")
	if err := os.WriteFile(text, bytes.Repeat([]byte("text\n"), 100), 0o644); err != nil {
		t.Fatal(err)
	}
	for message, c := range map[string]struct {
		code failure.Class
		args []string
	}{
		"sample 70 has label 1099511627776": {3, smallUNet(write(t, "bad.arrow", bad), "--conditional")},
		"samples 64 to 71: ":                {3, smallUNet(write(t, "far.arrow", far), "--steps=50")},
		"samples 512 to 575: ":              {3, small(write(t, "nan.arrow", nan), "--steps=60")},
		"no samples":                        {3, small(write(t, "none.arrow", &dataset.Points{D: 2}))},
		"does not begin with":               {3, small(text)},
		"a unet needs images":               {3, smallUNet(points(t))},
		"data-cache is -1, expected 0":      {2, small(points(t), "--data-cache=-1")},
	} {
		narrowed(t, false)
		code, _, stderr := train(t, append(c.args, "--out="+t.TempDir())...)
		if code != c.code || !strings.Contains(stderr, message) {
			t.Errorf("exit %d, want %d and a message with %q:\n%s", code, c.code, message, stderr)
		}
	}
}

// If data must be held in memory and does not fit, the stage refuses it without reading it.
func TestMemoryLimit(t *testing.T) {
	path := write(t, "many.arrow", many(2000))
	c := append([]string{streamed}, smallClassifier(path, "--out="+t.TempDir())...)
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv("GOMEMLIMIT", "100KiB")
	if code, stderr := attemptOf(t, self, c, 0, 0); code != failure.Resources ||
		!strings.Contains(stderr, "must fit in memory") {
		t.Errorf("exit %d, want %d and a message with \"must fit in memory\"\n%s", code, failure.Resources, stderr)
	}
}
