package artifact

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"iter"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"vapo/lib/objectstore"
)

// Contents holds what the records, refs, leases and series entries in a store say, above all which actions made which
// blobs, and from which other blobs. All times come from the store's clock.
//
// A store may contain millions of blobs. Therefore Contents refers to actions and blobs by a number instead of their
// digest. It needs about 70 bytes for each blob that a record, a run or a ref mentions, and nothing for the others.
type Contents struct {
	Now     time.Time // when Contents began to read the store
	Refs    map[string]Digest
	Runs    map[string]time.Time // when each run was saved, by ID
	Working map[string]bool      // IDs of the runs that hold a lease

	mu      sync.Mutex // guards everything while documents are read
	actions []action
	byKey   map[sum]uint32     // numbers of actions
	blobs   map[sum]uint32     // numbers of blobs
	makers  []uint32           // of each blob: the earliest action that made it, or none
	series  map[string]uint32  // for the key of each series entry: the action that the entry names, or none
	stages  map[string]string  // one copy of each stage name, which all actions share
	tombs   []objectstore.Info // tombstones, and records that were deleted after they were listed
}

const none = ^uint32(0)

// action holds the contents of an action's record, and properties of the stored object that contains the record.
type action struct {
	key             sum
	stage           string
	created         int64    // in nanoseconds since 1970
	inputs, outputs []uint32 // numbers of blobs
	etag            string
	size, modified  int64 // of the object: bytes, and nanoseconds since 1970
}

// Contents reads every record, ref, lease and series entry. It writes a temporary object to read the store's clock. It
// fails with ErrCorrupt if a record or a ref is damaged.
func (s *Store) Contents(ctx context.Context) (*Contents, error) {
	c := &Contents{
		Refs: map[string]Digest{}, Runs: map[string]time.Time{}, Working: map[string]bool{}, byKey: map[sum]uint32{},
		blobs: map[sum]uint32{}, series: map[string]uint32{}, stages: map[string]string{},
	}
	var err error
	if c.Now, err = s.clock(ctx); err != nil {
		return nil, err
	}
	for _, kind := range []struct {
		prefix string
		read   func(context.Context, *Store, objectstore.Info) error
	}{
		{"actions/", c.readRecord}, {"refs/", c.readRef}, {"runs/", c.addRun}, {"live/", c.readLease},
		{"series/", c.readSeries},
	} {
		err := s.each(ctx, s.objects.List(ctx, kind.prefix), func(ctx context.Context, info objectstore.Info) error {
			if err := kind.read(ctx, s, info); !errors.Is(err, ErrNotFound) {
				return err
			}
			return nil // deleted after it was listed
		})
		if err != nil {
			return nil, err
		}
	}
	for i, a := range c.actions {
		for _, b := range a.outputs {
			if first := c.makers[b]; first == none || a.earlier(&c.actions[first]) {
				c.makers[b] = uint32(i)
			}
		}
	}
	return c, nil
}

func (a *action) earlier(b *action) bool {
	return a.created < b.created || a.created == b.created && bytes.Compare(a.key[:], b.key[:]) < 0
}

// each calls f for every object of a listing, for several objects at once.
func (s *Store) each(
	ctx context.Context, objects iter.Seq2[objectstore.Info, error], f func(context.Context, objectstore.Info) error,
) error {
	group, reading := errgroup.WithContext(ctx)
	group.SetLimit(readers)
	for info, err := range objects {
		if err != nil || reading.Err() != nil {
			return errors.Join(err, group.Wait())
		}
		group.Go(func() error { return f(reading, info) })
	}
	return group.Wait()
}

// clock returns the time by the store's clock.
func (s *Store) clock(ctx context.Context) (time.Time, error) {
	key := "probe/clock-" + strings.ToLower(rand.Text())
	if err := s.put(ctx, key, nil, objectstore.PutOptions{}); err != nil {
		return time.Time{}, err
	}
	info, err := s.objects.Head(ctx, key)
	return info.ModTime, errors.Join(err, s.objects.Delete(ctx, key))
}

func (c *Contents) readRecord(ctx context.Context, s *Store, info objectstore.Info) error {
	key, ok := actionOfKey(info.Key)
	if !ok {
		return nil
	}
	id, _ := sumOf(key)
	rec, err := s.Record(ctx, key)
	if errors.Is(err, ErrNotFound) {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.tombs = append(c.tombs, info) // a tombstone, or a record that was deleted after it was listed
		return nil
	}
	if err != nil {
		return err
	}
	var made struct {
		Stage  string
		Inputs map[string]Digest
	}
	if err := json.Unmarshal(rec.Action, &made); err != nil { // Record has checked it
		return err
	}
	a := action{
		key: id, created: rec.Created.UnixNano(), etag: rec.info.ETag, size: rec.info.Size,
		modified: rec.info.ModTime.UnixNano(), inputs: make([]uint32, 0, len(made.Inputs)),
		outputs: make([]uint32, 0, len(rec.Outputs)),
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, ok := c.stages[made.Stage]; !ok {
		c.stages[made.Stage] = made.Stage
	}
	a.stage = c.stages[made.Stage]
	for _, d := range made.Inputs {
		a.inputs = c.number(a.inputs, d)
	}
	for _, d := range rec.Outputs {
		a.outputs = c.number(a.outputs, d)
	}
	c.byKey[id] = uint32(len(c.actions))
	c.actions = append(c.actions, a)
	return nil
}

// number appends the number of the blob with digest d to a list. It gives a new blob the next number.
func (c *Contents) number(to []uint32, d Digest) []uint32 {
	id, ok := sumOf(d.Hex())
	if !ok {
		return to // not a digest, so no blob
	}
	n, ok := c.blobs[id]
	if !ok {
		n = uint32(len(c.makers))
		c.blobs[id] = n
		c.makers = append(c.makers, none)
	}
	return append(to, n)
}

func (c *Contents) readRef(ctx context.Context, s *Store, info objectstore.Info) error {
	name, ok := refOfKey(info.Key)
	if !ok {
		return nil
	}
	d, err := s.Ref(ctx, name)
	if err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.Refs[name] = d
	return nil
}

func (c *Contents) addRun(_ context.Context, _ *Store, info objectstore.Info) error {
	if id, ok := runOfKey(info.Key); ok {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.Runs[id] = info.ModTime
	}
	return nil
}

func (c *Contents) readLease(ctx context.Context, s *Store, info objectstore.Info) error {
	if !strings.HasSuffix(info.Key, "/lease") || c.Now.Sub(info.ModTime) >= GracePeriod {
		return nil
	}
	h, _, err := s.holder(ctx, info.Key)
	if err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.Working[h.Run] = true
	return nil
}

func (c *Contents) readSeries(ctx context.Context, s *Store, info objectstore.Info) error {
	data, _, err := s.readDocument(ctx, info.Key)
	if err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.series[info.Key] = c.action(string(bytes.TrimSuffix(data, []byte("\n"))))
	return nil
}

// action returns the number of an action, or none if there is no record of it.
func (c *Contents) action(key string) uint32 {
	if id, ok := sumOf(key); ok {
		if n, ok := c.byKey[id]; ok {
			return n
		}
	}
	return none
}
