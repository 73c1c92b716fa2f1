package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"vapo/lib/artifact"
	"vapo/lib/cachekey"
	"vapo/lib/contract"
	"vapo/lib/objectstore"
	"vapo/lib/objectstore/embedded"
)

var (
	scale = flag.Int("scale", 0, "time the commands in a store with this many actions and runs, and ten times as many "+
		"blobs (see make bench-store)")
	scaleDir   = flag.String("scale-dir", "", "work in this directory and keep it; it is filled only once")
	scaleRuns  = flag.Int("scale-runs", 20, "how often a command is timed; a cached run ten times as often")
	scaleStore = flag.Bool("scale-store", false, "use the store that VAPO_STORE names instead of the embedded one")
)

// TestScale times commands in a large store. It starts every command as a user would: in a process of its own, with the
// embedded gateway if there is no other store.
func TestScale(t *testing.T) {
	if *scale == 0 {
		return
	}
	w := newWorkplace(t)
	if *scaleDir != "" {
		w.dir = *scaleDir
	}
	if *scaleStore {
		w.env = os.Environ()
	}
	steps := func(name string, n int) string {
		text := "name: " + name + "\nsteps:\n  s0: {stage: toy}\n"
		for i := 1; i < n; i++ {
			text += fmt.Sprintf("  s%d: {stage: toy, inputs: {data: s%d.out}}\n", i, i-1)
		}
		w.write(name+".yaml", text)
		return name + ".yaml"
	}
	fifty, five := steps("fifty", 50), steps("five", 5)
	w.must("run", fifty)
	w.must("run", five)
	fill(t, w, *scale)

	fmt.Printf("%d actions, %d blobs, %d runs\n%-32s %9s %9s\n", *scale, 10**scale, *scale, "command", "median", "p95")
	for _, args := range [][]string{
		{"run", five}, {"plan", fifty}, {"plan", five, "--set", "s1.salt=3"}, {"ls"}, {"ls", "runs"}, {"ls", "actions"},
		{"ls", "refs"}, {"status"}, {"lineage", "s4.out"},
	} {
		w.must(args...) // fills the local caches
		times := make([]time.Duration, *scaleRuns)
		if args[0] == "run" {
			times = make([]time.Duration, 10**scaleRuns)
		}
		for i := range times {
			began := time.Now()
			w.must(args...)
			times[i] = time.Since(began)
		}
		slices.Sort(times)
		fmt.Printf("%-32s %6d ms %6d ms\n", strings.Join(args, " "), times[len(times)/2].Milliseconds(),
			times[len(times)*95/100].Milliseconds())
	}
	if *scaleDir != "" || *scaleStore {
		return // the next commands would empty a store that is kept
	}
	gc := []string{"store", "gc", "--keep-last=100", "--grace=0s"}
	for _, args := range [][]string{{"store", "du"}, gc, append(gc, "--delete")} {
		began := time.Now()
		cmd := w.command(args...)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%v: %v\n%s", args, err, out)
		}
		memory := "unknown"
		if usage, ok := cmd.ProcessState.SysUsage().(*syscall.Rusage); ok {
			memory = fmt.Sprint(usage.Maxrss>>10, " MiB") // on Linux, Maxrss is in KiB
		}
		fmt.Printf("%-50s %6d ms, peak memory %s\n", strings.Join(args, " "), time.Since(began).Milliseconds(), memory)
	}
}

// fill adds n actions with ten outputs each, their blobs, and n runs like the latest one, all a day older than it.
func fill(t *testing.T, w *workplace, n int) {
	cfg, err := objectstore.FromEnv(os.Getenv)
	if !*scaleStore {
		var gateway *embedded.Child
		var env embedded.Env
		if gateway, env, err = embedded.Start(t.Context(), w.dir, filepath.Join(binaries, "pipeline")); err != nil {
			t.Fatal(err)
		}
		defer gateway.Close()
		cfg, err = env.Config()
	}
	if err != nil {
		t.Fatal(err)
	}
	objects, err := objectstore.Open(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	store := artifact.New(objects)
	run, err := loadRun(t.Context(), store, "")
	if err != nil {
		t.Fatal(err)
	}
	document, err := store.Run(t.Context(), run.ID)
	if err != nil {
		t.Fatal(err)
	}
	put := func(ctx context.Context, key string, data []byte) error {
		_, err := objects.Put(ctx, key, bytes.NewReader(data), int64(len(data)), objectstore.PutOptions{})
		return err
	}
	full := func(ctx context.Context, i int) error {
		started := run.Started.Add(-24*time.Hour - time.Duration(i)*time.Second)
		id := fmt.Sprintf("%s000-%04x", started.Format("20060102-150405"), i&0xffff)
		key, record, blobs, err := syntheticAction(i)
		if err != nil {
			return err
		}
		if _, err := objects.Head(ctx, "actions/"+key+".json"); err == nil {
			return nil // the store was filled before
		}
		for hex, data := range blobs {
			if err := put(ctx, "blobs/sha256/"+hex[:2]+"/"+hex, data); err != nil {
				return err
			}
		}
		doc := bytes.ReplaceAll(document, []byte(run.ID), []byte(id))
		if err := put(ctx, "runs/"+id+".json", doc); err != nil {
			return err
		}
		return put(ctx, "actions/"+key+".json", record)
	}
	group, ctx := errgroup.WithContext(t.Context())
	group.SetLimit(8)
	for i := range n {
		group.Go(func() error { return full(ctx, i) })
	}
	if err := group.Wait(); err != nil {
		t.Fatal(err)
	}
}

// syntheticAction returns an action whose record is as large as that of a training.
func syntheticAction(i int) (key string, record []byte, blobs map[string][]byte, err error) {
	action := cachekey.Action{Contract: contract.Contract, Stage: "train", Version: 1, Backend: "tape",
		Params: map[string]any{"seed": int64(i)}, Inputs: map[string]string{}}
	for p := range 40 {
		action.Params[fmt.Sprintf("parameter-%d", p)] = int64(p)
	}
	if key, err = action.Key(); err != nil {
		return
	}
	preimage, err := action.Preimage()
	if err != nil {
		return
	}
	m := contract.Manifest{Contract: contract.Contract, Stage: "train", Version: 1, Params: action.Params,
		Inputs: action.Inputs, Outputs: map[string]contract.Output{}}
	outputs := map[string]artifact.Digest{}
	blobs = map[string][]byte{}
	for o := range 10 {
		data := fmt.Appendf(nil, "blob %d of action %d", o, i)
		sum := sha256.Sum256(data)
		digest, name := artifact.SumDigest(sum[:]), fmt.Sprintf("output-%d", o)
		blobs[digest.Hex()], outputs[name] = data, digest
		m.Outputs[name] = contract.Output{Digest: string(digest), Size: int64(len(data)), Media: contract.MediaJSON}
	}
	manifest, err := json.Marshal(m)
	if err != nil {
		return
	}
	record, err = json.MarshalIndent(artifact.Record{Key: key, Action: preimage, Manifest: manifest, Outputs: outputs,
		Created: time.Date(2026, 1, 1, 0, 0, i, 0, time.UTC)}, "", "  ")
	return
}
