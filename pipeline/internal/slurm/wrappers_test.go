//go:build unix

package slurm

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"vapo/lib/failure"
	"vapo/pipeline/internal/recipe"
	"vapo/pipeline/internal/runner"
)

// TestWrappers checks what happens if a site's wrappers of Slurm's commands print messages.
func TestWrappers(t *testing.T) {
	for _, c := range []struct {
		sbatch, squeue string // what they print
		want           string // the job's ID
	}{
		{"Your quota is fine.\n12", "", "12"}, {"12;main", "", "12"}, {"12\nYour quota is fine.", "", "12"},
		{"Submitted.", "5|vapo-a-0123456789abcdef|PENDING|x|None|DIR", "5"}, {"Submitted.", "", ""},
		{"Submitted.", "Your quota is fine.", ""}, {"Submitted.", "?|vapo-a-0123456789abcdef|PENDING|x|None|DIR", ""},
	} {
		dir := t.TempDir()
		print := func(text string) string {
			return "#!/bin/sh\ncat <<'END'\n" + strings.ReplaceAll(text, "DIR", dir) + "\nEND\n"
		}
		executable(t, dir, "sbatch", print(c.sbatch))
		executable(t, dir, "squeue", print(c.squeue))
		t.Setenv("PATH", dir+":"+os.Getenv("PATH"))
		j := job("a", &recipe.Step{})
		_, err := (&Slurm{}).submit(context.Background(), []*runner.Job{j}, dir)
		if j.ID != c.want || c.want != "" && err != nil || c.want == "" && failure.ClassOf(err) != failure.Resources {
			t.Errorf("sbatch prints %q and squeue %q: job %q, error %v; want job %q, or an error of class Resources",
				c.sbatch, c.squeue, j.ID, err, c.want)
		}
	}
}

// executable writes a file that may be executed, and returns its path.
func executable(t *testing.T, dir, name, text string) string {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.WriteFile(path, []byte(text), 0o755); err != nil {
		t.Fatal(err)
	}
	return path
}
