package tensorfile

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"runtime"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
)

type counting struct {
	r io.ReaderAt
	n int64
}

func (c *counting) ReadAt(p []byte, off int64) (int, error) {
	c.n += int64(len(p))
	return c.r.ReadAt(p, off)
}

func open(b []byte) (*File, error) { return Open(bytes.NewReader(b), int64(len(b))) }

func TestSliceBatches(t *testing.T) {
	for _, n := range []int{0, 1, BatchRows, 3*BatchRows + 5} {
		want := example(n)
		f, err := open(encode(t, want))
		if err != nil {
			t.Fatal(err)
		}
		if f.Rows() != n || len(f.blocks) != (n+BatchRows-1)/BatchRows {
			t.Fatalf("%d rows in %d batches, want %d in %d", f.Rows(), len(f.blocks), n, (n+BatchRows-1)/BatchRows)
		}
		for i := len(f.blocks); i >= 0; i-- { // the slice after the last batch is empty
			from, to := min(n, i*BatchRows), min(n, (i+1)*BatchRows)
			got, err := f.Slice(from, to)
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(encode(t, part(want, from, to)), encode(t, got)) {
				t.Errorf("batch %d of %d rows differs", i, n)
			}
		}
	}
}

// TestSlice: Slice reads any range of rows, from several goroutines, and requests no more bytes than necessary.
func TestSlice(t *testing.T) {
	const n = 3*BatchRows + 100
	want := example(n)
	b := encode(t, want)
	f, err := open(b)
	if err != nil {
		t.Fatal(err)
	}
	var group sync.WaitGroup
	for seed := range uint64(4) {
		group.Go(func() {
			rng := rand.New(rand.NewPCG(seed, 1))
			for range 30 {
				from := rng.IntN(n + 1)
				to := from + rng.IntN(n-from+1)
				got, err := f.Slice(from, to)
				if err != nil {
					t.Error(err)
				} else if !bytes.Equal(encode(t, part(want, from, to)), encode(t, got)) {
					t.Errorf("rows %d to %d differ", from, to)
				}
			}
		})
	}
	group.Wait()
	for _, span := range [][2]int{{-1, 2}, {2, 1}, {0, n + 1}} {
		if _, err := f.Slice(span[0], span[1]); err == nil {
			t.Errorf("Slice accepts rows %v of %d", span, n)
		}
	}

	got, err := f.Slice(5, 2*BatchRows, "y", "label")
	if err != nil {
		t.Fatal(err)
	}
	some := part(want, 5, 2*BatchRows)
	some.Columns = []Column{some.Columns[1], some.Columns[3]}
	if !bytes.Equal(encode(t, some), encode(t, got)) {
		t.Error("two columns read alone differ from those of the whole table")
	}
	var missing *MissingColumnError
	if _, err := f.Slice(0, 1, "z"); !errors.As(err, &missing) || missing.Name != "z" {
		t.Errorf("error %v, want a MissingColumnError", err)
	}

	c := &counting{r: bytes.NewReader(b)}
	if f, err = Open(c, int64(len(b))); err != nil {
		t.Fatal(err)
	}
	if c.n > 12<<10 {
		t.Errorf("opening a file of %d bytes reads %d, want at most 12 KiB", len(b), c.n)
	}
	c.n = 0
	if _, err := f.Slice(BatchRows+10, BatchRows+20); err != nil {
		t.Fatal(err)
	}
	if least := int64(10 * (60 + 8 + 8 + 8)); c.n < least || c.n > least+2048 {
		t.Errorf("reading 10 rows reads %d bytes, want their %d bytes and a header of at most 2048", c.n, least)
	}
}

// TestOpenDamaged: a file that Decode refuses is also refused, by Open or later by Slice.
func TestOpenDamaged(t *testing.T) {
	b := encode(t, example(2*BatchRows))
	var fe *FormatError
	for _, n := range []int{0, 10, len(b) / 2, len(b) - 1} {
		if _, err := open(b[:n]); !errors.As(err, &fe) {
			t.Errorf("cut at %d: error %v, want a FormatError", n, err)
		}
	}
	f, err := open(b)
	if err != nil {
		t.Fatal(err)
	}
	d := bytes.Clone(b)
	at := f.blocks[1].offset
	clear(d[at : at+f.blocks[1].meta])
	if f, err = open(d); err != nil {
		t.Fatal(err)
	}
	if _, err := f.Slice(0, BatchRows); err != nil {
		t.Error(err)
	}
	_, err = f.Slice(BatchRows, BatchRows+1)
	if !errors.As(err, &fe) || !strings.Contains(err.Error(), "record batch 1") {
		t.Errorf("error %v, want a FormatError of record batch 1", err)
	}
	gone := errors.New("gone")
	if _, err := Open(broken{gone}, 1<<20); !errors.Is(err, gone) {
		t.Errorf("error %v, want the error of the reader", err)
	}
}

type broken struct{ err error }

func (b broken) ReadAt([]byte, int64) (int, error) { return 0, b.err }

func FuzzOpen(f *testing.F) {
	f.Add(encode(f, example(3)))
	f.Add(encode(f, &Table{Rows: BatchRows + 1, Columns: []Column{{Name: "x", Data: make([]uint8, BatchRows+1)}}}))
	f.Add([]byte("ARROW1\x00\x00\x00\x00\x00\x00ARROW1"))
	f.Fuzz(func(t *testing.T, b []byte) {
		want, refused := decode(b)
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		file, err := open(b)
		var got *Table
		if err == nil {
			got, err = file.Slice(0, file.Rows())
		}
		runtime.ReadMemStats(&after)
		if used := after.TotalAlloc - before.TotalAlloc; used > 4<<20+32*uint64(len(b)) {
			t.Fatalf("%d bytes allocated for a file of %d, want at most %d", used, len(b), 4<<20+32*len(b))
		}
		var fe *FormatError
		switch {
		case err != nil && !errors.As(err, &fe):
			t.Fatalf("error %v, want a FormatError", err)
		case err != nil && refused == nil && !strings.Contains(err.Error(), "another batch of the same length"):
			t.Fatalf("Decode reads what Open refuses: %v", err)
		case err != nil || refused != nil:
			return
		}
		if d := cmp.Diff(want, got, bitwise...); d != "" {
			t.Fatalf("(-Decode +Slice)\n%s", d)
		}
		for i := range file.blocks {
			from, to := file.first[i], file.first[i+1]
			got, err := file.Slice(from, to)
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(part(want, from, to), got, bitwise...); d != "" {
				t.Fatalf("batch %d: (-Decode +Slice)\n%s", i, d)
			}
		}
	})
}
