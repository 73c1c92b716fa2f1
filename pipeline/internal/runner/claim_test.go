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
			for j := range 40 {
				id := fmt.Sprintf("run-%d-%d", i, j)
				release, err := r.claim(t.Context(), id)
				if err != nil {
					t.Error(err)
					return
				}
				if alive, known := r.Alive(id); !alive || !known {
					t.Errorf("run %s: alive %v, known %v", id, alive, known)
				}
				release()
				if alive, known := r.Alive(id); alive || !known {
					t.Errorf("run %s has ended: alive %v, known %v", id, alive, known)
				}
			}
		})
	}
	runs.Wait()
	if alive, known := r.Alive("another"); alive || known {
		t.Errorf("a run of another directory: alive %v, known %v", alive, known)
	}
	if left, err := os.ReadDir(filepath.Join(r.Dir, "tmp")); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v %v", left, err)
	}
}
