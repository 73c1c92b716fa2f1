package npz

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"vapo/lib/failure"
)

// Header describes the elements and the layout of an array.
type Header struct {
	Dtype   string // as NumPy writes it: "<f4", "|u1"
	Shape   []int  // empty for a scalar
	Fortran bool   // stored in column-major order; Read returns row-major order anyway

	kind  kind
	count int64 // number of elements
}

// Float reports whether the elements are floating-point numbers.
func (h *Header) Float() bool { return h.kind.letter == 'f' }

// Boolean reports whether the elements are booleans.
func (h *Header) Boolean() bool { return h.kind.letter == 'b' }

// kind is an element type.
type kind struct {
	letter byte  // u, i, f or b
	size   int64 // bytes
	order  binary.ByteOrder
}

// maxHeader is the largest length of a header in bytes. NumPy's own reader also stops at 10,000 characters.
const maxHeader = 10000

var errCut = failure.New(failure.Input, cutHint, "it is truncated")

const cutHint = "get a complete copy of the file"

// readHeader reads the header of a .npy file and returns it with its length in bytes. It accepts versions 1 to 3 (NumPy
// Enhancement Proposal 1; for version 3, numpy.lib.format).
func readHeader(r io.Reader) (*Header, int64, error) {
	head := make([]byte, 12)
	if _, err := io.ReadFull(r, head[:10]); err != nil {
		return nil, 0, cut(err)
	}
	if string(head[:6]) != magicNPY {
		return nil, 0, errors.New("it does not begin like a NumPy array")
	}
	length, n := int64(binary.LittleEndian.Uint16(head[8:])), int64(10)
	switch head[6] {
	case 1:
	case 2, 3:
		if _, err := io.ReadFull(r, head[10:]); err != nil {
			return nil, 0, cut(err)
		}
		length, n = int64(binary.LittleEndian.Uint32(head[8:])), 12
	default:
		return nil, 0, fmt.Errorf("format version %d, expected 1 to 3", head[6])
	}
	if length > maxHeader {
		return nil, 0, fmt.Errorf("a header of %d bytes; at most %d are read", length, maxHeader)
	}
	text := make([]byte, length)
	if _, err := io.ReadFull(r, text); err != nil {
		return nil, 0, cut(err)
	}
	h, err := parseHeader(string(text))
	if err != nil {
		return nil, 0, fmt.Errorf("header %.120q: %w", strings.TrimSpace(string(text)), err)
	}
	return h, n + length, nil
}

// cut replaces an end-of-file error with errCut.
func cut(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return errCut
	}
	return err
}

// literal parses the Python literals that make up a header.
type literal struct{ rest string }

func (p *literal) token(s string) bool {
	p.rest = strings.TrimLeft(p.rest, " \t\r\n")
	after, ok := strings.CutPrefix(p.rest, s)
	if ok {
		p.rest = after
	}
	return ok
}

// text reads a quoted string without escapes.
func (p *literal) text() (string, bool) {
	for _, q := range []string{"'", `"`} {
		if p.token(q) {
			s, after, ok := strings.Cut(p.rest, q)
			p.rest = after
			return s, ok && !strings.Contains(s, `\`)
		}
	}
	return "", false
}

// number parses a natural number. Python 2 wrote a trailing L.
func (p *literal) number() (int, bool) {
	p.token("")
	digits := p.rest[:len(p.rest)-len(strings.TrimLeft(p.rest, "0123456789"))]
	p.rest = strings.TrimPrefix(p.rest[len(digits):], "L")
	v, err := strconv.Atoi(digits)
	return v, err == nil
}

// tuple parses natural numbers in parentheses.
func (p *literal) tuple() ([]int, bool) {
	if !p.token("(") {
		return nil, false
	}
	list := []int{}
	for !p.token(")") {
		v, ok := p.number()
		if !ok || len(list) == 64 { // 64 is NumPy's limit
			return nil, false
		}
		list = append(list, v)
		if !p.token(",") && !strings.HasPrefix(strings.TrimLeft(p.rest, " "), ")") {
			return nil, false
		}
	}
	return list, true
}

func parseHeader(text string) (*Header, error) {
	p, h := &literal{text}, &Header{}
	malformed := errors.New("expected a dictionary with the keys descr, fortran_order and shape")
	if !p.token("{") {
		return nil, malformed
	}
	var seen []string
	for !p.token("}") {
		key, ok := p.text()
		if !ok || slices.Contains(seen, key) || !p.token(":") {
			return nil, malformed
		}
		seen = append(seen, key)
		switch key {
		case "descr":
			if p.token("[") {
				return nil, failure.New(failure.Input, "save each field as an array of its own", "elements are records with fields")
			}
			h.Dtype, ok = p.text()
		case "fortran_order":
			h.Fortran = p.token("True")
			ok = h.Fortran || p.token("False")
		case "shape":
			h.Shape, ok = p.tuple()
		default:
			ok = false
		}
		if !ok || !p.token(",") && !strings.HasPrefix(strings.TrimLeft(p.rest, " "), "}") {
			return nil, malformed
		}
	}
	if p.token(""); p.rest != "" || len(seen) != 3 {
		return nil, malformed
	}
	var err error
	if h.kind, err = parseKind(h.Dtype); err != nil {
		return nil, err
	}
	h.count = 1
	if slices.Contains(h.Shape, 0) {
		h.count = 0
	}
	for _, d := range h.Shape {
		if h.count > 0 && h.count > maxFile/int64(d) {
			return nil, fmt.Errorf("more than %d elements", int64(maxFile))
		}
		h.count *= int64(d)
	}
	return h, nil
}

func parseKind(dtype string) (kind, error) {
	if len(dtype) >= 2 && strings.Contains(dtype, "O") {
		return kind{}, failure.New(failure.Input, "save an array of numbers, such as array.astype('float32')",
			"elements are Python objects, which are never loaded")
	}
	k := kind{order: binary.LittleEndian}
	if len(dtype) == 3 {
		switch dtype[0] {
		case '<', '|', '=':
		case '>':
			k.order = binary.BigEndian
		default:
			dtype = ""
		}
	}
	known := []string{"b1", "u1", "u2", "u4", "u8", "i1", "i2", "i4", "i8", "f2", "f4", "f8"}
	if len(dtype) == 3 && slices.Contains(known, dtype[1:]) {
		k.letter, k.size = dtype[1], int64(dtype[2]-'0')
		return k, nil
	}
	return kind{}, failure.New(failure.Input, "save array.astype('uint8') for images, otherwise array.astype('float32')",
		"unsupported element type: expected integers, booleans or float16, float32 or float64")
}

// formatHeader returns a version 1 header. It is padded so that the data begins at a multiple of 64 bytes.
func formatHeader(dtype string, shape []int) ([]byte, error) {
	dims := make([]string, len(shape))
	for i, d := range shape {
		dims[i] = strconv.Itoa(d)
	}
	tuple := strings.Join(dims, ", ")
	if len(shape) == 1 {
		tuple += ","
	}
	text := fmt.Sprintf("{'descr': '%s', 'fortran_order': False, 'shape': (%s), }", dtype, tuple)
	text += strings.Repeat(" ", (64-(10+len(text)+1)%64)%64) + "\n"
	if len(text) > maxHeader {
		return nil, fmt.Errorf("shape %v is too long for a header", shape)
	}
	head := binary.LittleEndian.AppendUint16([]byte(magicNPY+"\x01\x00"), uint16(len(text)))
	return append(head, text...), nil
}
