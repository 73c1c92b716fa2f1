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

// counting counts the bytes that are read.
type counting struct {
	r io.ReaderAt
	n int64
}

func (c *counting) ReadAt(p []byte, off int64) (int, error) {
	c.n += int64(len(p))
	return c.r.ReadAt(p, off)
}

func open(b []byte) (*File, error) { return Open(bytes.NewReader(b), int64(len(b))) }

// rows returns rows from..to-1 of a table.
func rows(t *Table, from, to int) *Table {
	s := &Table{Rows: to - from, Meta: t.Meta}
	for _, c := range t.Columns {
		a, b := from*c.Size(), to*c.Size()
		switch d := c.Data.(type) {
		case []uint8:
			c.Data = d[a:b:b]
		case []int64:
			c.Data = d[a:b:b]
		case []float32:
			c.Data = d[a:b:b]
		case []float64:
			c.Data = d[a:b:b]
		}
		s.Columns = append(s.Columns, c)
	}
	return s
}

func TestBatches(t *testing.T) {
	for _, n := range []int{0, 1, BatchRows, 3*BatchRows + 5} {
		want := example(n)
		f, err := open(encode(t, want))
		if err != nil {
			t.Fatal(err)
		}
		if f.Rows() != n || f.Batches() != (n+BatchRows-1)/BatchRows {
			t.Fatalf("%d rows in %d batches, want %d rows", f.Rows(), f.Batches(), n)
		}
		for i := f.Batches() - 1; i >= 0; i-- {
			got, err := f.Batch(i)
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(encode(t, rows(want, i*BatchRows, min(n, (i+1)*BatchRows))), encode(t, got)) {
				t.Errorf("batch %d of %d rows differs", i, n)
			}
		}
		empty, err := f.Empty()
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(encode(t, rows(want, 0, 0)), encode(t, empty)) {
			t.Errorf("no rows of %d: the table differs", n)
		}
		if _, err := f.Batch(f.Batches()); err == nil {
			t.Error("a batch beyond the last one is read")
		}
	}
}

// TestSlice reads any rows, from several goroutines, and no more bytes than they take.
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
				} else if !bytes.Equal(encode(t, rows(want, from, to)), encode(t, got)) {
					t.Errorf("rows %d to %d differ", from, to)
				}
			}
		})
	}
	group.Wait()
	for _, span := range [][2]int{{-1, 2}, {2, 1}, {0, n + 1}} {
		if _, err := f.Slice(span[0], span[1]); err == nil {
			t.Errorf("rows %v of %d are read", span, n)
		}
	}

	got, err := f.Slice(5, 2*BatchRows, "y", "label")
	if err != nil {
		t.Fatal(err)
	}
	some := rows(want, 5, 2*BatchRows)
	some.Columns = []Column{some.Columns[1], some.Columns[3]}
	if !bytes.Equal(encode(t, some), encode(t, got)) {
		t.Error("two columns of four differ")
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
		t.Errorf("opening a file of %d bytes reads %d", len(b), c.n)
	}
	c.n = 0
	if _, err := f.Slice(BatchRows+10, BatchRows+20); err != nil {
		t.Fatal(err)
	}
	if least := int64(10 * (60 + 8 + 8 + 8)); c.n < least || c.n > least+2048 {
		t.Errorf("10 rows read %d bytes, they are %d", c.n, least)
	}
}

// TestOpenDamaged: what Decode refuses at once is refused when it is opened or read.
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
	if _, err := f.Batch(0); err != nil {
		t.Error(err)
	}
	if _, err := f.Batch(1); !errors.As(err, &fe) || !strings.Contains(err.Error(), "record batch 1") {
		t.Errorf("error %v, want a FormatError of record batch 1", err)
	}
	gone := errors.New("gone")
	if _, err := Open(broken{gone}, 1<<20); !errors.Is(err, gone) {
		t.Errorf("error %v, want that of the reader", err)
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
			t.Fatalf("%d bytes allocated for a file of %d", used, len(b))
		}
		var fe *FormatError
		switch {
		case err != nil && !errors.As(err, &fe):
			t.Fatalf("error %v, want a FormatError", err)
		case err != nil && refused == nil && !strings.Contains(err.Error(), "another of its length"):
			t.Fatalf("Decode reads what Open refuses: %v", err)
		case err != nil || refused != nil:
			return
		}
		if d := cmp.Diff(want, got, bitwise...); d != "" {
			t.Fatalf("(-Decode +Slice)\n%s", d)
		}
		for i, row := 0, 0; i < file.Batches(); i++ {
			got, err := file.Batch(i)
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(rows(want, row, row+got.Rows), got, bitwise...); d != "" {
				t.Fatalf("batch %d: (-Decode +Batch)\n%s", i, d)
			}
			row += got.Rows
		}
	})
}
