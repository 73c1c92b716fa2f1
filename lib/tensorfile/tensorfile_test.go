package tensorfile

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// example returns a table with every element type, scalars and tensors, a range and metadata.
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

// TestNaNBits: values are copied as bits, so NaN payloads and negative zero survive.
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

// TestDeterministic pins the bytes. Artifacts are addressed by their digest, so another encoding of the same table
// would invalidate every cache. If the pinned digest has to change, raise the versions of all stages that write tensor
// files.
func TestDeterministic(t *testing.T) {
	const want = "777b09707d23e522d444ada83b4c8bd9765839a3eae683eeab17d6a2b8746bd8"
	for range 20 { // repeated because metadata passes through maps, whose order varies
		sum := sha256.Sum256(encode(t, example(2*BatchRows+3)))
		if got := hex.EncodeToString(sum[:]); got != want {
			t.Fatalf("digest %s, want %s", got, want)
		}
	}
}

func TestWriteRefuses(t *testing.T) {
	one := func(rows int, c Column) *Table { return &Table{Rows: rows, Columns: []Column{c}} }
	x := Column{Name: "x", Data: []uint8{1}}
	endless := x
	endless.Range = &[2]float64{0, math.Inf(1)}
	for name, c := range map[string]struct {
		table *Table
		want  string
	}{
		"no columns":      {&Table{Rows: 1}, "no columns"},
		"no name":         {one(1, Column{Data: []uint8{1}}), "no name"},
		"too few values":  {one(2, Column{Name: "x", Shape: []int{2}, Data: []float32{1, 2, 3}}), `column "x" has 3 values`},
		"too many values": {one(1, Column{Name: "x", Data: []float32{1, 2}}), `column "x" has 2 values`},
		"zero dimension":  {one(1, Column{Name: "x", Shape: []int{3, 0}, Data: []float32{}}), "shape [3 0]"},
		"huge shape":      {one(0, Column{Name: "x", Shape: []int{1 << 20, 1 << 20}, Data: []float32{}}), "below 2^31"},
		"other type":      {one(1, Column{Name: "x", Data: []int32{1}}), "holds int32"},
		"duplicate":       {&Table{Rows: 1, Columns: []Column{x, x}}, "appears twice"},
		"infinite range":  {one(1, endless), "not finite"},
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
	if _, err := Values[float32](c); err == nil || !strings.Contains(err.Error(), "int64, expected float32") {
		t.Errorf("error %v, want one that names both types", err)
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
