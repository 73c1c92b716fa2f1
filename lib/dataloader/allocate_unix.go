//go:build unix

package dataloader

import "syscall"

// allocate returns n > 0 zero bytes outside the garbage-collected heap, aligned to a page.
func allocate(n int) ([]byte, error) {
	return syscall.Mmap(-1, 0, n, syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_ANON|syscall.MAP_PRIVATE)
}

func release(b []byte) error { return syscall.Munmap(b) }
