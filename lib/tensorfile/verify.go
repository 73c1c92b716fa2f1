package tensorfile

import (
	"encoding/binary"
	"fmt"
	"io"

	"vapo/lib/program"
)

// Arrow's reader allocates the memory that a file's flatbuffers claim before it checks that the bytes exist, and
// follows vectors of any claimed length. So this package first verifies the footer and the batch headers, as a
// flatbuffers verifier would (the Go flatbuffers runtime has none). It accepts only the part of the format that vapo
// uses.
//
// Note: recovering from Arrow's panics alone was not enough. A claimed length of 2^40 makes Arrow allocate so much
// memory that the process is killed, without a panic.

const (
	magic        = "ARROW1"
	maxFooter    = 256 << 20 // bytes; a footer has about 300 per column and 24 per batch
	trailerBytes = 4 + len(magic)
	continuation = 0xffffffff
)

// Field numbers of the flatbuffers tables and values of their enums, from Arrow's Schema.fbs, Message.fbs and File.fbs.
const (
	footerSchema, footerDictionaries, footerBatches                   = 1, 2, 3
	schemaEndianness, schemaFields, schemaMetadata                    = 0, 1, 2
	fieldName, fieldTypeKind, fieldType, fieldDictionary              = 0, 2, 3, 4
	fieldChildren, fieldMetadata                                      = 5, 6
	messageKind, messageHeader, messageBodyLength                     = 1, 2, 3
	batchLength, batchNodes, batchBuffers, batchCompression           = 0, 1, 2, 3
	typeInt, typeFloat, typeFixedSizeList                             = 2, 3, 16
	kindRecordBatch                                                   = 3
	intBits, intSigned, floatPrecision, precisionSingle, listSizeSlot = 0, 1, 0, 1, 0
)

// IsFile reports whether a file begins like a tensor file.
func IsFile(name string) bool { return string(program.Head(name, len(magic))) == magic }

// layout is the memory layout of a column.
type layout struct {
	name  string
	width int64 // bytes per value
	size  int64 // values per row
	list  bool  // whether rows are fixed-size lists
}

// block is the location of a record batch: a header of meta bytes at offset, followed by a body of body bytes.
type block struct {
	offset, meta, body int64
}

// batch is the content of the verified header of a record batch.
type batch struct {
	rows   int
	values []int64 // offset of each column's values in the body
}

// refuse recovers from the panic of fail and returns it as an error.
func refuse(err *error) {
	if v := recover(); v != nil {
		m, ok := v.(malformed)
		if !ok {
			panic(v)
		}
		*err = &FormatError{Reason: string(m)}
	}
}

// verifyFooter checks the footer and returns the columns and the locations of the record batches, which do not overlap.
func verifyFooter(r io.ReaderAt, size int64) (columns []layout, blocks []block, err error) {
	defer refuse(&err)
	footer, dataEnd, err := readFooter(r, size)
	if err != nil {
		return nil, nil, err
	}
	fb := newFlat(footer)
	root := fb.root()
	schema, ok := root.table(footerSchema)
	if !ok {
		fail("footer has no schema")
	}
	columns = verifySchema(schema)
	if _, n := root.vector(footerDictionaries, 24); n > 0 {
		fail("dictionary-encoded columns are not supported")
	}
	at, n := root.vector(footerBatches, 24)
	next := int64(8) // the first batch begins after the magic bytes, each later batch after the one before it
	blocks = make([]block, n)
	for i := range blocks {
		blk := footer[at+24*i:]
		offset := int64(binary.LittleEndian.Uint64(blk))
		meta := int64(int32(binary.LittleEndian.Uint32(blk[8:])))
		body := int64(binary.LittleEndian.Uint64(blk[16:]))
		if offset < next || meta < 16 || body < 0 || offset > dataEnd || meta > dataEnd-offset || body > dataEnd-offset-meta {
			fail("record batch %d lies at bytes %d+%d+%d, outside the %d bytes of data or inside another batch",
				i, offset, meta, body, dataEnd)
		}
		if offset%8 != 0 || meta%8 != 0 || body%8 != 0 {
			fail("record batch %d is not aligned to 8 bytes", i)
		}
		next = offset + meta + body
		blocks[i] = block{offset, meta, body}
	}
	return columns, blocks, nil
}

// verifyHeader reads and checks the header of batch i.
func verifyHeader(r io.ReaderAt, i int, b block, columns []layout) (v batch, err error) {
	defer refuse(&err)
	header := make([]byte, b.meta)
	if err := readFull(r, header, b.offset); err != nil {
		return batch{}, err
	}
	return verifyBatch(i, header, b.body, columns), nil
}

// readFooter returns the footer's flatbuffer and its offset in the file.
func readFooter(r io.ReaderAt, size int64) (footer []byte, begin int64, err error) {
	if size < int64(8+4+trailerBytes) {
		fail("%d bytes are too few for an Arrow file", size)
	}
	var head [len(magic)]byte
	var tail [trailerBytes]byte
	if err := readFull(r, head[:], 0); err != nil {
		return nil, 0, err
	}
	if err := readFull(r, tail[:], size-int64(trailerBytes)); err != nil {
		return nil, 0, err
	}
	if string(head[:]) != magic {
		fail("it does not begin with %q", magic)
	}
	if string(tail[4:]) != magic {
		fail("it does not end with %q: truncated?", magic)
	}
	n := int64(binary.LittleEndian.Uint32(tail[:4]))
	begin = size - int64(trailerBytes) - n
	if n < 8 || n > maxFooter || begin < 8 {
		fail("footer of %d bytes in a file of %d", n, size)
	}
	footer = make([]byte, n)
	return footer, begin, readFull(r, footer, begin)
}

// readFull fills b with the bytes at off. If the file ends first, the error is a *FormatError that wraps
// io.ErrUnexpectedEOF.
func readFull(r io.ReaderAt, b []byte, off int64) error {
	n, err := r.ReadAt(b, off)
	if n == len(b) {
		return nil
	}
	if err == nil || err == io.EOF {
		return &FormatError{Reason: fmt.Sprintf("bytes %d+%d", off, len(b)), Err: io.ErrUnexpectedEOF}
	}
	return fmt.Errorf("tensorfile: read: %w", err)
}

func verifySchema(schema table) []layout {
	if schema.uint(schemaEndianness, 2) != 0 {
		fail("big-endian data is not supported")
	}
	fields := schema.tables(schemaFields)
	if len(fields) == 0 {
		fail("no columns")
	}
	columns := make([]layout, len(fields))
	for i, f := range fields {
		c := &columns[i]
		c.name, c.size = f.string(fieldName), 1
		switch verifyField(f) {
		case typeFixedSizeList:
			list, ok := f.table(fieldType)
			children := f.tables(fieldChildren)
			if !ok || len(children) != 1 {
				fail("column %q is a list of %d types", c.name, len(children))
			}
			c.list, c.size = true, int64(int32(list.uint(listSizeSlot, 4)))
			if c.size < 1 {
				fail("column %q has rows of %d values", c.name, c.size)
			}
			c.width = valueWidth(c.name, children[0], verifyField(children[0]))
		default:
			c.width = valueWidth(c.name, f, f.uint(fieldTypeKind, 1))
		}
	}
	verifyMetadata(schema, schemaMetadata)
	return columns
}

// verifyField checks the properties that all fields must have and returns the kind of the field's type.
func verifyField(f table) uint64 {
	name := f.string(fieldName)
	if _, ok := f.table(fieldDictionary); ok {
		fail("column %q is dictionary-encoded", name)
	}
	verifyMetadata(f, fieldMetadata)
	return f.uint(fieldTypeKind, 1)
}

func verifyMetadata(t table, slot int) {
	for _, kv := range t.tables(slot) {
		kv.string(0)
		kv.string(1)
	}
}

// valueWidth returns the bytes per value of a uint8, int64, float32 or float64 field. It refuses other types.
func valueWidth(column string, f table, kind uint64) int64 {
	if n := len(f.tables(fieldChildren)); n != 0 {
		fail("column %q has %d nested columns", column, n)
	}
	typ, ok := f.table(fieldType)
	if !ok {
		fail("column %q has no type", column)
	}
	switch kind {
	case typeInt:
		bits, signed := typ.uint(intBits, 4), typ.uint(intSigned, 1) != 0
		if bits == 8 && !signed || bits == 64 && signed {
			return int64(bits / 8)
		}
	case typeFloat:
		if p := typ.uint(floatPrecision, 2); p == precisionSingle || p == precisionSingle+1 {
			return 4 * int64(p)
		}
	}
	fail("column %q is of a type other than uint8, int64, float32, float64 or fixed-size lists of them", column)
	return 0
}

// verifyBatch checks the header of batch i against the length of the batch's body and the columns.
func verifyBatch(i int, header []byte, body int64, columns []layout) batch {
	if binary.LittleEndian.Uint32(header) != continuation {
		fail("record batch %d has no message header", i)
	}
	msg := newFlat(header[8:]).root()
	if k := msg.uint(messageKind, 1); k != kindRecordBatch {
		fail("block %d is a message of kind %d, expected a record batch", i, k)
	}
	if n := int64(msg.uint(messageBodyLength, 8)); n != body {
		fail("record batch %d has a body of %d bytes, but the footer says %d", i, n, body)
	}
	record, ok := msg.table(messageHeader)
	if !ok {
		fail("record batch %d is empty", i)
	}
	if _, ok := record.table(batchCompression); ok {
		fail("record batch %d is compressed: write the file without compression", i)
	}
	rows := int64(record.uint(batchLength, 8))
	if rows < 0 || rows > body {
		fail("record batch %d claims %d rows in %d bytes", i, rows, body)
	}
	nodes, buffers := record.pairs(batchNodes), record.pairs(batchBuffers)
	node := func(c *layout, want int64) {
		if len(nodes) == 0 {
			fail("record batch %d has no description of column %q", i, c.name)
		}
		n, nulls := nodes[0][0], nodes[0][1]
		nodes = nodes[1:]
		if n != want || nulls != 0 {
			fail("column %q, record batch %d: %d values and %d nulls, expected %d and none", c.name, i, n, nulls, want)
		}
	}
	buffer := func(c *layout, need int64) int64 {
		if len(buffers) == 0 {
			fail("record batch %d has no buffer of column %q", i, c.name)
		}
		off, n := buffers[0][0], buffers[0][1]
		buffers = buffers[1:]
		if off < 0 || n < need || off > body || n > body-off {
			fail("column %q, record batch %d: buffer of bytes %d+%d in a body of %d, expected %d bytes",
				c.name, i, off, n, body, need)
		}
		return off
	}
	found := batch{rows: int(rows), values: make([]int64, len(columns))}
	room := body // buffers must not overlap, or reading a small body could take much memory
	for k := range columns {
		c := &columns[k]
		if rows > 0 && c.size > room/c.width/rows {
			fail("record batch %d claims %d rows in %d bytes", i, rows, body)
		}
		need := rows * c.size * c.width
		room -= need
		node(c, rows)
		buffer(c, 0)
		if c.list {
			node(c, rows*c.size)
			buffer(c, 0)
		}
		found.values[k] = buffer(c, need)
	}
	if len(nodes) > 0 || len(buffers) > 0 {
		fail("record batch %d has %d column descriptions and %d buffers too many", i, len(nodes), len(buffers))
	}
	return found
}
