package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"vapo/lib/contract"
	"vapo/lib/failure"
)

// Shards and the run that takes their parts write the outputs of one run, byte for byte. A part that is missing or
// damaged is drawn again.
func TestShards(t *testing.T) {
	points := checkpointOf(t, pointsConfig("linear"), nil)
	images := checkpointOf(t, imagesConfig(), nil)
	for _, c := range []struct {
		name       string
		checkpoint string
		args       []string
		parts      int
	}{
		{"points", points, []string{"--n=700", "--steps=3"}, 3},
		{"points with adaptive steps", points, []string{"--n=1500", "--solver=rk45"}, 2},
		{"images", images, []string{"--n=150", "--first=70", "--steps=2", "--trajectories=2"}, 3},
	} {
		t.Run(c.name, func(t *testing.T) {
			args := append(c.args, "--backend=tape", "--input=checkpoint="+c.checkpoint)
			whole, wholeManifest := mustSample(t, args...)
			dir := t.TempDir()
			shard := func(name string) []string {
				code, _, stderr := sample(t, slices.Concat([]string{"shard", name, "--out=" + dir}, args)...)
				if code != 0 {
					t.Fatalf("shard %s: exit %d\n%s", name, code, stderr)
				}
				parts, err := filepath.Glob(filepath.Join(dir, ".live", "*", "*"))
				if err != nil {
					t.Fatal(err)
				}
				return parts
			}
			first := shard("1/2")
			parts := shard("2/2")
			if len(parts) != c.parts || len(first) != (c.parts+1)/2 {
				t.Errorf("%d parts after the first shard and %d after both, want %d and %d", len(first), len(parts),
					(c.parts+1)/2, c.parts)
			}
			if err := os.Remove(parts[0]); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(parts[1], []byte("not samples"), 0o600); err != nil {
				t.Fatal(err)
			}
			code, stdout, stderr := sample(t, slices.Concat([]string{"run", "--sharded", "--json", "--out=" + dir}, args)...)
			if code != 0 {
				t.Fatalf("exit %d\n%s", code, stderr)
			}
			m, err := contract.DecodeManifest([]byte(stdout))
			if err != nil {
				t.Fatal(err)
			}
			if len(m.Outputs) != len(wholeManifest.Outputs) {
				t.Errorf("%d outputs, want %d", len(m.Outputs), len(wholeManifest.Outputs))
			}
			for name, out := range wholeManifest.Outputs {
				if m.Outputs[name] != out {
					t.Errorf("output %s is %v, want %v", name, m.Outputs[name], out)
				}
			}
			for _, result := range []string{"function_evaluations_mean", "function_evaluations_max"} {
				if got, want := m.Results[result], wholeManifest.Results[result]; got != want {
					t.Errorf("%s is %v, want %v", result, got, want)
				}
			}
			for _, name := range []string{"samples.arrow", "grid.png"} {
				got, err1 := os.ReadFile(filepath.Join(dir, name))
				want, err2 := os.ReadFile(filepath.Join(whole, name))
				if err1 != nil || err2 != nil || !bytes.Equal(got, want) {
					t.Errorf("%s differs between the sharded and the whole run (%v, %v)", name, err1, err2)
				}
			}
		})
	}
}

// The parts of all shards cover every sample once.
func TestPartsCoverSamples(t *testing.T) {
	for _, p := range []params{{N: 1}, {N: 64}, {N: 1000}, {N: 1000, First: 63}, {N: 130, First: 64, Solver: "rk45"}} {
		next := p.First
		for _, r := range partsOf(&p, 64) {
			if r.from != next || r.len() < 1 || r.to != p.First+p.N && r.to%64 != 0 {
				t.Errorf("n %d from %d: part %v, want one that starts at %d and ends at a multiple of 64 or at the end", p.N,
					p.First, r, next)
			}
			next = r.to
		}
		if next != p.First+p.N {
			t.Errorf("n %d from %d: the parts end at %d, want %d", p.N, p.First, next, p.First+p.N)
		}
	}
}

func TestBadShards(t *testing.T) {
	ck := checkpointOf(t, pointsConfig("linear"), nil)
	for _, bad := range []string{"0/2", "3/2", "1", "a/b", fmt.Sprintf("1/%d", contract.MaxShards+1)} {
		code, _, stderr := sample(t, "shard", bad, "--input=checkpoint="+ck, "--out="+t.TempDir())
		if code != failure.Usage || !strings.Contains(stderr, bad) {
			t.Errorf("shard %s: exit %d, want %d and a message with the shard\n%s", bad, code, failure.Usage, stderr)
		}
	}
}
