package artifact_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"vapo/lib/artifact"
	"vapo/lib/cachekey"
	"vapo/lib/contract"
	"vapo/lib/failure"
	"vapo/lib/objectstore"
	"vapo/lib/objectstore/objectstoretest"
)

// action returns the record of an action with inputs.
func action(t testing.TB, n int, inputs map[string]string, outputs map[string]artifact.Digest) artifact.Record {
	t.Helper()
	a := cachekey.Action{Contract: 1, Stage: "s", Version: 1, Params: map[string]any{"n": n}, Inputs: inputs}
	rec := record(t, "s", outputs)
	var err error
	if rec.Key, err = a.Key(); err != nil {
		t.Fatal(err)
	}
	if rec.Action, err = a.Preimage(); err != nil {
		t.Fatal(err)
	}
	return rec
}

// model is a random store and the set of objects that a collection must keep. The set is computed without the code
// under test.
type model struct {
	t       *testing.T
	s       *artifact.Store
	n       int
	blobs   []artifact.Digest
	records []artifact.Record
	keep    map[string]bool // keys of the objects that a collection must keep
	keys    []string        // keys of all old objects
	young   time.Time       // objects written at this time or later are young
}

func (m *model) blob() artifact.Digest {
	m.n++
	d := put(m.t, m.s, fmt.Sprint("content ", m.n))
	m.blobs = append(m.blobs, d)
	m.keys = append(m.keys, blobKey(d))
	return d
}

func (m *model) act() artifact.Record {
	inputs, outputs := map[string]string{}, map[string]artifact.Digest{}
	for i := range rand.N(3) {
		if len(m.blobs) > 0 {
			inputs[fmt.Sprint(i)] = string(m.blobs[rand.N(len(m.blobs))])
		}
	}
	for i := range 1 + rand.N(2) {
		outputs[fmt.Sprint(i)] = m.blob()
	}
	rec := action(m.t, m.n, inputs, outputs)
	if _, _, err := m.s.Publish(m.t.Context(), rec); err != nil {
		m.t.Fatal(err)
	}
	m.records = append(m.records, rec)
	m.keys = append(m.keys, "actions/"+rec.Key+".json")
	return rec
}

func (m *model) put(key, content string) {
	_, err := m.s.Objects().Put(m.t.Context(), key, strings.NewReader(content), -1, objectstore.PutOptions{})
	if err != nil {
		m.t.Fatal(err)
	}
	m.keys = append(m.keys, key)
}

// reach marks a blob and everything that it was made from as kept.
func (m *model) reach(d artifact.Digest) {
	m.keep[blobKey(d)] = true
	for _, rec := range m.records {
		for _, out := range rec.Outputs {
			if out == d {
				m.reachRecord(rec)
			}
		}
	}
}

func (m *model) reachRecord(rec artifact.Record) {
	m.keep["actions/"+rec.Key+".json"] = true
	for _, d := range rec.Outputs {
		m.keep[blobKey(d)] = true
	}
	a, err := cachekey.Parse(rec.Action)
	if err != nil {
		m.t.Fatal(err)
	}
	for _, d := range a.Inputs {
		m.reach(artifact.Digest(d))
	}
}

// newModel fills a store with old objects, and then adds young ones and uses old ones. It also returns the collection
// that the test runs.
func newModel(t *testing.T, s *artifact.Store) (*model, func(*artifact.Contents) artifact.Collection) {
	m := &model{t: t, s: s, keep: map[string]bool{}}
	for range 5 {
		m.blob()
	}
	for range 40 {
		m.act()
	}
	pick := func() artifact.Record { return m.records[rand.N(40)] }
	named, kept, dropped, renewed, retained := m.blobs[rand.N(len(m.blobs))], pick(), pick(), pick(), m.blobs[0]
	if err := s.SetRef(t.Context(), "best", named); err != nil {
		t.Fatal(err)
	}
	m.keep["refs/best.ref"], m.keep["runs/kept.json"] = true, true
	m.put("runs/kept.json", "{}")
	m.put("runs/dropped.json", "{}")
	for i, rec := range []artifact.Record{kept, m.records[39]} {
		series := strings.Repeat(fmt.Sprint(i), 64)
		if err := s.AddToSeries(t.Context(), series, 5, rec.Key); err != nil {
			t.Fatal(err)
		}
		m.keys = append(m.keys, fmt.Sprintf("series/%s/%019d", series, 5))
	}
	idle, busy := "live/"+strings.Repeat("a", 64), "live/"+strings.Repeat("b", 64)
	m.put(idle+"/state/step", "state")
	m.put(idle+"/lease", "{}")
	m.put(busy+"/state/step", "state")
	m.put("parts/aa/"+strings.Repeat("a", 64), "part")
	m.put("damaged/blobs/x", "damaged")
	m.put("probe/left", "")
	for _, kind := range []string{"actions/", "runs/", "refs/", "blobs/sha256/ab/", "series/x/"} {
		m.put(kind+".name.sgwtmp.1764211", "x") // what a killed gateway leaves
	}
	m.put("actions/"+strings.Repeat("c", 64)+".json", "{\"deleted\": true}\n") // what a killed collection leaves
	m.put("other/program", "x")
	m.keep["other/program"], m.keep[busy+"/state/step"] = true, true
	time.Sleep(5 * time.Second)
	old := m.keys
	m.young = time.Now()
	m.put(busy+"/lease", "{}")
	m.put("parts/bb/"+strings.Repeat("b", 64), "part")
	m.blob()
	young := m.act()
	m.keys = old
	got, err := s.Record(t.Context(), renewed.Key)
	if err != nil {
		t.Fatal(err)
	}
	if ok, err := s.Renew(t.Context(), got); !ok || err != nil {
		t.Fatalf("Renew returns %v, %v, want true", ok, err)
	}
	if err := s.Retain(t.Context(), retained); err != nil {
		t.Fatal(err)
	}
	m.reach(named)
	m.reachRecord(kept)
	m.reachRecord(renewed)
	m.reachRecord(young)
	m.keep[blobKey(retained)] = true
	m.keep["series/"+strings.Repeat("0", 64)+"/0000000000000000005"] = true
	m.keep["series/"+strings.Repeat("1", 64)+"/0000000000000000005"] = m.keep["actions/"+m.records[39].Key+".json"]
	return m, func(c *artifact.Contents) artifact.Collection {
		keep, drop := c.Roots([]string{kept.Key}, nil), c.Roots([]string{dropped.Key}, nil)
		age := time.Since(m.young) + 2*time.Second
		return artifact.Collection{
			Keep: []artifact.Roots{keep}, Drop: map[string]artifact.Roots{"dropped": drop}, Grace: age, Parts: age,
			Delete: true,
		}
	}
}

// check checks that everything that must be kept is there. If final is true, no other old object may be left.
func (m *model) check(final bool) {
	m.t.Helper()
	here := map[string]bool{}
	for info, err := range m.s.Objects().List(m.t.Context(), "") {
		if err != nil {
			m.t.Fatal(err)
		}
		here[info.Key] = true
	}
	for _, key := range m.keys {
		if m.keep[key] && !here[key] {
			m.t.Errorf("%s was deleted", key)
		}
		if final && here[key] && !m.keep[key] {
			m.t.Errorf("%s was not deleted", key)
		}
	}
	for _, d := range m.blobs {
		if here[blobKey(d)] {
			if err := m.s.Verify(m.t.Context(), d); err != nil {
				m.t.Error(err)
			}
		}
	}
	made, damaged := index(m.t, m.s)
	if damaged != 0 {
		m.t.Errorf("%d records are damaged", damaged)
	}
	for key := range made {
		if rec, err := m.s.Record(m.t.Context(), key); err != nil {
			m.t.Error(err)
		} else if text := missing(m.t, m.s, *rec); text != "" {
			m.t.Errorf("the record %s is there, but %s", key, text)
		}
	}
}

func collect(
	ctx context.Context, s *artifact.Store, what func(*artifact.Contents) artifact.Collection,
) (map[string]artifact.Usage, error) {
	c, err := s.Contents(ctx)
	if err != nil {
		return nil, err
	}
	return s.Collect(ctx, c, what(c))
}

func eachServer(t *testing.T, test func(*testing.T, *artifact.Store)) {
	t.Cleanup(artifact.SetRenewAge(time.Second))
	t.Run("embedded", func(t *testing.T) {
		t.Parallel()
		test(t, open(t))
	})
	t.Run("minio", func(t *testing.T) {
		t.Parallel()
		test(t, artifact.New(objectstoretest.MinIO(t)))
	})
}

// TestCollect: objects that are reachable, young or in use stay intact; everything else is deleted. A dry run counts
// the same objects and deletes nothing.
func TestCollect(t *testing.T) {
	eachServer(t, func(t *testing.T, s *artifact.Store) {
		m, what := newModel(t, s)
		dry, err := collect(t.Context(), s, func(c *artifact.Contents) artifact.Collection {
			w := what(c)
			w.Delete = false
			return w
		})
		if err != nil {
			t.Fatal(err)
		}
		for _, key := range m.keys {
			if _, err := s.Objects().Head(t.Context(), key); err != nil {
				t.Errorf("the dry run deleted an object: %v", err)
			}
		}
		freed, err := collect(t.Context(), s, what)
		if err != nil {
			t.Fatal(err)
		}
		m.check(true)
		if fmt.Sprint(dry) != fmt.Sprint(freed) {
			t.Errorf("the dry run counted %v, and then %v were freed", dry, freed)
		}
		if again, err := collect(t.Context(), s, what); err != nil || len(again) > 0 {
			t.Errorf("a second collection freed %v, error %v, want nothing", again, err)
		}
	})
}

// killer cancels a context at one of the requests that a collection makes.
type killer struct {
	objectstore.Store
	left atomic.Int64
	kill func()
}

func (k *killer) tick() {
	if k.left.Add(-1) == 0 {
		k.kill()
	}
}

func (k *killer) Head(ctx context.Context, key string) (objectstore.Info, error) {
	k.tick()
	return k.Store.Head(ctx, key)
}

func (k *killer) DeleteUnchanged(
	ctx context.Context, objects []objectstore.Info, looked time.Time,
) ([]objectstore.Info, error) {
	k.tick()
	return k.Store.DeleteUnchanged(ctx, objects, looked)
}

func (k *killer) Put(
	ctx context.Context, key string, r io.Reader, n int64, opt objectstore.PutOptions,
) (objectstore.Info, error) {
	k.tick()
	return k.Store.Put(ctx, key, r, n, opt)
}

// TestCollectKilled: a collection that is killed at any request leaves a consistent store, and the next collection
// finishes the work. Two collections may run at once.
func TestCollectKilled(t *testing.T) {
	eachServer(t, func(t *testing.T, s *artifact.Store) {
		m, what := newModel(t, s)
		for range 12 {
			ctx, cancel := context.WithCancel(t.Context())
			k := &killer{Store: s.Objects(), kill: cancel}
			k.left.Store(1 + rand.Int64N(25))
			_, err := collect(ctx, artifact.New(k), what)
			if err != nil && !errors.Is(err, context.Canceled) {
				t.Fatal(err)
			}
			cancel()
			m.check(false)
		}
		var both sync.WaitGroup
		for range 2 {
			both.Go(func() {
				if _, err := collect(t.Context(), s, what); err != nil {
					t.Error(err)
				}
			})
		}
		both.Wait()
		if _, err := collect(t.Context(), s, what); err != nil {
			t.Fatal(err)
		}
		m.check(true)
	})
}

// TestCollectBesideRunners: objects that a runner has just published, or has found and renewed, stay for as long as the
// runner may rely on them, although collections delete all older objects.
//
// A runner may take two seconds to store an output and publish its record: the grace period minus the age from which it
// renews objects. On a busy machine it may take longer, for example while it waits for a collection to end. Then it, or
// another runner that finds the record, may lose the output. The test counts such losses but does not fail.
func TestCollectBesideRunners(t *testing.T) {
	eachServer(t, func(t *testing.T, s *artifact.Store) {
		ctx, stop := context.WithTimeout(t.Context(), time.Duration(objectstoretest.Soak(t, 10))*time.Second)
		defer stop()
		var runners, collector sync.WaitGroup
		var hits, misses, raced, freed, excused atomic.Int64
		var making [200]atomic.Int64 // how many runners make each output
		var late [200]atomic.Int64   // when a runner that makes this output was last too slow, in nanoseconds since 1970
		use := func(n int) error {
			ctx := t.Context()
			content := fmt.Sprint("output of ", n)
			began := time.Now()
			d := artifact.Digest("")
			rec := action(t, n, nil, nil)
			found, err := s.Record(ctx, rec.Key)
			if err == nil {
				m, _ := contract.DecodeManifest(found.Manifest)
				text, err := s.Missing(ctx, m)
				if err != nil {
					return err
				}
				if ok, err := s.Renew(ctx, found); err != nil {
					return err
				} else if !ok {
					raced.Add(1)
				} else if text == "" {
					hits.Add(1)
					d = found.Outputs["x"]
				}
			} else if !errors.Is(err, artifact.ErrNotFound) {
				return err
			}
			if d == "" {
				misses.Add(1)
				began = time.Now()
				making[n].Add(1)
				d = put(t, s, content)
				_, _, err := s.Publish(ctx, action(t, n, nil, map[string]artifact.Digest{"x": d}))
				isLate := time.Since(began) > time.Second // not two: the store's clock shows whole seconds
				if isLate {
					late[n].Store(time.Now().UnixNano())
				}
				making[n].Add(-1)
				if isLate && failure.ClassOf(err) == failure.Integrity { // Publish found that the output is lost
					excused.Add(1)
					return nil
				}
				if err != nil {
					return err
				}
			}
			time.Sleep(rand.N(time.Second / 2))
			if got, err := read(t, s, d); time.Since(began) < time.Second && (err != nil || got != content) {
				for making[n].Load() > 0 {
					time.Sleep(10 * time.Millisecond)
				}
				if since := time.Since(time.Unix(0, late[n].Load())); since > 10*time.Second {
					return fmt.Errorf("output of %d is lost, %v after a runner was late: %w", n, since, err)
				}
				excused.Add(1)
			}
			return nil
		}
		for range 16 {
			runners.Go(func() {
				for ctx.Err() == nil {
					if err := use(rand.N(200)); err != nil {
						t.Error(err)
						return
					}
				}
			})
		}
		collector.Go(func() {
			for ctx.Err() == nil {
				counts, err := collect(t.Context(), s, func(*artifact.Contents) artifact.Collection {
					return artifact.Collection{Grace: 3 * time.Second, Delete: true}
				})
				if err != nil {
					t.Error(err)
					return
				}
				freed.Add(int64(counts["actions"].Objects))
			}
		})
		runners.Wait()
		collector.Wait()
		t.Logf("%d hits, %d misses, %d changed before Renew, %d collected, %d lost because a runner was late", hits.Load(),
			misses.Load(), raced.Load(), freed.Load(), excused.Load())
		if hits.Load() == 0 || freed.Load() == 0 {
			t.Error("no runner found a result, or no collection deleted an object")
		}
	})
}
