//go:build !unix

package dataloader

import "unsafe"

// allocate returns n > 0 zero bytes, aligned to 8 bytes.
func allocate(n int) ([]byte, error) {
	words := make([]uint64, (n+7)/8)
	return unsafe.Slice((*byte)(unsafe.Pointer(&words[0])), n), nil
}

func release([]byte) error { return nil }
