package dataloader

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"vapo/lib/dataset"
	"vapo/lib/failure"
	"vapo/lib/random"
	"vapo/lib/tensorfile"
)

// tiny divides small data into many windows: blocks of 4 images of 12 bytes, windows of 5 blocks.
var tiny = Limits{BlockBytes: 63, BlockRows: 1 << 10, WindowBytes: 5 * 48, WindowRows: 1 << 20}

// images returns n images of 12 bytes that encode their index.
func images(n int) *dataset.Images {
	s := &dataset.Images{
		Name: "test", N: n, C: 3, H: 2, W: 2,
		Pixels: make([]uint8, 12*n), Classes: []string{"a", "b", "c"},
	}
	for i := range n {
		s.Labels = append(s.Labels, int64(i%3))
		for k := range 12 {
			s.Pixels[12*i+k] = uint8(i >> (k % 3 * 8))
		}
	}
	return s
}

func points(n int) *dataset.Points {
	s := &dataset.Points{N: n, D: 3, X: make([]float32, 3*n)}
	random.New(1, "test", 0).Normal(s.X)
	return s
}

func encode(t testing.TB, set dataset.Set) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := tensorfile.Write(&b, set.Table()); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func stream(t testing.TB, r io.ReaderAt, size int, opt Options) *Stream {
	t.Helper()
	s, err := OpenStream(t.Context(), r, int64(size), opt)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// TestOrderOfOneWindow: data that fit into one window are permuted as a whole; larger data have windows of the expected
// size.
func TestOrderOfOneWindow(t *testing.T) {
	for _, n := range []int{1, 23, 60000} {
		o := newOrder(3, n, 784, Default)
		for epoch := range 3 {
			want := random.New(3, "train/shuffle", uint64(epoch)).Perm(n)
			for i, w := range want {
				if got := o.At(int64(epoch*n + i)); got != w {
					t.Fatalf("sample %d of epoch %d is %d, want %d", i, epoch, got, w)
				}
			}
		}
	}
	if n := newOrder(0, 50000, 3072, Default).WindowRows(); n != 50000 {
		t.Errorf("CIFAR-10 is shuffled in windows of %d, want 50000", n)
	}
	if n := newOrder(0, 1e6, 12288, Default).WindowRows(); n != 85*256 {
		t.Errorf("a million images of 12288 bytes are shuffled in windows of %d, want 21760", n)
	}
}

// TestOrder: every epoch is a new permutation, the first window consists of shuffled whole blocks, and positions may be
// read in any order.
func TestOrder(t *testing.T) {
	for _, n := range []int{21, 40, 41, 100, 103, 997} {
		inOrder, jumping := newOrder(7, n, 12, tiny), newOrder(7, n, 12, tiny)
		var all []int
		for k := range int64(4 * n) {
			all = append(all, inOrder.At(k))
		}
		for epoch := range 4 {
			e := slices.Clone(all[epoch*n : (epoch+1)*n])
			if epoch > 0 && slices.Equal(e, all[:n]) {
				t.Errorf("%d samples: epoch %d has the same order as epoch 0, want another", n, epoch)
			}
			window := slices.Clone(e[:20])
			slices.Sort(window)
			for i := 0; i < 20; i += 4 {
				if window[i]%4 != 0 || window[i+3] != window[i]+3 {
					t.Fatalf("%d samples: the first window is %v, want whole blocks", n, window)
				}
			}
			if slices.Equal(window, e[:20]) {
				t.Errorf("%d samples: the first window is in order, want it shuffled", n)
			}
			slices.Sort(e)
			for i, v := range e {
				if v != i {
					t.Fatalf("%d samples: epoch %d does not contain each sample once", n, epoch)
				}
			}
		}
		rng := random.New(1, "test", 0)
		for range 100 {
			k := rng.IntN(len(all))
			if got := jumping.At(int64(k)); got != all[k] {
				t.Fatalf("%d samples: position %d is sample %d if read out of order, want %d", n, k, got, all[k])
			}
		}
	}
}

// TestOrderIsGolden pins the order: a change would alter the result of every training run on large data.
func TestOrderIsGolden(t *testing.T) {
	o := newOrder(5, 43, 12, tiny)
	var got []int
	for k := range int64(12) {
		got = append(got, o.At(43+18+k))
	}
	if want := []int{14, 12, 31, 4, 26, 25, 19, 23, 16, 7, 20, 24}; !slices.Equal(got, want) {
		t.Errorf("samples %v, want %v", got, want)
	}
}

func same(t *testing.T, position int64, a, b Samples) {
	t.Helper()
	x, err := a.At(position)
	if err != nil {
		t.Fatal(err)
	}
	y, err := b.At(position)
	if err != nil {
		t.Fatal(err)
	}
	if x.Index != y.Index || x.Label != y.Label || !slices.Equal(x.Pixels, y.Pixels) || !slices.Equal(x.Point, y.Point) {
		t.Fatalf("position %d: streamed %v, in memory %v", position, x, y)
	}
}

// TestStreamEqualsMemory: a Stream and a Memory return the same samples from every position, with a cache of any size.
func TestStreamEqualsMemory(t *testing.T) {
	for _, set := range []dataset.Set{images(5), images(20), images(103), images(2100), points(101)} {
		b := encode(t, set)
		for _, cache := range []int64{0, 100, 40 << 10, 1 << 30} {
			m := NewMemory(set, 9, tiny)
			s := stream(t, bytes.NewReader(b), len(b), Options{Seed: 9, Limits: tiny, CacheBytes: cache, Dir: t.TempDir()})
			if s.Len() != set.Len() || !slices.Equal(s.Set().Shape(), set.Shape()) || s.Set().Len() != 0 {
				t.Errorf("%d samples of shape %v, want %d of %v", s.Len(), s.Set().Shape(), set.Len(), set.Shape())
			}
			if labels, err := s.Labels(); err != nil || !slices.Equal(labels, m.labels) {
				t.Errorf("labels %v (%v), want %v", labels, err, m.labels)
			}
			n := int64(set.Len())
			for k := range min(3*n+5, 700) {
				same(t, k, s, m)
			}
			for _, k := range []int64{2*n + 7, 2*n + 8, 3, 3, n - 1, n, 5*n - 2, 5*n - 1, 5 * n} {
				same(t, k, s, m)
			}
			if st := s.Stats(); st.CacheBytes > cache {
				t.Errorf("the cache holds %d bytes, want at most %d", st.CacheBytes, cache)
			}
		}
	}
}

// TestMemoryIsBounded: memory holds one window and two blocks, because later samples reuse the slots of returned ones.
func TestMemoryIsBounded(t *testing.T) {
	b := encode(t, images(2000))
	s := stream(t, bytes.NewReader(b), len(b), Options{Limits: tiny})
	if want := int64(28 * (12 + 8)); s.WindowBytes() != want {
		t.Errorf("the window takes %d bytes, want %d", s.WindowBytes(), want)
	}
	for k := range int64(4000) {
		if _, err := s.At(k); err != nil {
			t.Fatal(err)
		}
	}
	if st := s.Stats(); st.ReadBlocks < 1000 || st.ReadBlocks > 1000+5+2+prefetch+2 {
		t.Errorf("%d blocks were read, want 1000 for two epochs and at most %d more",
			st.ReadBlocks, 5+2+prefetch+2)
	}
}

// TestCache: if the cache has slots for half of the blocks, nearly half of the reads find their block in the cache. The
// cache file has no name and stays within its limit.
func TestCache(t *testing.T) {
	b := encode(t, images(4000))
	dir := t.TempDir()
	slot, err := slotBytes(images(4).Head(0).Table(), 4)
	if err != nil {
		t.Fatal(err)
	}
	limit := 500*slot + slot/2
	s := stream(t, bytes.NewReader(b), len(b), Options{Limits: tiny, CacheBytes: limit, Dir: dir})
	const epochs = 6
	for k := range int64(epochs * 4000) {
		if _, err := s.At(k); err != nil {
			t.Fatal(err)
		}
	}
	st := s.Stats()
	if info, err := s.cache.file.Stat(); err != nil || info.Size() > limit || st.CacheBytes != 500*slot {
		t.Errorf("the cache file has %d bytes, want at most %d; blocks of %d bytes are cached, want %d (%v)",
			info.Size(), limit, st.CacheBytes, 500*slot, err)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) != 0 {
		t.Errorf("the directory of the cache is not empty: %v, %v", left, err)
	}
	if share := float64(st.CacheBlocks) / (1000 * (epochs - 1)); share < 0.42 || share > 0.52 {
		t.Errorf("a cache of half of the blocks serves %.3f of the reads, want 0.42 to 0.52: %+v", share, st)
	}
}

// breaking is a reader that fails once err is set.
type breaking struct {
	r   io.ReaderAt
	err atomic.Pointer[error]
}

func (b *breaking) ReadAt(p []byte, off int64) (int, error) {
	if err := b.err.Load(); err != nil {
		return 0, *err
	}
	return b.r.ReadAt(p, off)
}

func TestStreamFails(t *testing.T) {
	set := images(103)
	b := encode(t, set)
	gone := errors.New("gone")
	r := &breaking{r: bytes.NewReader(b)}
	s := stream(t, r, len(b), Options{Limits: tiny})
	r.err.Store(&gone)
	for range 2 { // every call returns the error
		if _, err := s.At(0); !errors.Is(err, gone) || !strings.Contains(err.Error(), "samples ") {
			t.Errorf("error %v, want the error of the reader and the range of samples", err)
		}
	}

	ctx, cancel := context.WithCancelCause(t.Context())
	s, err := OpenStream(ctx, bytes.NewReader(b), int64(len(b)), Options{Limits: tiny})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if _, err := s.At(0); err != nil {
		t.Fatal(err)
	}
	cancel(gone)
	for k := int64(1); ; k++ { // samples already in memory may still be returned
		if _, err := s.At(k); err != nil {
			if !errors.Is(err, gone) {
				t.Errorf("error %v, want the cause of the context's end", err)
			}
			break
		}
		if k > 103 {
			t.Fatal("At still returns samples after the end of the context")
		}
	}

	set.Labels[50] = 3
	b = encode(t, set)
	s = stream(t, bytes.NewReader(b), len(b), Options{Limits: tiny})
	for k := range int64(104) {
		if _, err = s.At(k); err != nil {
			break
		}
	}
	if failure.ClassOf(err) != failure.Input || !strings.Contains(err.Error(), "samples 48 to 51: ") {
		t.Errorf("a label beyond the classes: error %v, want an input error about samples 48 to 51", err)
	}
	p := points(50)
	p.X[100] = float32(math.NaN())
	b = encode(t, p)
	if s = stream(t, bytes.NewReader(b), len(b), Options{Limits: tiny}); failure.ClassOf(walk(s, 50)) != failure.Input {
		t.Error("a NaN coordinate gives no input error")
	}
	for name, b := range map[string][]byte{
		"no samples":  encode(t, images(0)),
		"no data set": encode(t, table{}),
		"no file":     []byte("x"),
	} {
		if _, err := OpenStream(t.Context(), bytes.NewReader(b), int64(len(b)), Options{Limits: tiny}); err == nil {
			t.Errorf("%s: OpenStream returns no error", name)
		}
	}
}

// walk reads n samples and returns the first error.
func walk(s Samples, n int64) error {
	for k := range n {
		if _, err := s.At(k); err != nil {
			return err
		}
	}
	return nil
}

// table is a tensor file that is not a data set.
type table struct{ dataset.Set }

func (table) Table() *tensorfile.Table {
	return &tensorfile.Table{Rows: 1, Columns: []tensorfile.Column{{Name: "y", Data: []int64{1}}}}
}

// BenchmarkStream measures the loader alone. It reads 3x64x64 images of a 0.8 GB set from memory, as if the file were
// in the page cache, in windows of 256 MiB.
func BenchmarkStream(b *testing.B) {
	const n, size = 1 << 16, 3 * 64 * 64
	set := &dataset.Images{N: n, C: 3, H: 64, W: 64, Pixels: make([]uint8, n*size)}
	file := encode(b, set)
	set = nil
	s := stream(b, bytes.NewReader(file), len(file), Options{Limits: Default})
	b.SetBytes(size)
	var position int64
	for b.Loop() {
		if _, err := s.At(position); err != nil {
			b.Fatal(err)
		}
		position++
	}
}
