package tensorfile

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"strings"
	"testing"
)

// part returns rows [from, to) of t.
func part(t *Table, from, to int) *Table {
	p := &Table{Rows: to - from}
	for _, c := range t.Columns {
		c.Data = slice(c.Data, from*c.Size(), to*c.Size())
		p.Columns = append(p.Columns, c)
	}
	return p
}

// TestWriterIsWrite: whatever pieces the rows come in, and although the pieces' memory is used again, the bytes are those
// of the whole table.
func TestWriterIsWrite(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for _, rows := range []int{0, 1, 7, BatchRows - 1, BatchRows, BatchRows + 1, 2*BatchRows + 3, 4 * BatchRows} {
		whole := example(rows)
		want := encode(t, whole)
		for _, most := range []int{1, 100, BatchRows, 3 * BatchRows} {
			if most == 1 && rows > BatchRows+1 {
				continue
			}
			var b bytes.Buffer
			w, err := NewWriter(&b, whole)
			if err != nil {
				t.Fatal(err)
			}
			for from := 0; from < rows; {
				n := min(rng.IntN(most+1), rows-from) // no rows, too
				p := part(whole, from, from+n)
				for i := range p.Columns {
					p.Columns[i].Data = join(none(p.Columns[i].Data), p.Columns[i].Data, 0)
				}
				if err := w.Append(p); err != nil {
					t.Fatal(err)
				}
				for i := range p.Columns {
					wipe(p.Columns[i].Data)
				}
				from += n
			}
			if err := errors.Join(w.Close(), w.Close()); err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(b.Bytes(), want) {
				t.Errorf("%d rows, at most %d at once: other bytes than Write's", rows, most)
			}
			if !bytes.Equal(encode(t, whole), want) {
				t.Errorf("%d rows: the writer changed the table it took for an example", rows)
			}
		}
	}
}

func wipe(data any) {
	switch d := data.(type) {
	case []uint8:
		clear(d)
	case []int64:
		clear(d)
	case []float32:
		clear(d)
	case []float64:
		clear(d)
	}
}

func TestWriterRefuses(t *testing.T) {
	like := &Table{Columns: []Column{{Name: "x", Shape: []int{2}, Data: []float32(nil)}}}
	if _, err := NewWriter(io.Discard, &Table{}); err == nil {
		t.Error("a table without columns is accepted")
	}
	for name, c := range map[string]struct {
		table *Table
		want  string
	}{
		"other name":  {&Table{Rows: 1, Columns: []Column{{Name: "y", Shape: []int{2}, Data: []float32{1, 2}}}}, `"y"`},
		"other shape": {&Table{Rows: 1, Columns: []Column{{Name: "x", Shape: []int{1}, Data: []float32{1}}}}, "[1]"},
		"other type":  {&Table{Rows: 1, Columns: []Column{{Name: "x", Shape: []int{2}, Data: []float64{1, 2}}}}, "float64, expected float32"},
		"too few":     {&Table{Rows: 2, Columns: []Column{{Name: "x", Shape: []int{2}, Data: []float32{1, 2}}}}, "2 values"},
		"one more":    {&Table{Rows: 1, Columns: []Column{{Name: "x", Shape: []int{2}, Data: []float32{1, 2}}, {Name: "z", Data: []uint8{1}}}}, "2 columns, expected 1"},
	} {
		t.Run(name, func(t *testing.T) {
			w, err := NewWriter(io.Discard, like)
			if err != nil {
				t.Fatal(err)
			}
			err = w.Append(c.table)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Fatalf("error %v, want one with %q", err, c.want)
			}
			if again := w.Close(); again == nil || again.Error() != err.Error() { // or half a file would pass for whole
				t.Errorf("closing after that: %v", again)
			}
		})
	}
	w, err := NewWriter(io.Discard, like)
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if err := w.Append(&Table{Columns: like.Columns}); err == nil {
		t.Error("rows after the end are accepted")
	}
}
