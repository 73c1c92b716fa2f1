package main

import (
	"bytes"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"vapo/lib/safetensors"
)

// The shards of a score compute all features that it needs. The score that takes them has the same bytes, even if a
// shard is missing.
func TestShards(t *testing.T) {
	dir := t.TempDir()
	weights := writeFile(t, filepath.Join(dir, "stem.safetensors"), func(w io.Writer) error {
		return safetensors.Write(w, stemWeights(t), nil)
	})
	inputs := []string{
		"--input=samples=" + writeSet(t, dir, "samples", discs("samples", 30)),
		"--input=reference=" + writeSet(t, dir, "reference", discs("reference", 260)),
		"--input=test=" + writeSet(t, dir, "test", discs("test", 20)),
		"--input=features=" + weights, "--tap=64", "--backend=tape",
	}
	t.Setenv("VAPO_STORE", "")
	must := func(args ...string) (stderr string) {
		t.Helper()
		code, _, stderr := eval(t, append(args, inputs...)...)
		if code != 0 {
			t.Fatalf("%v: exit %d\n%s", args, code, stderr)
		}
		return stderr
	}
	whole := filepath.Join(dir, "whole")
	must("run", "--out="+whole)
	score, err := os.ReadFile(filepath.Join(whole, "score.json"))
	if err != nil {
		t.Fatal(err)
	}
	// The reference has two parts. The samples, the per-pixel Gaussian and the test images have one each.
	for _, c := range []struct {
		shards []string
		cached string
	}{
		{[]string{"1/3", "2/3", "3/3"}, `"from_cache":340`}, {[]string{"1/2"}, `"from_cache":330`},
	} {
		out := t.TempDir()
		for _, shard := range c.shards {
			must("shard", shard, "--out="+out)
		}
		stderr := must("run", "--sharded", "--out="+out)
		if !strings.Contains(stderr, c.cached) {
			t.Errorf("shards %v: no progress line with %s:\n%s", c.shards, c.cached, stderr)
		}
		got, err := os.ReadFile(filepath.Join(out, "score.json"))
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got, score) {
			t.Errorf("shards %v: another score:\n%s\nwant\n%s", c.shards, got, score)
		}
	}
	// Points, and images that are compared without Inception, have nothing to share.
	network := writeNetwork(t, dir, 8)
	inputs = slices.Concat(inputs[:3], []string{"--input=features=" + network, "--backend=tape"})
	out := filepath.Join(dir, "classifier")
	must("shard", "1/2", "--out="+out)
	if parts, _ := filepath.Glob(filepath.Join(out, ".live", "*", "*")); len(parts) != 0 {
		t.Errorf("the shard of a score with a classifier stored the parts %v, want none", parts)
	}
}
