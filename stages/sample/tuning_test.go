package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"vapo/lib/failure"
)

// Only GPU backends accept a tuning, and a damaged tuning is an input error that names the file.
func TestTuning(t *testing.T) {
	model := checkpointOf(t, pointsConfig("linear"), nil)
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
		args := append(c.args, "--input=checkpoint="+model, "--n=3", "--out="+t.TempDir())
		code, _, stderr := sample(t, args...)
		if code != c.code || !strings.Contains(stderr, c.want) {
			t.Errorf("%v: exit %d, want %d and a message with %q\n%s", c.args, code, c.code, c.want, stderr)
		}
	}
}
