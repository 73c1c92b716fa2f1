package tensorfile

import (
	"fmt"
	"io"
	"slices"
	"sort"
	"sync/atomic"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/ipc"
	"github.com/apache/arrow/go/v15/arrow/memory"
)

// File is a tensor file of which rows are read when they are asked for. Its methods may be called from several
// goroutines if the ReaderAt allows it.
type File struct {
	r       io.ReaderAt
	schema  *arrow.Schema
	columns []layout
	blocks  []block
	first   []int                   // by batch, and one more: its first row
	known   []atomic.Pointer[batch] // by batch: its header, once it has been looked at
}

// Open reads the footer of a tensor file of size bytes and what it takes to know the number of rows; it accepts what
// Decode accepts. Memory is bounded by a small multiple of the footer.
//
// The footer does not say how many rows a record batch has, its header does, and to read every header would be a request
// each where the file is far away. So a batch as long as the first one is taken to have as many rows, and its header is
// held to that when the batch is first read: a file that mixes lengths within the padding of a batch is refused then.
func Open(r io.ReaderAt, size int64) (f *File, err error) {
	f = &File{r: r}
	if f.columns, f.blocks, err = verifyFooter(r, size); err != nil {
		return nil, err
	}
	if f.schema, err = readSchema(r, size); err != nil {
		return nil, err
	}
	if _, err := newTable(f.schema, 0, false); err != nil {
		return nil, err
	}
	f.known = make([]atomic.Pointer[batch], len(f.blocks))
	f.first = make([]int, len(f.blocks)+1)
	for i, b := range f.blocks {
		header := 0
		if b.meta != f.blocks[0].meta || b.body != f.blocks[0].body {
			header = i
		}
		v, err := f.header(header)
		if err != nil {
			return nil, err
		}
		f.first[i+1] = f.first[i] + v.rows
	}
	return f, nil
}

func readSchema(r io.ReaderAt, size int64) (schema *arrow.Schema, err error) {
	defer func() { // as in Decode
		if p := recover(); p != nil {
			schema, err = nil, &FormatError{Reason: fmt.Sprint("arrow: ", p)}
		}
	}()
	fr, err := ipc.NewFileReader(io.NewSectionReader(r, 0, size), ipc.WithAllocator(memory.NewGoAllocator()))
	if err != nil {
		return nil, &FormatError{Reason: "arrow", Err: err}
	}
	defer fr.Close()
	return fr.Schema(), nil
}

// header returns what the header of batch i says, verified. Two goroutines that look at once find the same.
func (f *File) header(i int) (*batch, error) {
	if v := f.known[i].Load(); v != nil {
		return v, nil
	}
	v, err := verifyHeader(f.r, i, f.blocks[i], f.columns)
	if err != nil {
		return nil, err
	}
	f.known[i].Store(&v)
	return &v, nil
}

// Rows returns the number of rows.
func (f *File) Rows() int { return f.first[len(f.blocks)] }

// Batches returns the number of record batches.
func (f *File) Batches() int { return len(f.blocks) }

// Empty returns a table of the file's columns and metadata without rows.
func (f *File) Empty() (*Table, error) { return newTable(f.schema, 0, true) }

// Batch reads record batch i.
func (f *File) Batch(i int) (*Table, error) {
	if i < 0 || i >= len(f.blocks) {
		return nil, fmt.Errorf("tensorfile: record batch %d of %d", i, len(f.blocks))
	}
	return f.Slice(f.first[i], f.first[i+1])
}

// Slice reads the rows from..to-1, wherever record batches begin and end: their bytes and, once a batch, its header. Each
// column's values are read into the memory they stay in. With names, these columns alone are read; one that the file has
// not is a *MissingColumnError. Errors of the content are a *FormatError.
func (f *File) Slice(from, to int, names ...string) (*Table, error) {
	if from < 0 || from > to || to > f.Rows() {
		return nil, fmt.Errorf("tensorfile: rows %d to %d of %d", from, to, f.Rows())
	}
	begin := sort.Search(len(f.blocks), func(i int) bool { return f.first[i+1] > from })
	end := begin
	for ; end < len(f.blocks) && f.first[end] < to; end++ {
		// Before memory for the rows is taken: only a header that was read says that they are there.
		v, err := f.header(end)
		if err != nil {
			return nil, err
		}
		if rows := f.first[end+1] - f.first[end]; v.rows != rows {
			return nil, &FormatError{Reason: fmt.Sprintf("record batch %d has %d rows, another of its length %d", end, v.rows, rows)}
		}
	}
	schema, columns, err := f.pick(names)
	if err != nil {
		return nil, err
	}
	t, err := newTable(schema, to-from, true)
	if err != nil {
		return nil, err
	}
	for i := begin; i < end; i++ {
		v, err := f.header(i)
		if err != nil {
			return nil, err
		}
		lo, hi := max(from, f.first[i]), min(to, f.first[i+1])
		for k := range t.Columns {
			c := &t.Columns[k]
			size := c.Size()
			_, raw := bytesOf(c.Data, (lo-from)*size, (hi-from)*size)
			if len(raw) == 0 {
				continue // a batch without rows
			}
			at := f.blocks[i].offset + f.blocks[i].meta + v.values[columns[k]]
			l := f.columns[columns[k]]
			if err := readFull(f.r, raw, at+int64(lo-f.first[i])*l.size*l.width); err != nil {
				return nil, err
			}
		}
	}
	return t, nil
}

// pick returns the schema of the named columns, or of all, and their places in the file.
func (f *File) pick(names []string) (*arrow.Schema, []int, error) {
	fields, have := []arrow.Field{}, []string{}
	places := []int{}
	for k, field := range f.schema.Fields() {
		have = append(have, field.Name)
		if len(names) == 0 || slices.Contains(names, field.Name) {
			fields, places = append(fields, field), append(places, k)
		}
	}
	for _, name := range names {
		if !slices.Contains(have, name) {
			return nil, nil, &MissingColumnError{Name: name, Have: have}
		}
	}
	meta := f.schema.Metadata()
	return arrow.NewSchema(fields, &meta), places, nil
}
