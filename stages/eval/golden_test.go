package main

import (
	"crypto/sha256"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// TestGolden pins the digests of the outputs. If the outputs of a stage change, its version must change too; otherwise
// caches would return the old outputs.
func TestGolden(t *testing.T) {
	if spec.Version != 5 {
		t.Errorf("version %d: update these digests", spec.Version)
	}
	dir := t.TempDir()
	writeSet(t, dir, "train", discs("train", 200))
	writeSet(t, dir, "test", discs("test", 80))
	writeSet(t, dir, "samples", discs("samples", 60))
	in := func(name string) string { return "--input=" + name + "=" + filepath.Join(dir, name+".arrow") }
	code, _, stderr := eval(t, in("samples"), "--input=reference="+filepath.Join(dir, "train.arrow"), in("test"),
		"--input=features="+writeNetwork(t, dir, 8), "--backend=tape", "--panel=4", "--out="+filepath.Join(dir, "out"))
	if code != 0 {
		t.Fatalf("exit %d: %s", code, stderr)
	}
	// Pictures are not compared, because their bytes depend on the standard library's compressor. lib/preview tests their
	// pixels.
	got := digests(t, filepath.Join(dir, "out", "score.json"))
	want := []string{"656b35d096512e1e"}
	if !slices.Equal(got, want) {
		t.Errorf("digests\n got %q\nwant %q", got, want)
	}
}

func digests(t *testing.T, paths ...string) (out []string) {
	for _, p := range paths {
		raw, err := os.ReadFile(p)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, fmt.Sprintf("%x", sha256.Sum256(raw))[:16])
	}
	return out
}
