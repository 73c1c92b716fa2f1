package runner

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// TestReadOnlyScratch checks that scratch directories are removed even if they contain read-only directories, and that
// one that could not be removed is found by the next run. Root may remove everything, so if root runs the test, the
// test runs itself again as the user nobody.
func TestReadOnlyScratch(t *testing.T) {
	if os.Geteuid() == 0 {
		open := t.TempDir()
		if err := os.Chmod(filepath.Dir(open), 0o755); err != nil {
			t.Fatal(err)
		}
		binary, err := os.ReadFile(os.Args[0])
		if err != nil {
			t.Fatal(err)
		}
		again := filepath.Join(open, "again")
		if err := os.WriteFile(again, binary, 0o755); err != nil {
			t.Fatal(err)
		}
		cmd := exec.Command(again, "-test.run=^TestReadOnlyScratch$", "-test.v")
		cmd.Dir, cmd.Env = "/", append(os.Environ(), "HOME=/tmp", "TMPDIR=/tmp")
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
		out, err := cmd.CombinedOutput()
		if err != nil || !strings.Contains(string(out), "--- PASS: TestReadOnlyScratch") {
			t.Fatalf("the test as user nobody: error %v, want none and a pass\n%s", err, out)
		}
		return
	}
	r := &Runner{Dir: t.TempDir()}
	claim := func(id string) (release func()) {
		t.Helper()
		_, release, err := r.claim(t.Context(), id)
		if err != nil {
			t.Fatal(err)
		}
		return release
	}
	left := func(what string, want int) {
		t.Helper()
		entries, err := os.ReadDir(filepath.Join(r.Dir, "tmp"))
		if err != nil || len(entries) != want {
			t.Errorf("%s: tmp contains %v, want %d entries; error %v", what, entries, want, err)
		}
	}
	chmod := func(path string, mode os.FileMode) {
		t.Helper()
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
	}
	release := claim("a")
	keep := filepath.Join(r.scratchDir("a"), "keep")
	if err := os.MkdirAll(filepath.Join(keep, "unreadable"), 0o755); err != nil {
		t.Fatal(err)
	}
	chmod(filepath.Join(keep, "unreadable"), 0)
	chmod(keep, 0o500)
	release()
	left("after a run", 0)

	release = claim("b")
	if err := os.MkdirAll(r.scratchDir("b"), 0o755); err != nil {
		t.Fatal(err)
	}
	chmod(filepath.Join(r.Dir, "tmp"), 0o500) // now nothing can be removed from it
	release()
	left("after a run that could not clean up", 2)
	chmod(filepath.Join(r.Dir, "tmp"), 0o700)
	if alive, known := r.Alive("b"); alive || !known {
		t.Errorf("run b has ended: alive %v, want false; known %v, want true", alive, known)
	}
	claim("c")()
	left("after the next run", 0)
}
