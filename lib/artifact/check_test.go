package artifact_test

import (
	"context"
	"errors"
	"io"
	"os"
	"strings"
	"testing"

	"vapo/lib/artifact"
	"vapo/lib/failure"
	"vapo/lib/objectstore"
)

// findings runs a check and returns its findings by key, and its summary.
func findings(t *testing.T, s *artifact.Store, repair bool) (map[string]artifact.Finding, artifact.Summary) {
	t.Helper()
	found := map[string]artifact.Finding{}
	sum, err := s.Check(t.Context(), repair, func(f artifact.Finding) { found[f.Key] = f })
	if err != nil {
		t.Fatal(err)
	}
	return found, sum
}

// corruptOnce flips a bit in the first read of every object.
type corruptOnce struct {
	objectstore.Store
	seen map[string]bool
}

func (c *corruptOnce) Get(ctx context.Context, key string) (io.ReadCloser, objectstore.Info, error) {
	body, info, err := c.Store.Get(ctx, key)
	if err != nil || c.seen[key] {
		return body, info, err
	}
	c.seen[key] = true
	defer body.Close()
	data, err := io.ReadAll(body)
	if err == nil && len(data) > 0 {
		data[len(data)/2] ^= 1
	}
	return io.NopCloser(strings.NewReader(string(data))), info, err
}

func TestCheckReadsAgain(t *testing.T) {
	good := open(t)
	d := put(t, good, "content")
	rec := record(t, "train", map[string]artifact.Digest{"x": d})
	if _, _, err := good.Publish(t.Context(), rec); err != nil {
		t.Fatal(err)
	}
	if err := good.SetRef(t.Context(), "best", d); err != nil {
		t.Fatal(err)
	}
	flaky := artifact.New(&corruptOnce{good.Objects(), map[string]bool{}})
	found, sum := findings(t, flaky, true)
	if len(found) != 0 || sum.Damaged != 0 || sum.Documents != 2 || sum.Blobs != 1 {
		t.Errorf("a check with one bad read found %v, %+v, want no damage in 2 documents and 1 blob", found, sum)
	}
	if got, err := read(t, good, d); err != nil || got != "content" {
		t.Errorf("after the check: read %q, error %v, want %q", got, err, "content")
	}
}

func TestCheckMovesDamageAside(t *testing.T) {
	s, file := onDisk(t)
	made, imported, named := put(t, s, "made"), put(t, s, "imported"), put(t, s, "named")
	rec := record(t, "train", map[string]artifact.Digest{"x": made})
	lost := record(t, "eval", map[string]artifact.Digest{"x": named})
	for _, r := range []artifact.Record{rec, lost} {
		if _, _, err := s.Publish(t.Context(), r); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"best", "gone"} {
		if err := s.SetRef(t.Context(), name, imported); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.SaveRun(t.Context(), "20260101-1", []byte("{}")); err != nil {
		t.Fatal(err)
	}
	damage := map[string]string{ // key → bytes on the disk
		blobKey(made): "mad3", blobKey(imported): "imp", "actions/" + lost.Key + ".json": "", "refs/gone.ref": "garbage",
		"runs/20260101-1.json": "{",
	}
	for key, bytes := range damage {
		if err := os.WriteFile(file(key), []byte(bytes), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	found, sum := findings(t, s, false)
	if len(found) != len(damage) || sum.Damaged != len(damage) {
		t.Errorf("the check found %d damaged objects and counted %d, want %d: %v",
			len(found), sum.Damaged, len(damage), found)
	}
	for key, users := range map[string]string{
		blobKey(made): "output x of action " + rec.Key, blobKey(imported): "ref best",
	} {
		if got := strings.Join(found[key].Users, ", "); got != users {
			t.Errorf("%s is used by %q, want %q", key, got, users)
		}
	}
	found, _ = findings(t, s, true)
	for key, bytes := range damage {
		if got, err := os.ReadFile(file(found[key].Aside)); err != nil || string(got) != bytes {
			t.Errorf("%s was moved to %q, which has %q, error %v, want %q", key, found[key].Aside, got, err, bytes)
		}
		if _, err := s.Objects().Head(t.Context(), key); !errors.Is(err, artifact.ErrNotFound) {
			t.Errorf("head of %s, which was moved aside: error %v, want ErrNotFound", key, err)
		}
	}
	if found, _ := findings(t, s, true); len(found) != 0 {
		t.Errorf("a check after the repair finds %v, want nothing", found)
	}
	if _, err := s.Record(t.Context(), lost.Key); !errors.Is(err, artifact.ErrNotFound) {
		t.Errorf("a record that was moved aside: error %v, want ErrNotFound", err)
	}
	if missing(t, s, rec) == "" {
		t.Error("Missing reports nothing, although an output was moved aside")
	}
	if got, err := read(t, s, named); err != nil || got != "named" {
		t.Errorf("an intact blob: read %q, error %v, want %q", got, err, "named")
	}
}

// TestSameSizeDamageIsRepaired: storing a blob again repairs damage that keeps the blob's size. Head does not show such
// damage, so Put must read the blob.
func TestSameSizeDamageIsRepaired(t *testing.T) {
	s, file := onDisk(t)
	d := put(t, s, "some content")
	if err := os.WriteFile(file(blobKey(d)), []byte("s0me content"), 0o600); err != nil {
		t.Fatal(err)
	}
	put(t, s, "some content")
	if got, err := read(t, s, d); err != nil || got != "some content" {
		t.Errorf("read %q, error %v, want %q", got, err, "some content")
	}
}

// refusing is a store in which every write of a record fails as if another writer had created the record, yet no record
// can be read.
type refusing struct {
	objectstore.Store
	puts int
}

func (r *refusing) Put(
	ctx context.Context, key string, body io.Reader, size int64, opt objectstore.PutOptions,
) (objectstore.Info, error) {
	if strings.HasPrefix(key, "actions/") {
		r.puts++
		return objectstore.Info{}, objectstore.ErrExists
	}
	return r.Store.Put(ctx, key, body, size, opt)
}

func TestPublishGivesUp(t *testing.T) {
	broken := &refusing{Store: open(t).Objects()}
	s := artifact.New(broken)
	rec := record(t, "train", map[string]artifact.Digest{"x": put(t, s, "x")})
	_, _, err := s.Publish(t.Context(), rec)
	if failure.ClassOf(err) != failure.Store || failure.HintOf(err) == "" || broken.puts > 10 {
		t.Errorf("Publish after %d writes: error %v, want class store and a hint after at most 10", broken.puts, err)
	}
}
