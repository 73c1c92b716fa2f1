package artifact

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"
	"time"

	"vapo/lib/failure"
	"vapo/lib/objectstore"
)

// asidePrefix is where Check moves damaged objects. No program reads them there, but a person can.
const asidePrefix = "damaged/"

// Finding is one damaged or unknown object.
type Finding struct {
	Key    string // the object's key
	Reason string
	Stray  bool     // the key does not have the form of this package's keys
	Users  []string // the refs and outputs that use a damaged blob: "ref NAME", "output NAME of action KEY"
	Aside  string   // the key the object was moved to, or "" if it was left in place
	Remedy string   // how to get the object back
}

// Summary counts what a check has read.
type Summary struct {
	Documents, Blobs int   // documents are records, refs and run documents
	Bytes            int64 // total size of the blobs
	Damaged          int
}

// Check reads every document and every blob and calls found for each damaged or unknown object. An object counts as
// damaged only if a second read also finds damage. With repair, Check moves damaged objects to damaged/. An action
// whose record or output was moved becomes a cache miss, so the next run executes it again. Check deletes only objects
// that it has copied.
func (s *Store) Check(ctx context.Context, repair bool, found func(Finding)) (Summary, error) {
	c := &check{s: s, repair: repair, found: found}
	for _, kind := range []struct {
		prefix, remedy string
		sound          func(ctx context.Context, key string) error
	}{
		{"actions/", "the next run that needs this action recreates it", c.record},
		{"refs/", "set the ref again: pipeline put FILE --ref NAME", c.ref},
		{"runs/", "only this entry of the history is lost", c.run},
		{"blobs/", "", c.blob},
	} {
		for info, err := range s.objects.List(ctx, kind.prefix) {
			if err != nil {
				return c.sum, err
			}
			if err := c.object(ctx, info, kind.remedy, kind.sound); err != nil {
				return c.sum, err
			}
		}
	}
	return c.sum, nil
}

type check struct {
	s      *Store
	repair bool
	found  func(Finding)
	sum    Summary
	users  map[Digest][]string // the users of every blob; nil until the first damaged blob
}

// errStray means that a key does not have the form of this package's keys.
var errStray = errors.New("unknown key")

// object checks an object. It reports damage only if a second read also finds it.
func (c *check) object(
	ctx context.Context, info objectstore.Info, remedy string, sound func(context.Context, string) error,
) error {
	err := sound(ctx, info.Key)
	if errors.Is(err, errStray) {
		c.found(Finding{Key: info.Key, Stray: true, Reason: "this program stores no object under such a key"})
		return nil
	}
	if strings.HasPrefix(info.Key, "blobs/") {
		c.sum.Blobs++
		c.sum.Bytes += info.Size
	} else {
		c.sum.Documents++
	}
	if err == nil || errors.Is(err, ErrNotFound) { // ErrNotFound: the object was deleted after it was listed
		return nil
	}
	if errors.Is(err, ErrCorrupt) {
		err = sound(ctx, info.Key)
	}
	var corrupt *CorruptError
	switch {
	case err == nil, errors.Is(err, ErrNotFound):
		return nil
	case !errors.As(err, &corrupt):
		return err
	}
	c.sum.Damaged++
	f := Finding{Key: info.Key, Reason: corrupt.Reason, Remedy: remedy}
	if d, err := digestOfKey(info.Key); err == nil {
		if f.Users, err = c.usersOf(ctx, d); err != nil {
			return err
		}
		f.Remedy = "import the file again"
		if slices.ContainsFunc(f.Users, func(user string) bool { return strings.HasPrefix(user, "output ") }) {
			f.Remedy = "the next run of that action recreates it"
		}
	}
	if c.repair {
		if f.Aside, err = c.s.moveAside(ctx, info); err != nil {
			return err
		}
	}
	c.found(f)
	return nil
}

func (c *check) record(ctx context.Context, key string) error {
	action, ok := actionOfKey(key)
	if !ok {
		return errStray
	}
	_, err := c.s.Record(ctx, action)
	return err
}

func (c *check) ref(ctx context.Context, key string) error {
	name, ok := refOfKey(key)
	if !ok {
		return errStray
	}
	_, err := c.s.Ref(ctx, name)
	return err
}

func (c *check) run(ctx context.Context, key string) error {
	id, ok := runOfKey(key)
	if !ok {
		return errStray
	}
	_, err := c.s.Run(ctx, id)
	return err
}

func (c *check) blob(ctx context.Context, key string) error {
	d, err := digestOfKey(key)
	if err != nil {
		return errStray
	}
	return c.s.Verify(ctx, d)
}

// digestOfKey is the inverse of blobKey.
func digestOfKey(key string) (Digest, error) {
	d, err := ParseDigest(digestPrefix + path.Base(key))
	if err != nil {
		return "", err
	}
	if want, _ := blobKey(d); want != key {
		return "", fmt.Errorf("%s is not the key of blob %s", key, d)
	}
	return d, nil
}

// usersOf lists the refs and action outputs that use a blob. The first call reads all refs and records; later calls
// reuse the result.
func (c *check) usersOf(ctx context.Context, d Digest) ([]string, error) {
	if c.users != nil {
		return c.users[d], nil
	}
	users := map[Digest][]string{}
	for ref, err := range c.s.Refs(ctx) {
		if err != nil && !errors.Is(err, ErrCorrupt) {
			return nil, err
		}
		users[ref.Digest] = append(users[ref.Digest], "ref "+ref.Name)
	}
	made := map[string]Made{}
	if _, err := c.s.Index(ctx, "", made, func(error) {}); err != nil { // c.record has reported damaged records
		return nil, err
	}
	for _, key := range slices.Sorted(maps.Keys(made)) {
		for name, digest := range made[key].Outputs {
			users[digest] = append(users[digest], "output "+name+" of action "+key)
		}
	}
	c.users = users
	return users[d], nil
}

// moveAside copies an object to damaged/ and deletes the original, unless the object was replaced after info was read.
func (s *Store) moveAside(ctx context.Context, info objectstore.Info) (string, error) {
	body, now, err := s.objects.Get(ctx, info.Key)
	if errors.Is(err, ErrNotFound) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	defer body.Close()
	if now.ETag != info.ETag || now.Size != info.Size {
		return "", nil
	}
	aside := asidePrefix + info.Key
	if _, err := s.objects.Put(ctx, aside, body, -1, objectstore.PutOptions{}); err != nil {
		return "", failure.Default(failure.Store, "", fmt.Errorf("moving %s aside: %w", info.Key, err))
	}
	changed, err := s.objects.DeleteUnchanged(ctx, []objectstore.Info{now}, time.Time{})
	if err != nil || len(changed) > 0 {
		return "", err // another writer has replaced the object; the copy stays and is harmless
	}
	return aside, nil
}
