package source

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"
)

// idxUint8 is the type byte of unsigned 8-bit data, the only type that the MNIST family uses.
const idxUint8 = 0x08

const idxHint = "give files in the idx format of MNIST, with 8-bit images [N, H, W] and one label for each"

// maxDecoded bounds the uncompressed size of one file; the largest published one is 184 MB.
const maxDecoded = 1 << 30

// decodeIDX reads an idx file of unsigned bytes: a magic number 00 00 08 RANK, RANK big-endian uint32 sizes, and the
// data, row-major. The data must have exactly the claimed size. Memory grows with the bytes read, not with the claimed
// size. path is the path of the file, for errors.
func decodeIDX(path string, r io.Reader) (sizes []int, data []uint8, err error) {
	var head [4]byte
	if err := readHeader(path, r, head[:]); err != nil {
		return nil, nil, err
	}
	rank := int(head[3])
	if head[0] != 0 || head[1] != 0 || head[2] != idxUint8 || rank < 1 || rank > 4 {
		return nil, nil, fileError(idxHint, path, "magic number", "00000801 to 00000804 (idx of unsigned bytes)",
			"%08x", binary.BigEndian.Uint32(head[:]))
	}
	n := 1
	for range rank {
		var b [4]byte
		if err := readHeader(path, r, b[:]); err != nil {
			return nil, nil, err
		}
		size := int(binary.BigEndian.Uint32(b[:]))
		if size != 0 && n > maxDecoded/size {
			return nil, nil, fileError(idxHint, path, "sizes", fmt.Sprintf("at most %d bytes of data", maxDecoded),
				"%v times %d", sizes, size)
		}
		n *= size
		sizes = append(sizes, size)
	}
	data, err = readExactly(path, r, n)
	return sizes, data, err
}

func readHeader(path string, r io.Reader, b []byte) error {
	n, err := io.ReadFull(r, b)
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return truncatedError(path, "header", fmt.Sprintf("%d more bytes", len(b)), "%d", n)
	}
	return err
}

// readExactly reads n bytes and checks that nothing follows. The buffer grows with the bytes that arrive.
func readExactly(path string, r io.Reader, n int) ([]byte, error) {
	const first = 64 << 20
	var b bytes.Buffer
	b.Grow(min(n, first) + 1)
	got, err := b.ReadFrom(io.LimitReader(r, int64(n)+1))
	switch {
	case got < int64(n) && (err == nil || errors.Is(err, io.ErrUnexpectedEOF)):
		return nil, truncatedError(path, "data", fmt.Sprintf("%d bytes", n), "%d", got)
	case err != nil:
		return nil, err
	case got > int64(n):
		return nil, fileError(idxHint, path, "data", fmt.Sprintf("%d bytes", n), "more")
	}
	return slices.Clip(b.Bytes()), nil
}

func widenLabels(path string, raw []uint8, classes int) ([]int64, error) {
	labels := make([]int64, len(raw))
	for i, l := range raw {
		if int(l) >= classes {
			return nil, fileError("check that the labels are those of this source", path,
				fmt.Sprintf("label of record %d", i), fmt.Sprintf("0..%d", classes-1), "%d", l)
		}
		labels[i] = int64(l)
	}
	return labels, nil
}
