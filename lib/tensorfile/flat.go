package tensorfile

import (
	"encoding/binary"
	"fmt"
)

// malformed is the panic value that stops the verification at the first inconsistency; refuse turns it into an error.
type malformed string

func fail(format string, args ...any) { panic(malformed(fmt.Sprintf(format, args...))) }

// flat is a flatbuffer that is read with every offset checked. The parts of a flatbuffer may overlap, so a small buffer
// can describe an exponentially large tree. budget limits the bytes that are visited to a few times the size of the
// buffer.
type flat struct {
	b      []byte
	budget int
}

func newFlat(b []byte) *flat { return &flat{b: b, budget: 4*len(b) + 64} }

// span checks that the buffer contains n bytes at pos, and subtracts n from the budget.
func (f *flat) span(pos, n int) {
	if pos < 0 || n < 0 || pos > len(f.b) || n > len(f.b)-pos {
		fail("metadata points outside itself (bytes %d+%d of %d)", pos, n, len(f.b))
	}
	if f.budget -= n; f.budget < 0 {
		fail("metadata refers to its parts too often")
	}
}

func (f *flat) u16(pos int) int { f.span(pos, 2); return int(binary.LittleEndian.Uint16(f.b[pos:])) }

// follow reads the unsigned offset at pos and returns the position that it points to.
func (f *flat) follow(pos int) int {
	f.span(pos, 4)
	return pos + int(binary.LittleEndian.Uint32(f.b[pos:]))
}

func (f *flat) root() table { return f.table(f.follow(0)) }

// table is a flatbuffers table of size bytes at pos. Its table of field offsets is vtLen bytes long and begins at vt.
type table struct {
	f              *flat
	pos, vt, vtLen int
	size           int
}

func (f *flat) table(pos int) table {
	f.span(pos, 4)
	vt := pos - int(int32(binary.LittleEndian.Uint32(f.b[pos:])))
	t := table{f: f, pos: pos, vt: vt, vtLen: f.u16(vt), size: f.u16(vt + 2)}
	// An odd length is refused: the flatbuffers runtime would read a last field that this code treats as absent.
	if t.vtLen < 4 || t.vtLen%2 != 0 || vt+t.vtLen > len(f.b) {
		fail("metadata table at byte %d has no valid field list", pos)
	}
	f.span(pos, t.size)
	return t
}

// slot returns the position of field i, which has n bytes. ok is false if the field is absent.
func (t table) slot(i, n int) (int, bool) {
	if 4+2*i+2 > t.vtLen {
		return 0, false
	}
	off := t.f.u16(t.vt + 4 + 2*i)
	if off == 0 {
		return 0, false
	}
	if off+n > t.size {
		fail("metadata field %d lies outside its table", i)
	}
	return t.pos + off, true
}

// uint returns field i, an unsigned integer of n bytes. It returns 0 if the field is absent.
func (t table) uint(i, n int) uint64 {
	p, ok := t.slot(i, n)
	if !ok {
		return 0
	}
	var b [8]byte
	copy(b[:], t.f.b[p:p+n])
	return binary.LittleEndian.Uint64(b[:])
}

func (t table) table(i int) (table, bool) {
	p, ok := t.slot(i, 4)
	if !ok {
		return table{}, false
	}
	return t.f.table(t.f.follow(p)), true
}

// vector returns the position of the first element of vector field i and the number of elements. An element has stride
// bytes.
func (t table) vector(i, stride int) (pos, n int) {
	p, ok := t.slot(i, 4)
	if !ok {
		return 0, 0
	}
	v := t.f.follow(p)
	t.f.span(v, 4)
	n = int(binary.LittleEndian.Uint32(t.f.b[v:]))
	if n > len(t.f.b)/stride {
		fail("metadata list of %d elements in %d bytes", n, len(t.f.b))
	}
	t.f.span(v+4, n*stride)
	return v + 4, n
}

func (t table) tables(i int) []table {
	pos, n := t.vector(i, 4)
	out := make([]table, n)
	for k := range out {
		out[k] = t.f.table(t.f.follow(pos + 4*k))
	}
	return out
}

// pairs returns the elements of vector field i, each a struct of two 64-bit integers.
func (t table) pairs(i int) [][2]int64 {
	pos, n := t.vector(i, 16)
	out := make([][2]int64, n)
	for k := range out {
		b := t.f.b[pos+16*k:]
		out[k] = [2]int64{int64(binary.LittleEndian.Uint64(b)), int64(binary.LittleEndian.Uint64(b[8:]))}
	}
	return out
}

func (t table) string(i int) string {
	pos, n := t.vector(i, 1)
	return string(t.f.b[pos : pos+n])
}
