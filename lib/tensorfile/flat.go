package tensorfile

import (
	"encoding/binary"
	"fmt"
)

// malformed is the panic by which the walk below ends at the first inconsistency; verify recovers it.
type malformed string

func fail(format string, args ...any) { panic(malformed(fmt.Sprintf(format, args...))) }

// flat is a flatbuffer read with every offset checked. Flatbuffers may share parts, so a small buffer can describe an
// exponentially large tree; left counts what has been visited, and the walk ends when that is several times the
// buffer.
type flat struct {
	b    []byte
	left int
}

func newFlat(b []byte) *flat { return &flat{b: b, left: 4*len(b) + 64} }

// span checks that n bytes lie at pos and charges the budget for them.
func (f *flat) span(pos, n int) {
	if pos < 0 || n < 0 || pos > len(f.b) || n > len(f.b)-pos {
		fail("metadata points outside itself (bytes %d+%d of %d)", pos, n, len(f.b))
	}
	if f.left -= n; f.left < 0 {
		fail("metadata refers to its parts too often")
	}
}

func (f *flat) u16(pos int) int { f.span(pos, 2); return int(binary.LittleEndian.Uint16(f.b[pos:])) }

// follow returns the position that the unsigned offset at pos points to.
func (f *flat) follow(pos int) int {
	f.span(pos, 4)
	return pos + int(binary.LittleEndian.Uint32(f.b[pos:]))
}

func (f *flat) root() table { return f.table(f.follow(0)) }

// table is a flatbuffers table: pos is its position, vt and vtLen its table of field offsets, size its own bytes.
type table struct {
	f              *flat
	pos, vt, vtLen int
	size           int
}

func (f *flat) table(pos int) table {
	f.span(pos, 4)
	vt := pos - int(int32(binary.LittleEndian.Uint32(f.b[pos:])))
	t := table{f: f, pos: pos, vt: vt, vtLen: f.u16(vt), size: f.u16(vt + 2)}
	// An odd length is refused: the flatbuffers runtime would read a last field that this walk takes for absent.
	if t.vtLen < 4 || t.vtLen%2 != 0 || vt+t.vtLen > len(f.b) {
		fail("metadata table at byte %d has no sound field list", pos)
	}
	f.span(pos, t.size)
	return t
}

// slot returns the position of field i of n bytes, or ok=false where the field is absent.
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

func (t table) uint8(i int) uint8 {
	if p, ok := t.slot(i, 1); ok {
		return t.f.b[p]
	}
	return 0
}

func (t table) uint16(i int) uint16 {
	if p, ok := t.slot(i, 2); ok {
		return binary.LittleEndian.Uint16(t.f.b[p:])
	}
	return 0
}

func (t table) uint32(i int) uint32 {
	if p, ok := t.slot(i, 4); ok {
		return binary.LittleEndian.Uint32(t.f.b[p:])
	}
	return 0
}

func (t table) uint64(i int) uint64 {
	if p, ok := t.slot(i, 8); ok {
		return binary.LittleEndian.Uint64(t.f.b[p:])
	}
	return 0
}

func (t table) table(i int) (table, bool) {
	p, ok := t.slot(i, 4)
	if !ok {
		return table{}, false
	}
	return t.f.table(t.f.follow(p)), true
}

// vector returns the position of the first element and the number of elements of stride bytes of vector field i.
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

func (t table) string(i int) string {
	pos, n := t.vector(i, 1)
	return string(t.f.b[pos : pos+n])
}
