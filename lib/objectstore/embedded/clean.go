package embedded

import (
	"bytes"
	"os"
	"path/filepath"
	"time"

	"github.com/versity/versitygw/backend/posix"
)

const (
	maxLog = 1 << 20 // bytes of the log that are kept
	// staleUpload is the age at which parts of an upload are useless. Younger ones are kept, because an upload continues
	// when the gateway is started again.
	staleUpload = 24 * time.Hour
)

// clean removes what killed gateways have left behind. Only the gateway that holds the lock may do this. Failures do
// not matter, since a leftover only takes space.
func (l layout) clean() {
	temporary, _ := filepath.Glob(filepath.Join(l.data(), bucket, posix.MetaTmpDir, "*"))
	for _, path := range temporary {
		if path != filepath.Join(l.data(), bucket, posix.MetaTmpMultipartDir) {
			os.RemoveAll(path)
		}
	}
	old, _ := filepath.Glob(filepath.Join(l.data(), bucket, posix.MetaTmpMultipartDir, "*", "*"))
	keys, _ := filepath.Glob(filepath.Join(l.base, ".new-*"))
	for _, path := range append(old, keys...) {
		if fi, err := os.Lstat(path); err == nil && time.Since(fi.ModTime()) > staleUpload {
			os.RemoveAll(path)
			os.Remove(filepath.Dir(path)) // fails if the directory contains other uploads
		}
	}
	l.trimLog()
}

// trimLog keeps only the end of a long log. It keeps the file, because this process already has it open for appending.
func (l layout) trimLog() {
	if fi, err := os.Lstat(l.log()); err != nil || !fi.Mode().IsRegular() || fi.Size() <= maxLog {
		return
	}
	data, err := os.ReadFile(l.log())
	if err != nil || len(data) <= maxLog {
		return
	}
	data = data[len(data)-maxLog:]
	_, data, _ = bytes.Cut(data, []byte("\n")) // the first line is incomplete
	_ = os.WriteFile(l.log(), data, 0o600)
}
