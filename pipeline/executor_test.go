//go:build unix

package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"vapo/lib/failure"
)

// TestExecutorMistakes checks what is refused without asking Slurm, and that a job that fails before its run begins
// records the failure in its file.
func TestExecutorMistakes(t *testing.T) {
	t.Parallel()
	w := newWorkplace(t)
	w.write("slow.yaml", slow)
	for _, c := range []struct {
		want string
		args []string
	}{
		{"the nodes of a cluster cannot use the embedded store\nhint: set VAPO_STORE", nil},
		{"--jobs does not work with --executor slurm", []string{"--jobs", "2"}},
		{"--fresh does not work with --executor slurm", []string{"--fresh"}},
		{"--detach needs --executor slurm", []string{"--executor", "local", "--detach"}},
		{"--slurm needs --executor slurm", []string{"--executor", "local", "--slurm", "site"}},
	} {
		w.fails(failure.Usage, []string{c.want}, onSlurmArgs(c.args...)...)
	}
	job := filepath.Join(w.dir, "job")
	if err := os.Mkdir(job, 0o755); err != nil {
		t.Fatal(err)
	}
	w.write("job/recipe.yaml", slow)
	w.write("job/imported", "{}")
	const want = "is not the program for which the job was submitted"
	w.fails(failure.Usage, []string{want}, "exec", "slow.yaml", "one", "--job", job, "--described", "00")
	if record := read(t, filepath.Join(job, "one.json")); !strings.Contains(record, want) {
		t.Errorf("the record of the job lacks %q:\n%s", want, record)
	}
}
