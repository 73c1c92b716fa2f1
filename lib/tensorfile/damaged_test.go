package tensorfile

import (
	"bytes"
	"encoding/binary"
	"errors"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/array"
	"github.com/apache/arrow/go/v15/arrow/ipc"
	"github.com/apache/arrow/go/v15/arrow/memory"
	"github.com/google/go-cmp/cmp"
)

// TestTruncated truncates a file to every possible length. Each must give a FormatError and never a panic.
func TestTruncated(t *testing.T) {
	b := encode(t, example(30))
	var fe *FormatError
	for n := range len(b) {
		if _, err := decode(b[:n]); !errors.As(err, &fe) {
			t.Fatalf("cut at %d: error %v, want a FormatError", n, err)
		}
	}
}

// TestDamaged changes bytes of the metadata. Decoding must give a table or a FormatError, in bounded memory.
func TestDamaged(t *testing.T) {
	b := encode(t, example(30))
	var before, after runtime.MemStats
	rng := rand.New(rand.NewPCG(5, 5))
	for i := range 4000 {
		d := bytes.Clone(b)
		for range 1 + rng.IntN(3) {
			at := len(d) - 1 - rng.IntN(min(len(d), 1500)) // in the footer
			if i%2 == 0 {
				at = rng.IntN(1500) // in the schema or a batch header
			}
			d[at] = [...]byte{0, 1, 0x7f, 0x80, 0xff, uint8(rng.Uint32())}[rng.IntN(6)]
		}
		runtime.ReadMemStats(&before)
		_, err := decode(d)
		runtime.ReadMemStats(&after)
		var fe *FormatError
		if err != nil && !errors.As(err, &fe) {
			t.Fatalf("damage %d: error %v, want a FormatError", i, err)
		}
		if used := after.TotalAlloc - before.TotalAlloc; used > 1<<20+32*uint64(len(d)) {
			t.Fatalf("damage %d: %d bytes allocated for a file of %d, want at most %d", i, used, len(d), 1<<20+32*len(d))
		}
	}
}

// TestForeign decodes files that other programs may write. The unsupported ones must be refused.
func TestForeign(t *testing.T) {
	mem := memory.NewGoAllocator()
	file := func(t *testing.T, typ arrow.DataType, fill func(array.Builder), opts ...ipc.Option) []byte {
		schema := arrow.NewSchema([]arrow.Field{{Name: "v", Type: typ, Nullable: true}}, nil)
		rb := array.NewRecordBuilder(mem, schema)
		defer rb.Release()
		fill(rb.Field(0))
		path := filepath.Join(t.TempDir(), "f.arrow")
		f, err := os.Create(path)
		if err != nil {
			t.Fatal(err)
		}
		w, err := ipc.NewFileWriter(f, append(opts, ipc.WithSchema(schema))...)
		if err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(w.Write(rb.NewRecord()), w.Close(), f.Close()); err != nil {
			t.Fatal(err)
		}
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	primitive := arrow.PrimitiveTypes
	ints := func(b array.Builder) { b.(*array.Int32Builder).Append(1) }
	texts := func(b array.Builder) { b.(*array.StringBuilder).Append("a") }
	nulls := func(b array.Builder) { b.AppendNull() }
	floats := func(b array.Builder) { b.(*array.Float32Builder).AppendValues([]float32{1, 2, 3}, nil) }
	dictionary := &arrow.DictionaryType{IndexType: primitive.Int8, ValueType: primitive.Float32}
	coded := func(b array.Builder) {
		if err := b.(*array.Float32DictionaryBuilder).Append(1); err != nil {
			t.Fatal(err)
		}
	}
	var stream bytes.Buffer
	schema := arrow.NewSchema([]arrow.Field{{Name: "v", Type: primitive.Float32}}, nil)
	if err := ipc.NewWriter(&stream, ipc.WithSchema(schema)).Close(); err != nil {
		t.Fatal(err)
	}

	t.Run("plain fixed-size list", func(t *testing.T) {
		b := file(t, arrow.FixedSizeListOf(2, arrow.PrimitiveTypes.Float64), func(b array.Builder) {
			l := b.(*array.FixedSizeListBuilder)
			for range 3 {
				l.Append(true)
				l.ValueBuilder().(*array.Float64Builder).AppendValues([]float64{1, 2}, nil)
			}
		})
		got, err := decode(b)
		if err != nil {
			t.Fatal(err)
		}
		column := Column{Name: "v", Shape: []int{2}, Data: []float64{1, 2, 1, 2, 1, 2}}
		want := &Table{Rows: 3, Columns: []Column{column}, Meta: map[string]string{}}
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("(-want +got)\n%s", d)
		}
	})
	for name, c := range map[string]struct {
		b    []byte
		want string
	}{
		"int32":         {file(t, primitive.Int32, ints), "other than uint8"},
		"text":          {file(t, arrow.BinaryTypes.String, texts), "other than uint8"},
		"nulls":         {file(t, primitive.Float32, nulls), "1 nulls"},
		"compressed":    {file(t, primitive.Float32, floats, ipc.WithZstd()), "compressed"},
		"dictionary":    {file(t, dictionary, coded), "dictionary"},
		"stream format": {stream.Bytes(), "does not begin"},
		"empty":         {nil, "too few"},
		"text file":     {[]byte(strings.Repeat("not arrow\n", 100)), "does not begin"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := decode(c.b)
			var fe *FormatError
			if !errors.As(err, &fe) || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error %v, want a FormatError with %q", err, c.want)
			}
		})
	}
}

// TestRepeatedBatch: a footer that lists the same batch many times is refused, because reading it would take a multiple
// of the file's size in memory.
func TestRepeatedBatch(t *testing.T) {
	b := encode(t, example(2*BatchRows))
	fb := b[len(b)-10-int(binary.LittleEndian.Uint32(b[len(b)-10:])) : len(b)-10]
	at, n := newFlat(fb).root().vector(footerBatches, 24)
	if n != 2 {
		t.Fatalf("%d batches, want 2", n)
	}
	copy(fb[at+24:at+48], fb[at:at+24])
	if _, err := decode(b); err == nil || !strings.Contains(err.Error(), "inside another batch") {
		t.Errorf("error %v, want one that says that a batch is inside another", err)
	}
}

func TestExtensionMetadata(t *testing.T) {
	storage := arrow.FixedSizeListOf(6, arrow.PrimitiveTypes.Float32)
	for name, c := range map[string]struct {
		storage arrow.DataType
		meta    string
		want    string // part of the error; empty if the metadata is valid
	}{
		"canonical":            {storage, `{"shape":[2,3]}`, ""},
		"dimension names":      {storage, `{"shape":[2,3],"dim_names":["H","W"]}`, ""},
		"identity permutation": {storage, `{"shape":[2,3],"permutation":[0,1]}`, ""},
		"permutation":          {storage, `{"shape":[2,3],"permutation":[1,0]}`, "row-major"},
		"other product":        {storage, `{"shape":[2,2]}`, "lists of 6"},
		"overflowing product":  {storage, `{"shape":[4294967296,4294967296,6]}`, "lists of 6"},
		"negative":             {storage, `{"shape":[-2,-3]}`, "lists of 6"},
		"no shape":             {storage, `{}`, "lists of 6"},
		"no metadata":          {storage, ``, "metadata"},
		"other storage":        {arrow.PrimitiveTypes.Float32, `{"shape":[1]}`, "fixed-size list"},
	} {
		_, err := (&fixedShapeTensor{}).Deserialize(c.storage, c.meta)
		if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%s: error %v, want %q", name, err, c.want)
		}
	}
}

func FuzzDecode(f *testing.F) {
	f.Add(encode(f, example(3)))
	f.Add(encode(f, &Table{Rows: 1, Columns: []Column{{Name: "x", Data: []float32{1}}}}))
	f.Add([]byte("ARROW1\x00\x00\x00\x00\x00\x00ARROW1"))
	f.Fuzz(func(t *testing.T, b []byte) {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		table, err := decode(b)
		runtime.ReadMemStats(&after)
		if used := after.TotalAlloc - before.TotalAlloc; used > 4<<20+32*uint64(len(b)) {
			t.Fatalf("%d bytes allocated for a file of %d, want at most %d", used, len(b), 4<<20+32*len(b))
		}
		if err != nil {
			var fe *FormatError
			if !errors.As(err, &fe) {
				t.Fatalf("error %v, want a FormatError", err)
			}
			return
		}
		again, err := decode(encode(t, table)) // a table that was read can be written and read again
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(table, again, bitwise...); d != "" {
			t.Fatalf("(-read +written and read)\n%s", d)
		}
	})
}

// bitwise compares floating-point values by their bits, so that NaN equals itself.
var bitwise = []cmp.Option{
	cmp.Comparer(func(a, b float32) bool { return math.Float32bits(a) == math.Float32bits(b) }),
	cmp.Comparer(func(a, b float64) bool { return math.Float64bits(a) == math.Float64bits(b) }),
}
