//go:build unix

package main

import (
	"fmt"
	"io/fs"
	"maps"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"vapo/lib/objectstore/embedded"
	"vapo/lib/objectstore/objectstoretest"
)

// TestManyRunners lets 16 runners in their own directories race for the same steps, in rounds with new steps, in the
// embedded store and on MinIO. All must succeed and agree, and together they may start at most a tenth more stages than
// there are steps.
func TestManyRunners(t *testing.T) {
	t.Parallel()
	for name, env := range map[string]func(testing.TB) embedded.Env{
		"embedded": objectstoretest.EmbeddedEnv, "minio": objectstoretest.MinIOEnv,
	} {
		t.Run(name, func(t *testing.T) {
			const runners = 16
			environ := env(t).Environ()
			places := make([]*workplace, runners)
			for i := range places {
				places[i] = newWorkplace(t)
				places[i].env = append(places[i].env, environ...)
				places[i].write("chain.yaml", chain)
			}
			rounds := objectstoretest.Soak(t, 2)
			for round := range rounds {
				results := make(chan result, runners)
				for _, w := range places {
					go func() { results <- w.run("run", "chain.yaml", "--set", fmt.Sprintf("one.salt=%d", round)) }()
				}
				for range runners {
					if res := <-results; res.code != 0 || strings.Contains(res.stderr, "warning") {
						t.Errorf("round %d: exit code %d, want 0 and no warning\n%s", round, res.code, res.stderr)
					}
				}
				if a, b := places[0].digests(), places[1].digests(); !maps.Equal(a, b) {
					t.Errorf("round %d: the two directories have different digests:\n%v\n%v", round, a, b)
				}
			}
			steps := 3 * rounds
			if n := strings.Count(places[0].must("ls", "actions"), "toy/1"); n != steps {
				t.Errorf("%d steps have %d records, want one each", steps, n)
			}
			started := 0
			for _, n := range executions(t, places...) {
				started += n
			}
			t.Logf("%d runs of %d steps started %d stages", runners*rounds, steps, started)
			if started*10 > steps*11 {
				t.Errorf("%d stages were started for %d steps, want at most 10 %% more than steps", started, steps)
			}
		})
	}
}

// size returns the total size of the files in a directory of the workplace, in bytes.
func (w *workplace) size(dir string) (total int64) {
	w.t.Helper()
	err := filepath.WalkDir(filepath.Join(w.dir, dir), func(_ string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := e.Info()
		if err == nil && info.Mode().IsRegular() {
			total += info.Size()
		}
		return err
	})
	if err != nil {
		w.t.Fatal(err)
	}
	return total
}

// TestRetraining runs one recipe again and again with new data, as a scheduler does, and collects garbage after every
// tenth run. Apart from the runs that are kept on purpose, the store must hardly grow: a year of runs every five
// minutes may add at most 500 MB.
func TestRetraining(t *testing.T) {
	t.Parallel()
	const (
		every  = 10 // runs between collections
		perDay = 24 * 60 / 5
	)
	w := newWorkplace(t)
	w.serve()
	w.write("chain.yaml", chain)
	rounds := objectstoretest.Soak(t, 40)
	var sizes []int64 // after each collection
	for run := range rounds {
		w.must("run", "chain.yaml", "--set", fmt.Sprintf("one.salt=%d", run))
		if (run+1)%every != 0 {
			continue
		}
		time.Sleep(1100 * time.Millisecond) // the store's clock counts whole seconds, and nothing younger is deleted
		w.must("store", "gc", "--keep-last", "5", "--grace", "0s", "--delete")
		sizes = append(sizes, w.size(".vapo/store"))
		if n := len(sizes); n&(n-1) == 0 || run+1 == rounds {
			t.Logf("after %d runs: %d bytes in the store, %d in the local directory", run+1, sizes[n-1],
				w.size(".vapo")-sizes[n-1])
		}
	}
	growth := float64(sizes[len(sizes)-1]-sizes[0]) / float64(rounds-every)
	t.Logf("%.1f bytes a run, %.1f MB in a year of runs every five minutes", growth, growth*365*perDay/1e6)
	if growth*365*perDay > 500e6 {
		t.Errorf("the store grows by more than 500 MB a year; its sizes are %v", sizes)
	}
	if n := strings.Count(w.must("ls", "actions"), "toy/1"); n != 3*5 {
		t.Errorf("the store has %d actions, want those of 5 kept runs of 3 steps", n)
	}
	out := w.must("store", "check", "--deep")
	if !strings.Contains(out, " 0 damaged\n") || strings.Contains(out, "stray") {
		t.Errorf("the check finds damaged or stray objects:\n%s", out)
	}
	w.must("run", "chain.yaml", "--set", fmt.Sprintf("one.salt=%d", rounds-1))
	w.wantStates("a kept run", map[string]string{"one": "cached", "two": "cached", "three": "cached"})
}
