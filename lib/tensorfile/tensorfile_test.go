package tensorfile

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
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

// example is a table with every element type, scalars and tensors, a range and metadata.
func example(rows int) *Table {
	t := &Table{Rows: rows, Meta: map[string]string{"dataset": "example", "split": "train", "äöü": "\x00 any text"}}
	image := make([]uint8, rows*3*4*5)
	label, x, y := make([]int64, rows), make([]float32, rows*2), make([]float64, rows)
	rng := rand.New(rand.NewPCG(1, 2))
	for i := range image {
		image[i] = uint8(rng.Uint32())
	}
	for i := range rows {
		label[i] = int64(rng.Uint64())
		x[2*i], x[2*i+1] = rng.Float32(), float32(math.Inf(-1))
		y[i] = rng.NormFloat64()
	}
	t.Columns = []Column{
		{Name: "image", Shape: []int{3, 4, 5}, Data: image, Range: &[2]float64{0, 255}},
		{Name: "label", Data: label},
		{Name: "x", Shape: []int{2}, Data: x, Range: &[2]float64{-1, 1}},
		{Name: "y", Data: y},
	}
	return t
}

func encode(t testing.TB, table *Table) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := Write(&b, table); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func decode(b []byte) (*Table, error) { return Decode(bytes.NewReader(b), int64(len(b))) }

func TestRoundTrip(t *testing.T) {
	for _, rows := range []int{0, 1, 7, BatchRows - 1, BatchRows, BatchRows + 1, 3*BatchRows + 5} {
		want := example(rows)
		got, err := decode(encode(t, want))
		if err != nil {
			t.Fatalf("%d rows: %v", rows, err)
		}
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("%d rows: (-written +read)\n%s", rows, d)
		}
	}
}

// TestRoundTripRandom writes and reads tables of random columns and shapes.
func TestRoundTripRandom(t *testing.T) {
	for seed := range uint64(200) {
		rng := rand.New(rand.NewPCG(seed, 0))
		want := &Table{Rows: rng.IntN(40), Meta: map[string]string{}}
		for i := range rng.IntN(3) {
			want.Meta[fmt.Sprint("k", i)] = fmt.Sprint(rng.Uint64())
		}
		for i := range 1 + rng.IntN(5) {
			c := Column{Name: fmt.Sprint("c", i)}
			n := want.Rows
			for range rng.IntN(4) {
				d := 1 + rng.IntN(4)
				c.Shape = append(c.Shape, d)
				n *= d
			}
			switch rng.IntN(4) {
			case 0:
				d := make([]uint8, n)
				for i := range d {
					d[i] = uint8(rng.Uint32())
				}
				c.Data = d
			case 1:
				d := make([]int64, n)
				for i := range d {
					d[i] = int64(rng.Uint64())
				}
				c.Data = d
			case 2:
				d := make([]float32, n)
				for i := range d {
					d[i] = float32(rng.NormFloat64())
				}
				c.Data = d
			case 3:
				d := make([]float64, n)
				for i := range d {
					d[i] = rng.NormFloat64()
				}
				c.Data = d
			}
			want.Columns = append(want.Columns, c)
		}
		got, err := decode(encode(t, want))
		if err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		if d := cmp.Diff(want, got); d != "" {
			t.Fatalf("seed %d: (-written +read)\n%s", seed, d)
		}
	}
}

// TestNaNBits: values pass as bits, so NaN payloads and negative zero survive.
func TestNaNBits(t *testing.T) {
	bits := []uint32{0x7fc00001, 0xffffffff, 0x80000000, 0x7f800000}
	x := make([]float32, len(bits))
	for i, b := range bits {
		x[i] = math.Float32frombits(b)
	}
	got, err := decode(encode(t, &Table{Rows: len(x), Columns: []Column{{Name: "x", Data: x}}}))
	if err != nil {
		t.Fatal(err)
	}
	v, err := Values[float32](&got.Columns[0])
	if err != nil {
		t.Fatal(err)
	}
	for i := range v {
		if b := math.Float32bits(v[i]); b != bits[i] {
			t.Errorf("value %d has bits %#x, want %#x", i, b, bits[i])
		}
	}
}

// TestDeterministic pins the bytes: artifacts are addressed by their digest, so another encoding of the same table
// would break every cache. If this fails, the versions of all stages that write tensor files have to move.
func TestDeterministic(t *testing.T) {
	const want = "777b09707d23e522d444ada83b4c8bd9765839a3eae683eeab17d6a2b8746bd8"
	for range 20 { // metadata passes through maps
		sum := sha256.Sum256(encode(t, example(2*BatchRows+3)))
		if got := hex.EncodeToString(sum[:]); got != want {
			t.Fatalf("digest %s, want %s", got, want)
		}
	}
}

func TestWriteRefuses(t *testing.T) {
	for name, c := range map[string]struct {
		table *Table
		want  string
	}{
		"no columns":      {&Table{Rows: 1}, "no columns"},
		"no name":         {&Table{Rows: 1, Columns: []Column{{Data: []uint8{1}}}}, "no name"},
		"too few values":  {&Table{Rows: 2, Columns: []Column{{Name: "x", Shape: []int{2}, Data: []float32{1, 2, 3}}}}, `column "x" has 3 values`},
		"too many values": {&Table{Rows: 1, Columns: []Column{{Name: "x", Data: []float32{1, 2}}}}, `column "x" has 2 values`},
		"zero dimension":  {&Table{Rows: 1, Columns: []Column{{Name: "x", Shape: []int{3, 0}, Data: []float32{}}}}, "shape [3 0]"},
		"huge shape":      {&Table{Rows: 0, Columns: []Column{{Name: "x", Shape: []int{1 << 20, 1 << 20}, Data: []float32{}}}}, "below 2^31"},
		"other type":      {&Table{Rows: 1, Columns: []Column{{Name: "x", Data: []int32{1}}}}, "holds []int32"},
		"duplicate":       {&Table{Rows: 1, Columns: []Column{{Name: "x", Data: []uint8{1}}, {Name: "x", Data: []uint8{1}}}}, "appears twice"},
		"infinite range":  {&Table{Rows: 1, Columns: []Column{{Name: "x", Data: []uint8{1}, Range: &[2]float64{0, math.Inf(1)}}}}, "not finite"},
	} {
		t.Run(name, func(t *testing.T) {
			err := Write(io.Discard, c.table)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error %v, want one with %q", err, c.want)
			}
		})
	}
}

func TestWriteReportsWriterError(t *testing.T) {
	full := errors.New("no space left")
	b := encode(t, example(BatchRows+1))
	for _, room := range []int{0, 7, 100, 1000, len(b) / 2, len(b) - 1} {
		if err := Write(&limited{room: room, err: full}, example(BatchRows+1)); !errors.Is(err, full) {
			t.Errorf("room for %d bytes: error %v, want %v", room, err, full)
		}
	}
}

type limited struct {
	room int
	err  error
}

func (l *limited) Write(p []byte) (int, error) {
	if len(p) > l.room {
		return l.room, l.err
	}
	l.room -= len(p)
	return len(p), nil
}

func TestColumnAndValues(t *testing.T) {
	table := example(1)
	var missing *MissingColumnError
	if _, err := table.Column("nope"); !errors.As(err, &missing) || missing.Name != "nope" {
		t.Errorf("error %v, want a MissingColumnError", err)
	}
	c, err := table.Column("label")
	if err != nil {
		t.Fatal(err)
	}
	var typ *TypeError
	if _, err := Values[float32](c); !errors.As(err, &typ) || typ.Want != "float32" || typ.Got != "int64" {
		t.Errorf("error %v, want a TypeError", err)
	}
}

func TestReadNamesThePath(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.arrow")
	b := encode(t, example(5))
	if err := os.WriteFile(path, b[:len(b)-1], 0o644); err != nil {
		t.Fatal(err)
	}
	var fe *FormatError
	if _, err := Read(path); !errors.As(err, &fe) || fe.Path != path || !strings.Contains(err.Error(), "truncated") {
		t.Errorf("error %v, want a FormatError of %s that says truncated", err, path)
	}
	if _, err := Read(filepath.Dir(path)); !errors.As(err, &fe) {
		t.Errorf("a directory: error %v, want a FormatError", err)
	}
	if _, err := Read(path + ".none"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("error %v, want ErrNotExist", err)
	}
}

// TestTruncated cuts a file at every length: every cut is a FormatError, none a panic.
func TestTruncated(t *testing.T) {
	b := encode(t, example(30))
	var fe *FormatError
	for n := range len(b) {
		if _, err := decode(b[:n]); !errors.As(err, &fe) {
			t.Fatalf("cut at %d: error %v, want a FormatError", n, err)
		}
	}
}

// TestDamaged flips bytes of the metadata and asserts that decoding ends in a table or a FormatError, in bounded
// memory.
func TestDamaged(t *testing.T) {
	b := encode(t, example(30))
	var before, after runtime.MemStats
	rng := rand.New(rand.NewPCG(5, 5))
	for i := range 4000 {
		d := bytes.Clone(b)
		for range 1 + rng.IntN(3) {
			at := len(d) - 1 - rng.IntN(min(len(d), 1500)) // the footer
			if i%2 == 0 {
				at = rng.IntN(1500) // schema and batch header
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
			t.Fatalf("damage %d: %d bytes allocated for a file of %d", i, used, len(d))
		}
	}
}

// TestForeign reads and refuses files as other programs may write them.
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
	floats := func(b array.Builder) { b.(*array.Float32Builder).AppendValues([]float32{1, 2, 3}, nil) }

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
		want := &Table{Rows: 3, Columns: []Column{{Name: "v", Shape: []int{2}, Data: []float64{1, 2, 1, 2, 1, 2}}}, Meta: map[string]string{}}
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("(-want +got)\n%s", d)
		}
	})
	for name, c := range map[string]struct {
		b    []byte
		want string
	}{
		"int32":      {file(t, arrow.PrimitiveTypes.Int32, func(b array.Builder) { b.(*array.Int32Builder).Append(1) }), "other than uint8"},
		"text":       {file(t, arrow.BinaryTypes.String, func(b array.Builder) { b.(*array.StringBuilder).Append("a") }), "other than uint8"},
		"nulls":      {file(t, arrow.PrimitiveTypes.Float32, func(b array.Builder) { b.AppendNull() }), "1 nulls"},
		"compressed": {file(t, arrow.PrimitiveTypes.Float32, floats, ipc.WithZstd()), "compressed"},
		"dictionary": {file(t, &arrow.DictionaryType{IndexType: arrow.PrimitiveTypes.Int8, ValueType: arrow.PrimitiveTypes.Float32}, func(b array.Builder) {
			if err := b.(*array.Float32DictionaryBuilder).Append(1); err != nil {
				t.Fatal(err)
			}
		}), "dictionary"},
		"stream format": {func() []byte {
			var buf bytes.Buffer
			w := ipc.NewWriter(&buf, ipc.WithSchema(arrow.NewSchema([]arrow.Field{{Name: "v", Type: arrow.PrimitiveTypes.Float32}}, nil)))
			if err := w.Close(); err != nil {
				t.Fatal(err)
			}
			return buf.Bytes()
		}(), "does not begin"},
		"empty":     {nil, "too few"},
		"text file": {[]byte(strings.Repeat("not arrow\n", 100)), "does not begin"},
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

// TestRepeatedBatch: a footer that lists one batch many times would multiply a small file into much memory.
func TestRepeatedBatch(t *testing.T) {
	b := encode(t, example(2*BatchRows))
	fb := b[len(b)-10-int(binary.LittleEndian.Uint32(b[len(b)-10:])) : len(b)-10]
	at, n := newFlat(fb).root().vector(footerBatches, 24)
	if n != 2 {
		t.Fatalf("%d batches, want 2", n)
	}
	copy(fb[at+24:at+48], fb[at:at+24])
	if _, err := decode(b); err == nil || !strings.Contains(err.Error(), "inside another batch") {
		t.Errorf("error %v, want one that says the batches overlap", err)
	}
}

func TestExtensionMetadata(t *testing.T) {
	storage := arrow.FixedSizeListOf(6, arrow.PrimitiveTypes.Float32)
	for name, c := range map[string]struct {
		storage arrow.DataType
		meta    string
		want    string // in the error; empty for none
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
		_, err := (&FixedShapeTensor{}).Deserialize(c.storage, c.meta)
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
			t.Fatalf("%d bytes allocated for a file of %d", used, len(b))
		}
		if err != nil {
			var fe *FormatError
			if !errors.As(err, &fe) {
				t.Fatalf("error %v, want a FormatError", err)
			}
			return
		}
		again, err := decode(encode(t, table)) // what was read can be written and is the same
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
