package torchfile

import (
	"bytes"
	"encoding/binary"
	"fmt"
)

// operands gives the number of operand bytes of each opcode of the protocols 2 to 5 that a pickle in a file can need,
// or one of the constants below. Other opcodes are refused. Operands longer than the pickle are refused too, because
// the unpickler allocates the memory that a length claims before it reads the bytes.
var operands = map[byte]int{
	'\x80': 1,                                                               // PROTO
	'(':    0, '.': 0, 'N': 0, '\x88': 0, '\x89': 0, '0': 0, '1': 0, '2': 0, // MARK, STOP, constants, POP, POP_MARK, DUP
	'}': 0, 'd': 0, 's': 0, 'u': 0, // dictionaries
	']': 0, 'l': 0, 'a': 0, 'e': 0, // lists
	'\x8f': 0, '\x90': 0, '\x91': 0, // sets
	')': 0, 't': 0, '\x85': 0, '\x86': 0, '\x87': 0, // tuples
	'R': 0, 'b': 0, 'Q': 0, '\x81': 0, '\x92': 0, // REDUCE, BUILD, BINPERSID, NEWOBJ, NEWOBJ_EX
	'q': 1, 'r': 4, 'h': 1, 'j': 4, '\x94': 0, // memo
	'K': 1, 'M': 2, 'J': 4, 'G': 8, '\x8a': length1, // numbers
	'U': length1, 'T': length4, 'X': length4, '\x8c': length1, '\x8d': length8, // strings
	'C': length1, 'B': length4, '\x8e': length8, '\x96': length8, // bytes
	'c': twoLines, '\x93': 0, // GLOBAL, STACK_GLOBAL
	'\x95': frame,
}

const (
	length1  = -1 // one byte with a length, followed by that many bytes
	length4  = -4 // four bytes with a length, followed by that many bytes
	length8  = -8 // eight bytes with a length, followed by that many bytes
	twoLines = -2 // two lines of text, each ended by a line feed
	frame    = -3 // eight bytes with the length of the opcodes that follow
)

// scan checks the opcodes of the pickle at the beginning of data, and returns the pickle's length.
func scan(data []byte) (int, error) {
	for at := 0; at < len(data); {
		op := data[at]
		n, ok := operands[op]
		if !ok {
			return 0, fmt.Errorf("opcode %#x at byte %d is not one that a pickle of tensors or arrays needs", op, at)
		}
		rest := data[at+1:]
		switch {
		case n == length1 && len(rest) >= 1:
			n = 1 + int(rest[0])
		case n == length4 && len(rest) >= 4:
			n = 4 + int(binary.LittleEndian.Uint32(rest))
		case n == length8 || n == frame:
			if len(rest) < 8 || binary.LittleEndian.Uint64(rest) > uint64(len(rest)-8) {
				return 0, errCut
			}
			if n = 8; operands[op] == length8 {
				n += int(binary.LittleEndian.Uint64(rest))
			}
		case n == twoLines:
			lines := bytes.SplitN(rest, []byte("\n"), 3)
			if len(lines) < 3 {
				return 0, errCut
			}
			n = len(lines[0]) + len(lines[1]) + 2
		}
		if n < 0 || n > len(rest) {
			return 0, errCut
		}
		if at += 1 + n; op == '.' {
			return at, nil
		}
	}
	return 0, errCut
}
