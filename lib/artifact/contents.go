package artifact

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"vapo/lib/cachekey"
	"vapo/lib/objectstore"
)

// Contents is what a store contained when it was listed. Sizes are in bytes and times by the store's clock.
type Contents struct {
	Now     time.Time // before the listing
	Blobs   map[Digest]objectstore.Info
	Actions map[string]*Recorded        // by key
	Refs    map[string]Digest           // by name
	Runs    map[string]objectstore.Info // by ID
	Working map[string]bool             // IDs of the runs that hold a lease
	Live    map[string][]objectstore.Info
	Series  []objectstore.Info
	Parts   []objectstore.Info
	Damaged []objectstore.Info
	Probes  []objectstore.Info
	Usage   map[string]Usage // by the first element of the key, such as "blobs"

	makers map[Digest]string // the earliest action that made a blob
	tombs  []objectstore.Info
	series map[string]string // the action that each object in Series names
}

// Usage counts objects and their bytes.
type Usage struct {
	Objects int
	Bytes   int64
}

func (u Usage) add(size int64) Usage { return Usage{u.Objects + 1, u.Bytes + size} }

// Recorded is what the record of an action says.
type Recorded struct {
	Stage           string
	Created         time.Time
	Inputs, Outputs []Digest
	Object          objectstore.Info
}

// Contents lists the whole store and reads every record, ref, lease and series entry, but no blob. It writes a probe to
// read the store's clock. It fails with ErrCorrupt if one of these documents is damaged.
func (s *Store) Contents(ctx context.Context) (*Contents, error) {
	c := &Contents{
		Blobs: map[Digest]objectstore.Info{}, Actions: map[string]*Recorded{}, Refs: map[string]Digest{},
		Runs: map[string]objectstore.Info{}, Working: map[string]bool{}, Live: map[string][]objectstore.Info{},
		makers: map[Digest]string{}, series: map[string]string{}, Usage: map[string]Usage{},
	}
	var err error
	if c.Now, err = s.clock(ctx); err != nil {
		return nil, err
	}
	var read []func(context.Context) error
	var mu sync.Mutex // guards c while documents are read
	for info, err := range s.objects.List(ctx, "") {
		if err != nil {
			return nil, err
		}
		if f := c.add(s, &mu, info); f != nil {
			read = append(read, f)
		}
	}
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(readers)
	for _, f := range read {
		group.Go(func() error {
			if err := f(ctx); !errors.Is(err, ErrNotFound) {
				return err
			}
			return nil // deleted after it was listed
		})
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	for key, a := range c.Actions {
		for _, d := range a.Outputs {
			first, ok := c.makers[d]
			if !ok || a.Created.Before(c.Actions[first].Created) || a.Created.Equal(c.Actions[first].Created) && key < first {
				c.makers[d] = key
			}
		}
	}
	return c, nil
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

// add enters an object in c. If the object also has to be read, add returns a function that reads it. That function
// locks mu while it changes c.
func (c *Contents) add(s *Store, mu *sync.Mutex, info objectstore.Info) func(context.Context) error {
	prefix, rest, _ := strings.Cut(info.Key, "/")
	c.Usage[prefix] = c.Usage[prefix].add(info.Size)
	switch prefix + "/" {
	case "blobs/":
		if d, err := digestOfKey(info.Key); err == nil {
			c.Blobs[d] = info
		}
	case "actions/":
		if key, ok := strings.CutSuffix(rest, ".json"); ok && cachekey.ValidKey(key) {
			return func(ctx context.Context) error { return c.readRecord(ctx, s, mu, key, info) }
		}
	case "refs/":
		if name, ok := strings.CutSuffix(rest, refSuffix); ok && CheckRef(name) == nil {
			return func(ctx context.Context) error {
				d, err := s.Ref(ctx, name)
				if err != nil {
					return err
				}
				mu.Lock()
				defer mu.Unlock()
				c.Refs[name] = d
				return nil
			}
		}
	case "runs/":
		if id, ok := strings.CutSuffix(rest, ".json"); ok {
			c.Runs[id] = info
		}
	case "live/":
		key, what, _ := strings.Cut(rest, "/")
		c.Live[key] = append(c.Live[key], info)
		if what == "lease" {
			return func(ctx context.Context) error {
				h, _, err := s.holder(ctx, info.Key)
				mu.Lock()
				defer mu.Unlock()
				if err == nil && c.Now.Sub(info.ModTime) < GracePeriod {
					c.Working[h.Run] = true
				}
				return err
			}
		}
	case "series/":
		return func(ctx context.Context) error {
			data, _, err := s.readDocument(ctx, info.Key)
			mu.Lock()
			defer mu.Unlock()
			if err == nil {
				c.Series = append(c.Series, info)
				c.series[info.Key] = string(bytes.TrimSuffix(data, []byte("\n")))
			}
			return err
		}
	case "parts/":
		c.Parts = append(c.Parts, info)
	case asidePrefix:
		c.Damaged = append(c.Damaged, info)
	case "probe/":
		c.Probes = append(c.Probes, info)
	}
	return nil
}

func (c *Contents) readRecord(
	ctx context.Context, s *Store, mu *sync.Mutex, key string, info objectstore.Info,
) error {
	rec, err := s.Record(ctx, key)
	if errors.Is(err, ErrNotFound) {
		mu.Lock()
		defer mu.Unlock()
		c.tombs = append(c.tombs, info) // or the record was deleted after it was listed
		return nil
	}
	if err != nil {
		return err
	}
	var action struct {
		Stage  string
		Inputs map[string]Digest
	}
	if err := json.Unmarshal(rec.Action, &action); err != nil { // Record has checked it
		return err
	}
	a := &Recorded{Stage: action.Stage, Created: rec.Created, Object: rec.info}
	a.Object.Key = info.Key
	for _, d := range action.Inputs {
		a.Inputs = append(a.Inputs, d)
	}
	for _, d := range rec.Outputs {
		a.Outputs = append(a.Outputs, d)
	}
	mu.Lock()
	defer mu.Unlock()
	c.Actions[key] = a
	return nil
}

// Set is a set of actions, by key, and blobs.
type Set struct {
	Actions map[string]bool
	Blobs   map[Digest]bool
}

// NewSet returns an empty set.
func NewSet() *Set { return &Set{map[string]bool{}, map[Digest]bool{}} }

// AddAction adds an action with its outputs, its inputs, the actions that made them, and so on back to imports.
func (c *Contents) AddAction(to *Set, key string) {
	a := c.Actions[key]
	if a == nil || to.Actions[key] {
		return
	}
	to.Actions[key] = true
	for _, d := range a.Outputs {
		to.Blobs[d] = true
	}
	for _, d := range a.Inputs {
		c.AddBlob(to, d)
	}
}

// AddBlob adds a blob and the earliest action that made it. It does nothing if the set already has the blob.
func (c *Contents) AddBlob(to *Set, d Digest) {
	if !to.Blobs[d] {
		to.Blobs[d] = true
		c.AddAction(to, c.makers[d])
	}
}
