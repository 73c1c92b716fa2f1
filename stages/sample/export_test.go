package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"vapo/lib/dataset"
	"vapo/lib/failure"
	"vapo/lib/stage"
	"vapo/lib/tensorfile"
)

func exportTool(t *testing.T, args ...string) (code failure.Class, stdout, stderr string) {
	t.Helper()
	var out, err bytes.Buffer
	code = stage.Main(spec, append([]string{"export"}, args...), &out, &err)
	return code, out.String(), err.String()
}

func arrowOf(t *testing.T, s dataset.Set) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "samples.arrow")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := tensorfile.Write(f, s.Table()); err != nil {
		t.Fatal(err)
	}
	return path
}

// An export has the samples in the documented layout. Repeated exports have equal bytes.
func TestExport(t *testing.T) {
	t.Setenv("VAPO_STORE", "")
	pixels := func(n int) []uint8 {
		out := make([]uint8, n)
		for i := range out {
			out[i] = uint8(i * 11)
		}
		return out
	}
	grey := &dataset.Images{N: 3, C: 1, H: 2, W: 4, Pixels: pixels(24)}
	rgb := &dataset.Images{N: 2, C: 3, H: 4, W: 5, Pixels: pixels(120)}
	points := &dataset.Points{N: 3, D: 2, X: []float32{1, 2, 0.1, -4, 5, 6}}
	greyAsRGB := &dataset.Images{N: 3, C: 3, H: 2, W: 4}
	for i := range grey.N {
		for range 3 {
			greyAsRGB.Pixels = append(greyAsRGB.Pixels, grey.Image(i)...)
		}
	}
	for _, c := range []struct {
		name      string
		set, want dataset.Set
		flags     []string
		shape     []int
		warning   bool
	}{
		{"rgb", rgb, rgb, nil, []int{2, 4, 5, 3}, false},
		{"grey", grey, grey, nil, []int{3, 2, 4, 1}, true},
		{"grey as rgb", grey, greyAsRGB, []string{"--rgb"}, []int{3, 2, 4, 3}, false},
		{"points", points, points, nil, []int{3, 2}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			in, out := arrowOf(t, c.set), filepath.Join(t.TempDir(), "x.npz")
			code, stdout, stderr := exportTool(t, append([]string{in, out}, c.flags...)...)
			if code != 0 || strings.Contains(stderr, "--rgb") != c.warning {
				t.Fatalf("exit %d, want 0; should a warning name --rgb? %v\n%s", code, c.warning, stderr)
			}
			var line exported
			if err := json.Unmarshal([]byte(stdout), &line); err != nil {
				t.Fatal(err)
			}
			raw, err := os.ReadFile(out)
			if err != nil {
				t.Fatal(err)
			}
			sum := sha256.Sum256(raw)
			if line.File != out || line.N != c.set.Len() || !slices.Equal(line.Shape, c.shape) ||
				line.SHA256 != hex.EncodeToString(sum[:]) {
				t.Errorf("printed %s, want the file %s, n %d, shape %v and SHA-256 %x", stdout, out, c.set.Len(), c.shape, sum)
			}
			got, err := dataset.Read(out)
			if err != nil {
				t.Fatal(err)
			}
			switch s := got.(type) {
			case *dataset.Images:
				s.Name = ""
			case *dataset.Points:
				s.Name = ""
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			// An exported archive is a data set, too; exporting it again gives the same file.
			again := filepath.Join(t.TempDir(), "y.npz")
			if code, _, stderr := exportTool(t, out, again); code != 0 {
				t.Fatalf("exit %d: %s", code, stderr)
			}
			if second, err := os.ReadFile(again); err != nil || !bytes.Equal(second, raw) {
				t.Errorf("exporting the exported archive gives another file (%v)", err)
			}
			if entries, err := os.ReadDir(filepath.Dir(out)); err != nil || len(entries) != 1 {
				t.Errorf("the folder of the export holds %v (%v), want only the export", entries, err)
			}
		})
	}
}

func TestExportRefuses(t *testing.T) {
	t.Setenv("VAPO_STORE", "")
	dir := t.TempDir()
	good := arrowOf(t, &dataset.Points{N: 1, D: 1, X: []float32{1}})
	text := filepath.Join(dir, "text")
	there := filepath.Join(dir, "there.npz")
	for _, path := range []string{text, there} {
		if err := os.WriteFile(path, []byte("text"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for name, c := range map[string]struct {
		args []string
		code failure.Class
		want string
	}{
		"missing":   {[]string{filepath.Join(dir, "none"), filepath.Join(dir, "a.npz")}, failure.Input, "no such file"},
		"text":      {[]string{text, filepath.Join(dir, "a.npz")}, failure.Input, "begins with the text"},
		"there":     {[]string{good, there}, failure.Usage, "--force"},
		"no folder": {[]string{good, filepath.Join(dir, "none", "a.npz")}, failure.Usage, "none"},
		"one name":  {[]string{good}, failure.Usage, "<file>"},
		"no store":  {[]string{"ref:samples", filepath.Join(dir, "a.npz")}, failure.Input, "no store"},
	} {
		code, stdout, stderr := exportTool(t, c.args...)
		if code != c.code || stdout != "" || !strings.Contains(stderr, c.want) {
			t.Errorf("%s: exit %d, %q: %s; want %d, nothing on standard output, and a message with %q", name, code, stdout,
				stderr, c.code, c.want)
		}
	}
	if code, _, stderr := exportTool(t, good, there, "--force"); code != 0 {
		t.Errorf("--force: exit %d: %s", code, stderr)
	}
}
