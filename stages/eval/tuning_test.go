package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"vapo/lib/failure"
)

// Only GPU backends accept a tuning, and a damaged tuning is an input error that names the file. A score that needs no
// network has nothing to tune.
func TestTuning(t *testing.T) {
	dir := t.TempDir()
	set := writeSet(t, dir, "discs", discs("train", 40))
	network := writeNetwork(t, dir, 8)
	broken := filepath.Join(t.TempDir(), "tuning.json")
	if err := os.WriteFile(broken, []byte("{\"backend\":\"xla-cuda\""), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		args []string
		code failure.Class
		want string
	}{
		{[]string{"--backend=tape", "--input=tuning=" + broken}, failure.Usage, "backend tape"},
		{[]string{"--backend=go", "--input=tuning=" + broken}, failure.Usage, "backend compute-go"},
		{[]string{"tune", "--backend=tape"}, failure.Usage, "backend tape"},
		{[]string{"--backend=xla:cuda", "--input=tuning=" + broken}, failure.Input, "tuning " + broken},
	} {
		args := append(c.args, "--input=samples="+set, "--input=reference="+set, "--input=features="+network,
			"--out="+t.TempDir())
		code, _, stderr := eval(t, args...)
		if code != c.code || !strings.Contains(stderr, c.want) {
			t.Errorf("%v: exit %d, want %d and a message with %q\n%s", c.args, code, c.code, c.want, stderr)
		}
	}
	code, _, stderr := eval(t, "tune", "--backend=tape", "--input=samples="+set, "--input=reference="+set,
		"--out="+t.TempDir())
	if code != failure.Usage || !strings.Contains(stderr, "nothing to tune") {
		t.Errorf("tune without a network: exit %d, want %d and a message with \"nothing to tune\"\n%s", code, failure.Usage,
			stderr)
	}
}
