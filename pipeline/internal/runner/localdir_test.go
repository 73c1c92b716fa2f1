package runner

import (
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"
)

// TestClaimRace starts many runs at once in one directory. Each cleans up after runs that have ended, and must neither
// fail nor disturb a run that is just starting.
func TestClaimRace(t *testing.T) {
	r := &Runner{Dir: t.TempDir()}
	var runs sync.WaitGroup
	for i := range 8 {
		runs.Go(func() {
			for j := range 12 { // fewer than localRuns in all
				id := fmt.Sprintf("run-%d-%d", i, j)
				_, release, err := r.claim(t.Context(), id)
				if err != nil {
					t.Error(err)
					return
				}
				if alive, known := r.Alive(id); !alive || !known {
					t.Errorf("run %s is active: alive %v, known %v, want both true", id, alive, known)
				}
				release()
				if alive, known := r.Alive(id); alive || !known {
					t.Errorf("run %s has ended: alive %v, want false; known %v, want true", id, alive, known)
				}
			}
		})
	}
	runs.Wait()
	if alive, known := r.Alive("another"); alive || known {
		t.Errorf("a run of another directory: alive %v, known %v, want both false", alive, known)
	}
	if left, err := os.ReadDir(filepath.Join(r.Dir, "tmp")); err != nil || len(left) > 0 {
		t.Errorf("the directory tmp is not empty: %v, %v", left, err)
	}
}

// TestOldRunsAreTrimmed checks that only the newest runs and active runs keep their local files.
func TestOldRunsAreTrimmed(t *testing.T) {
	r := &Runner{Dir: t.TempDir()}
	_, release, err := r.claim(t.Context(), "20260101-000000000-0000")
	if err != nil {
		t.Fatal(err)
	}
	for i := range localRuns + 9 {
		if err := os.MkdirAll(filepath.Join(r.RunDir(fmt.Sprintf("20260102-%09d-0000", i)), "step"), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	count := func() int {
		_, again, err := r.claim(t.Context(), "20260103-000000000-0000")
		if err != nil {
			t.Fatal(err)
		}
		again()
		dirs, err := os.ReadDir(r.RunDir(""))
		if err != nil {
			t.Fatal(err)
		}
		return len(dirs)
	}
	if n := count(); n != localRuns+1 {
		t.Errorf("%d runs have local files, want %d", n, localRuns+1)
	}
	if _, err := os.Stat(r.RunDir("20260101-000000000-0000")); err != nil {
		t.Errorf("the directory of an active run: %v", err)
	}
	release()
	if n := count(); n != localRuns {
		t.Errorf("%d runs have local files at the end, want %d", n, localRuns)
	}
}
