package main

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"vapo/lib/objectstore/embedded"
	"vapo/lib/objectstore/objectstoretest"
)

// hasty builds the programs with one difference: they renew objects that are older than one second. A collection may
// therefore delete objects that are older than a few seconds.
var hasty = sync.OnceValues(func() (dir string, err error) {
	dir = filepath.Join(binaries, "hasty")
	out, err := exec.Command("go", "build", "-ldflags", "-X vapo/lib/artifact.testRenewAge=1s",
		"-o", dir+string(filepath.Separator), ".", "./testdata/toy").CombinedOutput()
	if err != nil {
		err = fmt.Errorf("building hasty programs: %w\n%s", err, out)
	}
	return dir, err
})

// TestCollectBesideRunners lets runners in several directories use one store while collections delete everything that
// is older than a few seconds and that no run and no ref needs. The runners import old and new files, find old and new
// results, and name and use artifacts. Every run must succeed, and its results must be readable afterwards.
func TestCollectBesideRunners(t *testing.T) {
	t.Parallel()
	bin, err := hasty()
	if err != nil {
		t.Fatal(err)
	}
	for name, env := range map[string]func(testing.TB) embedded.Env{
		"embedded": objectstoretest.EmbeddedEnv, "minio": objectstoretest.MinIOEnv,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			const (
				runners = 3
				variety = 12 // number of different files and of different parameters for the first step
				grace   = 6 * time.Second
			)
			environ := env(t).Environ()
			newPlace := func() *workplace {
				w := newWorkplace(t)
				w.bin, w.env = bin, append(w.env, environ...)
				w.write("chain.yaml", chain)
				for i := range variety {
					w.write(fmt.Sprintf("%d.json", i), fmt.Sprintf(`{"link": "%d"}`, i))
				}
				return w
			}
			b := &besideRunners{t: t, until: time.Now().Add(time.Duration(objectstoretest.Soak(t, 11)) * time.Second)}
			var group sync.WaitGroup
			for i := range runners {
				w := newPlace()
				group.Go(func() { b.runner(w, i, variety) })
			}
			collector := newPlace()
			group.Go(func() { b.collector(collector, grace) })
			group.Wait()
			t.Logf("%d runs with %d cached steps and %d computed ones; %d collections freed %d records", b.runs.Load(),
				b.cached.Load(), b.computed.Load(), b.collections.Load(), b.freed.Load())
			if b.cached.Load() == 0 || b.computed.Load() == 0 || b.freed.Load() == 0 {
				t.Error("no step was cached, none was computed, or no record was freed")
			}
			out := collector.must("store", "check", "--deep")
			if !strings.Contains(out, " 0 damaged\n") {
				t.Errorf("the store is damaged:\n%s", out)
			}
		})
	}
}

type besideRunners struct {
	t                                          *testing.T
	until                                      time.Time
	runs, cached, computed, collections, freed atomic.Int64
}

// more reports whether to continue: until the planned time is over, and up to a minute longer if nothing was freed yet.
func (b *besideRunners) more() bool {
	extra := time.Duration(0)
	if b.freed.Load() == 0 {
		extra = time.Minute
	}
	return time.Now().Before(b.until.Add(extra))
}

var (
	runID     = regexp.MustCompile(`run (\S+),`)
	stepState = regexp.MustCompile(`(?m) toy +(cached|done) `)
)

// runner runs the chain again and again. Each run begins with one of a few files or numbers, or with the ref that this
// runner set last.
func (b *besideRunners) runner(w *workplace, id, variety int) {
	ref := fmt.Sprintf("ref:best-%d", id)
	for named := false; b.more() && !b.t.Failed(); b.runs.Add(1) {
		n := rand.N(variety)
		args := []string{"run", "chain.yaml"}
		switch kind := rand.N(4); {
		case kind == 0:
			args = append(args, "--input", fmt.Sprintf("one.data=%d.json", n))
		case kind == 1 && named:
			args = append(args, "--input", "one.data="+ref)
		default:
			args = append(args, "--set", fmt.Sprintf("one.salt=%d", n))
		}
		res := w.run(args...)
		found := runID.FindStringSubmatch(res.stderr)
		if res.code != 0 || found == nil || strings.Contains(res.stderr, "warning") {
			b.t.Errorf("pipeline %s: exit code %d, want 0, the ID of the run and no warning\n%s", strings.Join(args, " "),
				res.code, res.stderr)
			return
		}
		for _, state := range stepState.FindAllStringSubmatch(res.stderr, -1) {
			if state[1] == "cached" {
				b.cached.Add(1)
			} else {
				b.computed.Add(1)
			}
		}
		output := []string{"one.out", "two.log", "three.out"}[rand.N(3)]
		commands := [][]string{{"get", output, "copy", "--run", found[1]}}
		if rand.N(3) == 0 {
			commands, named = append(commands, []string{"put", "copy", "--ref", strings.TrimPrefix(ref, "ref:")}), true
		}
		before := res.stderr
		for _, args := range commands {
			if res := w.run(args...); res.code != 0 {
				b.t.Errorf("pipeline %s: exit code %d\n%safter\n%s", strings.Join(args, " "), res.code, res.stderr, before)
				return
			}
		}
	}
}

// collector collects garbage again and again.
func (b *besideRunners) collector(w *workplace, grace time.Duration) {
	for ; b.more() && !b.t.Failed(); b.collections.Add(1) {
		res := w.run("store", "gc", "--delete", "--keep-last=0", "--grace="+grace.String(), "--parts-within=0s", "--json")
		var report gcReport
		if err := json.Unmarshal([]byte(res.stdout), &report); res.code != 0 || err != nil {
			b.t.Errorf("a collection: exit code %d, want 0; report: %v\n%s%s", res.code, err, res.stdout, res.stderr)
		}
		b.freed.Add(int64(freedOf(report, "actions")))
	}
}
