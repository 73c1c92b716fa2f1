package tensorfile

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"
)

func part(t *Table, from, to int) *Table {
	p := &Table{Rows: to - from, Meta: t.Meta}
	for _, c := range t.Columns {
		c.Data = slice(c.Data, from*c.Size(), to*c.Size())
		p.Columns = append(p.Columns, c)
	}
	return p
}

// TestWriterIsWrite: for any division of the rows into parts, Writer gives the same bytes as Write, even if the memory
// of the parts is reused.
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
				n := min(rng.IntN(most+1), rows-from) // n may be 0
				p := part(whole, from, from+n)
				for i := range p.Columns {
					data := p.Columns[i].Data
					p.Columns[i].Data = extend(makeData(data, 0), data, 0)
				}
				if err := w.Append(p); err != nil {
					t.Fatal(err)
				}
				for i := range p.Columns {
					reflect.ValueOf(p.Columns[i].Data).Clear()
				}
				from += n
			}
			if err := errors.Join(w.Close(), w.Close()); err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(b.Bytes(), want) {
				t.Errorf("%d rows, at most %d at a time: the bytes differ from Write's", rows, most)
			}
			if !bytes.Equal(encode(t, whole), want) {
				t.Errorf("%d rows: appending it in pieces changed the whole table", rows)
			}
		}
	}
}

func TestWriterRefuses(t *testing.T) {
	one := func(rows int, c Column) *Table { return &Table{Rows: rows, Columns: []Column{c}} }
	like := one(0, Column{Name: "x", Shape: []int{2}, Data: []float32(nil)})
	two := one(1, Column{Name: "x", Shape: []int{2}, Data: []float32{1, 2}})
	two.Columns = append(two.Columns, Column{Name: "z", Data: []uint8{1}})
	if _, err := NewWriter(io.Discard, &Table{}); err == nil {
		t.Error("a table without columns is accepted")
	}
	for name, c := range map[string]struct {
		table *Table
		want  string
	}{
		"other name":  {one(1, Column{Name: "y", Shape: []int{2}, Data: []float32{1, 2}}), `"y"`},
		"other shape": {one(1, Column{Name: "x", Shape: []int{1}, Data: []float32{1}}), "[1]"},
		"other type":  {one(1, Column{Name: "x", Shape: []int{2}, Data: []float64{1, 2}}), "float64, expected float32"},
		"too few":     {one(2, Column{Name: "x", Shape: []int{2}, Data: []float32{1, 2}}), "2 values"},
		"one more":    {two, "2 columns, expected 1"},
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
			if again := w.Close(); again == nil || again.Error() != err.Error() { // a partial file must not pass as complete
				t.Errorf("Close after a failed Append: error %v, want that of Append, %v", again, err)
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
		t.Error("Append after Close is accepted")
	}
}
