package dataset

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"hash"
	"io"
	"os"
	"path/filepath"
)

// hashed is an open file that hashes what is read from it.
type hashed struct {
	file *os.File
	sum  hash.Hash
	n    int64
}

func openHashed(path string) (*hashed, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	return &hashed{file: f, sum: sha256.New()}, nil
}

func (h *hashed) Read(p []byte) (int, error) {
	n, err := h.file.Read(p)
	h.sum.Write(p[:n])
	h.n += int64(n)
	return n, err
}

// finish reads the rest, closes the file and returns what it was.
func (h *hashed) finish() (File, error) {
	_, err := io.CopyBuffer(struct{ io.Writer }{io.Discard}, h, make([]byte, 1<<18))
	if err = errors.Join(err, h.file.Close()); err != nil {
		return File{}, err
	}
	return File{Name: filepath.Base(h.file.Name()), Bytes: h.n, SHA256: hex.EncodeToString(h.sum.Sum(nil))}, nil
}
