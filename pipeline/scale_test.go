//go:build unix

package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path"
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
	"vapo/lib/objectstore/objectstoretest"
)

var (
	scale = flag.Int("scale", 0, "time the commands in a store with this many actions and runs, and ten times as many "+
		"blobs (see make bench-store)")
	scaleDir   = flag.String("scale-dir", "", "work in this directory and keep it; it is filled only once")
	scaleRuns  = flag.Int("scale-runs", 20, "how often a command is timed; a cached run ten times as often")
	scaleStore = flag.Bool("scale-store", false, "use a new, empty prefix in the store that VAPO_STORE names")
)

// TestScale times commands in large stores. It starts every command as a user would: in a process of its own, with the
// embedded gateway if there is no other store.
func TestScale(t *testing.T) {
	if *scale == 0 {
		return
	}
	if *scaleStore {
		t.Run("store", func(t *testing.T) {
			place := strings.TrimSuffix(os.Getenv("VAPO_STORE"), "/") + "/scale-" + strings.ToLower(rand.Text())
			commandsAtScale(t, append(os.Environ(), "VAPO_STORE="+place))
		})
		return
	}
	t.Run("embedded", func(t *testing.T) { commandsAtScale(t, nil) })
	if *scaleDir == "" {
		t.Run("minio", func(t *testing.T) { commandsAtScale(t, objectstoretest.MinIOEnv(t).Environ()) })
	}
}

// commandsAtScale times commands in the store that env names, or in the embedded one.
func commandsAtScale(t *testing.T, env []string) {
	w := newWorkplace(t)
	if *scaleDir != "" {
		w.dir = *scaleDir
	}
	w.env = append(w.env, env...)
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
	_, small := timed(t, w, "store", "du")
	fill(t, w, *scale)

	fmt.Printf("%s: %d actions, %d blobs, %d runs\n%-32s %9s %9s\n", path.Base(t.Name()), *scale, 10**scale, *scale,
		"command", "median", "p95")
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
			times[i], _ = timed(t, w, args...)
		}
		slices.Sort(times)
		fmt.Printf("%-32s %6d ms %6d ms\n", strings.Join(args, " "), times[len(times)/2].Milliseconds(),
			times[len(times)*95/100].Milliseconds())
	}
	gc := []string{"store", "gc", "--keep-last=100", "--grace=0s"}
	commands := [][]string{{"ls", "actions", "--json"}, {"store", "du"}, gc}
	if *scaleDir == "" {
		all := []string{"store", "gc", "--keep-last=0", "--grace=0s", "--delete"}
		commands = append(commands, append(gc, "--delete"), all)
	}
	for _, args := range commands {
		took, memory := timed(t, w, args...)
		fmt.Printf("%-50s %6d ms, %3d MiB, %2d MiB more than store du in a small store\n", strings.Join(args, " "),
			took.Milliseconds(), memory>>20, (memory-small)>>20)
		if most := small + memoryAtWork + memoryPerBlob*10*int64(*scale); memory > most {
			t.Errorf("%v needs %d MiB of memory, expected at most %d", args, memory>>20, most>>20)
		}
	}
}

// Bounds in bytes for the memory of a command in addition to its memory in a small store: a fixed part, and a part for
// each blob. For every ten blobs there are one action and one run. README.md documents the bounds.
const (
	memoryAtWork  = 24 << 20
	memoryPerBlob = 400
)

// timed runs a command and returns its time and its peak memory in bytes. If the command started the gateway, the
// memory is that of the larger of the two processes.
func timed(t *testing.T, w *workplace, args ...string) (took time.Duration, memory int64) {
	t.Helper()
	cmd := w.command(args...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	began := time.Now()
	if err := cmd.Run(); err != nil {
		t.Fatalf("%v: %v\n%s", args, err, &stderr)
	}
	took = time.Since(began)
	if usage, ok := cmd.ProcessState.SysUsage().(*syscall.Rusage); ok {
		memory = usage.Maxrss << 10 // on Linux, Maxrss is in KiB
	}
	return took, memory
}

// fill adds n actions with ten outputs each, the blobs of these outputs, and n copies of the latest run. The copies are
// at least a day older.
func fill(t *testing.T, w *workplace, n int) {
	vars := map[string]string{}
	for _, kv := range w.env {
		name, value, _ := strings.Cut(kv, "=")
		vars[name] = value
	}
	cfg, err := objectstore.FromEnv(func(name string) string { return vars[name] })
	if vars["VAPO_STORE"] == "" {
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
