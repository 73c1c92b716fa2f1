package safetensors

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"io"
	"maps"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
)

func golden(t testing.TB) []byte {
	t.Helper()
	raw, err := os.ReadFile("testdata/golden.safetensors")
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

// TestGolden reads the tensors that testdata/golden.py wrote: tensors of seven element types, one of which is a scalar
// and one empty.
func TestGolden(t *testing.T) {
	f, err := Open("testdata/golden.safetensors")
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"bf16", "empty", "f16", "f64", "i64", "scalar", "u64", "u8", "z.f32"}
	if !slices.Equal(f.Names(), want) {
		t.Errorf("tensors %v, want %v", f.Names(), want)
	}
	inf, negativeZero := float32(math.Inf(1)), float32(math.Copysign(0, -1))
	for _, c := range []struct {
		name  string
		shape []int
		want  []float32
	}{
		{"z.f32", []int{2, 3}, []float32{0, 1. / 7, 2. / 7, 3. / 7, 4. / 7, 5. / 7}},
		{"bf16", []int{4}, []float32{1, -2, 143, 0}},
		{"f64", []int{3}, []float32{0.1, -2, inf}},
		{"f16", []int{7}, []float32{1, -0.5, 65504, 5.9604645e-08, inf, 0.00010001659393310547, negativeZero}},
		{"scalar", nil, []float32{2.5}},
		{"empty", []int{0, 3}, nil},
		{"i64", []int{2}, []float32{-3, 1 << 40}},
		{"u8", []int{3}, []float32{0, 1, 255}},
		{"u64", []int{1}, []float32{5}},
	} {
		got, shape, ok, err := f.Tensor(c.name)
		same := func(a, b float32) bool { return math.Float32bits(a) == math.Float32bits(b) }
		if err != nil || !ok || !slices.Equal(shape, c.shape) || !slices.EqualFunc(got, c.want, same) {
			t.Errorf("%s is %v %v (found %v, error %v), want %v %v", c.name, got, shape, ok, err, c.want, c.shape)
		}
	}
	if _, _, ok, err := f.Tensor("__metadata__"); ok || err != nil {
		t.Errorf("the metadata as a tensor: found %v, error %v, want neither", ok, err)
	}
	if !IsFile("testdata/golden.safetensors") || IsFile("testdata/golden.py") || IsFile("testdata") {
		t.Error("IsFile takes golden.py or a folder for a file of tensors, or does not recognise golden.safetensors")
	}
}

func sample() []Tensor {
	return []Tensor{
		{"z", []int{2, 3}, []float32{1, 2, 3, 4, 5, float32(math.Inf(-1))}},
		{"a.weight", []int{1}, []float32{0.1}},
		{"scalar", nil, []float32{2.5}},
		{"<none>", []int{0, 3}, nil},
	}
}

func TestWriteAndRead(t *testing.T) {
	var a, b bytes.Buffer
	tensors := sample()
	if err := Write(&a, tensors, nil); err != nil {
		t.Fatal(err)
	}
	slices.Reverse(tensors)
	if err := Write(&b, tensors, nil); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(a.Bytes(), b.Bytes()) {
		t.Error("the order in which tensors are given changes the file")
	}
	sum := sha256.Sum256(a.Bytes())
	const want = "c45cd90838f98efd5b931eb60decd6cff62e35e0740ccda06852bfa779e99eab"
	if got := hex.EncodeToString(sum[:]); got != want {
		t.Errorf("the file has digest %s, want %s", got, want)
	}
	path := filepath.Join(t.TempDir(), "w.safetensors")
	if err := os.WriteFile(path, a.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
	f, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	if !IsFile(path) || len(f.Names()) != len(tensors) {
		t.Errorf("IsFile is %v, tensors %v, want true and %d tensors", IsFile(path), f.Names(), len(tensors))
	}
	for _, want := range tensors {
		got, shape, ok, err := f.Tensor(want.Name)
		if !ok || err != nil || !slices.Equal(got, want.Data) || !slices.Equal(shape, want.Shape) {
			t.Errorf("%s is %v %v (found %v, error %v), want %+v", want.Name, got, shape, ok, err, want)
		}
	}
}

func TestWriteRefuses(t *testing.T) {
	for want, tensors := range map[string][]Tensor{
		"two tensors":  {{"a", nil, []float32{1}}, {"a", nil, []float32{2}}},
		"expected 4":   {{"a", []int{2, 2}, []float32{1}}},
		"named":        {{"", nil, []float32{1}}},
		"__metadata__": {{"__metadata__", nil, []float32{1}}},
		"shape [-1]":   {{"a", []int{-1}, nil}},
		"shape [1099":  {{"a", []int{1 << 40, 1 << 40}, nil}},
	} {
		if err := Write(io.Discard, tensors, nil); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want one with %q", err, want)
		}
	}
}

func file(header string, data int) []byte {
	return append(append(binary.LittleEndian.AppendUint64(nil, uint64(len(header))), header...), make([]byte, data)...)
}

// TestHostileFiles: a damaged file gives an error, and reading it allocates at most 100 times the size of the largest
// allowed header.
func TestHostileFiles(t *testing.T) {
	one := func(shape, offsets string) string {
		return `{"a":{"dtype":"F32","shape":` + shape + `,"data_offsets":` + offsets + `}}`
	}
	for _, c := range []struct {
		name, want string
		data       []byte
	}{
		{"an empty file", "shorter", nil},
		{"a header of 2^63", "a header of", append(bytes.Repeat([]byte{0xff}, 8), '{')},
		{"a truncated header", "truncated", file("{}", 0)[:9]},
		{"not JSON", "not a readable safetensors file", file("PK\x03\x04", 0)},
		{"no tensors", "without tensors", file("{}", 0)},
		{"a truncated tensor", "truncated", file(one("[2]", "[0,8]"), 7)},
		{"a shape of another size", "expected 12", file(one("[3]", "[0,8]"), 8)},
		{"2^80 elements", "too large", file(one("[1099511627776,1099511627776]", "[0,8]"), 8)},
		{"no elements, and 2^64-1", "too large", file(one("[18446744073709551615,0]", "[0,0]"), 0)},
		{"a negative dimension", "not a readable safetensors file", file(one("[-2]", "[0,8]"), 8)},
		{"a fractional dimension", "not a readable safetensors file", file(one("[2.5]", "[0,8]"), 8)},
		{"offsets backwards", "offset", file(one("[2]", "[8,0]"), 8)},
		{"a gap", "offset", file(one("[1]", "[4,8]"), 8)},
		{"tensors that overlap", "offset", file(`{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},`+
			`"b":{"dtype":"F32","shape":[2],"data_offsets":[4,12]}}`, 12)},
		{"an unknown type beyond the file", "truncated", file(`{"a":{"dtype":"F4","shape":[2],"data_offsets":[0,1]}}`, 0)},
		{"a key missing", "expected dtype", file(`{"a":{"dtype":"F32","shape":[2]}}`, 8)},
		{"a key too many", "unknown field", file(`{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8],"x":1}}`, 8)},
		{"three offsets", "expected dtype", file(one("[2]", "[0,8,8]"), 8)},
		{"null", "expected dtype", file(`{"a":null}`, 8)},
		{"a large shape", "truncated", file(one("["+strings.Repeat("1,", maxHeader/2-100)+"1]", "[0,4]"), 0)},
		{"nested", "not a readable safetensors file", file(`{"a":`+strings.Repeat("[", maxHeader-100), 0)},
	} {
		before := allocated()
		_, err := parse(c.data)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: error %v, want one with %q", c.name, err, c.want)
		}
		if err != nil && len(err.Error()) > 1000 {
			t.Errorf("%s: an error message of %d bytes, want at most 1000", c.name, len(err.Error()))
		}
		if grown := allocated() - before; grown > 100*maxHeader {
			t.Errorf("%s allocated %d MiB, want at most %d", c.name, grown>>20, 100*maxHeader>>20)
		}
	}
}

// TestOtherTypes: a tensor of an unsupported type, and bytes after the last tensor, do not affect other tensors.
func TestOtherTypes(t *testing.T) {
	f, err := parse(file(`{"__metadata__":{"format":"pt","step":3},`+
		`"a":{"dtype":"F8_E4M3","shape":[2,2],"data_offsets":[0,4]},`+
		`"b":{"dtype":"F4","shape":[3],"data_offsets":[4,6]},"c":{"dtype":"I8","shape":[2],"data_offsets":[6,8]}}`, 24))
	if err != nil {
		t.Fatal(err)
	}
	if !maps.Equal(f.Metadata(), map[string]string{"format": "pt"}) {
		t.Errorf("metadata %v, want format pt alone", f.Metadata())
	}
	if !slices.Equal(f.Names(), []string{"a", "b", "c"}) || f.Trailing() != 16 {
		t.Errorf("tensors %v with %d bytes after them, want a, b and c with 16", f.Names(), f.Trailing())
	}
	const unsupported = " are not supported"
	for name, want := range map[string]string{"a": "F8_E4M3" + unsupported, "b": "F4" + unsupported} {
		if _, _, ok, err := f.Tensor(name); !ok || err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: found %v, error %v, want it found with an error that contains %q", name, ok, err, want)
		}
	}
	if v, _, ok, err := f.Tensor("c"); !ok || err != nil || len(v) != 2 {
		t.Errorf("c is %v (found %v, error %v), want two values", v, ok, err)
	}
}

// allocated returns the total number of bytes allocated so far, including freed memory.
func allocated() uint64 {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.TotalAlloc
}

// FuzzParse: any input gives an error, or tensors whose lengths match their shapes and do not exceed the file.
func FuzzParse(f *testing.F) {
	f.Add(golden(f))
	var b bytes.Buffer
	if err := Write(&b, sample(), nil); err != nil {
		f.Fatal(err)
	}
	f.Add(b.Bytes())
	f.Add(file(`{"a":{"dtype":"U8","shape":[2],"data_offsets":[0,2]}}`, 2))
	f.Add(file(`{"a":{"dtype":"F8_E4M3","shape":[2],"data_offsets":[0,2]}}`, 7))
	f.Fuzz(func(t *testing.T, data []byte) {
		s, err := parse(data)
		if err != nil {
			return
		}
		for _, name := range s.Names() {
			v, shape, ok, err := s.Tensor(name)
			if err != nil {
				continue
			}
			n := 1
			for _, d := range shape {
				n *= d
			}
			if !ok || n != len(v) || len(v) > len(data) {
				t.Errorf("tensor %q of shape %v (found %v) has %d elements in a file of %d bytes, want %d",
					name, shape, ok, len(v), len(data), n)
			}
		}
	})
}

// TestMetadata: metadata survives a round trip, and writing it twice gives the same bytes.
func TestMetadata(t *testing.T) {
	tensors := []Tensor{{Name: "b", Shape: []int{2}, Data: []float32{1, 2}}, {Name: "a", Data: []float32{3}}}
	meta := map[string]string{"config": `{"kind":"mlp"}`, "step": "12", "é": "<&>"}
	var first bytes.Buffer
	for range 20 {
		var b bytes.Buffer
		if err := Write(&b, tensors, meta); err != nil {
			t.Fatal(err)
		}
		if first.Len() == 0 {
			first = b
		} else if !bytes.Equal(first.Bytes(), b.Bytes()) {
			t.Fatal("the same tensors gave different bytes")
		}
	}
	f, err := parse(first.Bytes())
	if err != nil {
		t.Fatal(err)
	}
	if got := f.Metadata(); !maps.Equal(got, meta) {
		t.Errorf("metadata came back as %v, want %v", got, meta)
	}
	if got := f.Names(); !slices.Equal(got, []string{"a", "b"}) {
		t.Errorf("tensors are %v, want a and b", got)
	}
	var plain bytes.Buffer
	if err := Write(&plain, tensors, nil); err != nil {
		t.Fatal(err)
	}
	if f, err = parse(plain.Bytes()); err != nil || len(f.Metadata()) > 0 {
		t.Errorf("a file without metadata is read with %v (%v)", f.Metadata(), err)
	}
}
