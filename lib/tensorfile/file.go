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

// File is an open tensor file whose rows are read on demand. Its methods may be called from several goroutines if the
// underlying ReaderAt allows concurrent calls.
type File struct {
	r       io.ReaderAt
	schema  *arrow.Schema
	columns []layout
	blocks  []block
	first   []int                   // first row of each batch, followed by the total number of rows
	headers []atomic.Pointer[batch] // header of each batch; nil until it has been read
}

// Open reads the footer of a tensor file of size bytes and the batch headers that it needs to determine the number of
// rows. It accepts the same files as Decode. It uses at most a small multiple of the footer's size in memory.
//
// The row count of a record batch is in the header of the batch, not in the footer. If the file is remote, reading all
// headers would take one request each. So Open assumes that a batch with the same length as the first batch has the
// same number of rows. Padding can make this assumption wrong. It is checked when the batch is first read, and Slice
// then refuses the file.
func Open(r io.ReaderAt, size int64) (*File, error) { return openFile(r, size, false) }

// openFile implements Open. If allHeaders is true, it reads every batch header at once.
func openFile(r io.ReaderAt, size int64, allHeaders bool) (f *File, err error) {
	f = &File{r: r}
	if f.columns, f.blocks, err = verifyFooter(r, size); err != nil {
		return nil, err
	}
	if f.schema, err = readSchema(r, size); err != nil {
		return nil, err
	}
	if _, err := newTable(f.schema, 0); err != nil {
		return nil, err
	}
	f.headers = make([]atomic.Pointer[batch], len(f.blocks))
	f.first = make([]int, len(f.blocks)+1)
	for i, b := range f.blocks {
		like := i
		if first := f.blocks[0]; !allHeaders && b.meta == first.meta && b.body == first.body {
			like = 0
		}
		h, err := f.header(like)
		if err != nil {
			return nil, err
		}
		f.first[i+1] = f.first[i] + h.rows
	}
	return f, nil
}

// readSchema lets Arrow decode the schema. The footer must already be verified.
func readSchema(r io.ReaderAt, size int64) (schema *arrow.Schema, err error) {
	// The verified footer satisfies everything that Arrow is known to rely on. A panic would be a defect in this package
	// or in Arrow, and even then a damaged file must not crash the process.
	defer func() {
		if p := recover(); p != nil {
			schema, err = nil, formatError("arrow: %v", p)
		}
	}()
	fr, err := ipc.NewFileReader(io.NewSectionReader(r, 0, size), ipc.WithAllocator(memory.NewGoAllocator()))
	if err != nil {
		return nil, &FormatError{Reason: "arrow", Err: err}
	}
	defer fr.Close()
	return fr.Schema(), nil
}

// header returns the verified header of batch i. Concurrent first calls may each read the header, with equal results.
func (f *File) header(i int) (*batch, error) {
	if h := f.headers[i].Load(); h != nil {
		return h, nil
	}
	h, err := verifyHeader(f.r, i, f.blocks[i], f.columns)
	if err != nil {
		return nil, err
	}
	f.headers[i].Store(&h)
	return &h, nil
}

// Rows returns the number of rows.
func (f *File) Rows() int { return f.first[len(f.blocks)] }

// Slice reads the rows [from, to), which may span record batches. It requests only the bytes of these rows and, once
// per batch, the batch header. Values are read directly into the table's memory. If names are given, only these columns
// are read; the error for a missing column is a *MissingColumnError. Errors in the content are a *FormatError.
func (f *File) Slice(from, to int, names ...string) (*Table, error) {
	if from < 0 || from > to || to > f.Rows() {
		return nil, fmt.Errorf("tensorfile: rows %d to %d of %d", from, to, f.Rows())
	}
	// The headers are read before memory for the rows is allocated, because only the headers prove that the rows exist.
	begin := sort.Search(len(f.blocks), func(i int) bool { return f.first[i+1] > from })
	var headers []*batch
	for i := begin; i < len(f.blocks) && f.first[i] < to; i++ {
		h, err := f.header(i)
		if err != nil {
			return nil, err
		}
		if rows := f.first[i+1] - f.first[i]; h.rows != rows {
			return nil, formatError("record batch %d has %d rows, but another batch of the same length in bytes has %d",
				i, h.rows, rows)
		}
		headers = append(headers, h)
	}
	schema, columns, err := f.pick(names)
	if err != nil {
		return nil, err
	}
	t, err := newTable(schema, to-from)
	if err != nil {
		return nil, err
	}
	for k, h := range headers {
		i := begin + k
		lo, hi := max(from, f.first[i]), min(to, f.first[i+1])
		for k := range t.Columns {
			c := &t.Columns[k]
			size := c.Size()
			_, raw := bytesOf(c.Data, (lo-from)*size, (hi-from)*size)
			if len(raw) == 0 {
				continue // the batch has no rows
			}
			values := f.blocks[i].offset + f.blocks[i].meta + h.values[columns[k]]
			l := f.columns[columns[k]]
			if err := readFull(f.r, raw, values+int64(lo-f.first[i])*l.size*l.width); err != nil {
				return nil, err
			}
		}
	}
	return t, nil
}

// pick returns the schema of the named columns, or of all columns if names is empty, and their indices in the file.
func (f *File) pick(names []string) (*arrow.Schema, []int, error) {
	var fields []arrow.Field
	var have []string
	var columns []int
	for k, field := range f.schema.Fields() {
		have = append(have, field.Name)
		if len(names) == 0 || slices.Contains(names, field.Name) {
			fields, columns = append(fields, field), append(columns, k)
		}
	}
	for _, name := range names {
		if !slices.Contains(have, name) {
			return nil, nil, &MissingColumnError{Name: name, Have: have}
		}
	}
	meta := f.schema.Metadata()
	return arrow.NewSchema(fields, &meta), columns, nil
}
