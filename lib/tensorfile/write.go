package tensorfile

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"slices"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/array"
	"github.com/apache/arrow/go/v15/arrow/ipc"
	"github.com/apache/arrow/go/v15/arrow/memory"
)

// BatchRows is the number of rows in every record batch except the last. It is part of the format: another value would
// give the same content different bytes, and so another digest.
const BatchRows = 1024

// rangeKey is the key of the field metadata that holds Column.Range as a JSON array of two numbers.
const rangeKey = "range"

// Write writes the table as an Arrow IPC file. The bytes depend only on the table: the batch size is fixed, metadata is
// sorted, and there is no compression and no timestamp. The data of the columns is not copied.
func Write(w io.Writer, t *Table) error {
	if err := t.validate(); err != nil { // checked before the first byte is written
		return fmt.Errorf("tensorfile: write: %w", err)
	}
	out, err := NewWriter(w, t)
	if err != nil {
		return err
	}
	if err := out.append(t, true); err != nil {
		return err
	}
	return out.Close()
}

func writeBatch(fw *ipc.FileWriter, schema *arrow.Schema, t *Table, from, to int) error {
	rows := to - from
	arrays := make([]arrow.Array, len(t.Columns))
	for i := range t.Columns {
		c := &t.Columns[i]
		size := c.Size()
		elem, raw := bytesOf(c.Data, from*size, to*size)
		data := array.NewData(elem, rows*size, []*memory.Buffer{nil, memory.NewBufferBytes(raw)}, nil, 0, 0)
		if len(c.Shape) > 0 {
			typ := schema.Field(i).Type
			data = array.NewData(typ, rows, []*memory.Buffer{nil}, []arrow.ArrayData{data}, 0, 0)
		}
		arrays[i] = array.MakeFromData(data)
	}
	return fw.Write(array.NewRecord(schema, arrays, int64(rows)))
}

func schemaOf(t *Table) (*arrow.Schema, error) {
	fields := make([]arrow.Field, len(t.Columns))
	for i := range t.Columns {
		c := &t.Columns[i]
		typ, _ := bytesOf(c.Data, 0, 0)
		if len(c.Shape) > 0 {
			typ = newFixedShapeTensor(typ, c.Shape)
		}
		fields[i] = arrow.Field{Name: c.Name, Type: typ}
		if c.Range != nil {
			r, err := json.Marshal(c.Range)
			if err != nil || math.IsNaN(c.Range[0]) {
				return nil, fmt.Errorf("column %q: range %v is not finite", c.Name, *c.Range)
			}
			fields[i].Metadata = arrow.NewMetadata([]string{rangeKey}, []string{string(r)})
		}
	}
	keys := slices.Sorted(maps.Keys(t.Meta))
	values := make([]string, len(keys))
	for i, k := range keys {
		values[i] = t.Meta[k]
	}
	meta := arrow.NewMetadata(keys, values)
	return arrow.NewSchema(fields, &meta), nil
}

// bytesOf returns the Arrow type of a column's data, and the values [from, to) as bytes that share their memory.
func bytesOf(data any, from, to int) (arrow.DataType, []byte) {
	switch d := data.(type) {
	case []uint8:
		return arrow.PrimitiveTypes.Uint8, d[from:to]
	case []int64:
		return arrow.PrimitiveTypes.Int64, arrow.Int64Traits.CastToBytes(d[from:to])
	case []float32:
		return arrow.PrimitiveTypes.Float32, arrow.Float32Traits.CastToBytes(d[from:to])
	case []float64:
		return arrow.PrimitiveTypes.Float64, arrow.Float64Traits.CastToBytes(d[from:to])
	}
	panic(fmt.Sprintf("tensorfile: column of %T passed validation", data))
}

// counter lets Arrow's file writer write to any io.Writer. Arrow requires an io.WriteSeeker, but calls Seek only to get
// the current position.
type counter struct {
	w   io.Writer
	pos int64
}

func (c *counter) Write(p []byte) (int, error) {
	n, err := c.w.Write(p)
	c.pos += int64(n)
	return n, err
}

func (c *counter) Seek(offset int64, whence int) (int64, error) {
	if offset != 0 || whence != io.SeekCurrent {
		return 0, errors.ErrUnsupported
	}
	return c.pos, nil
}
