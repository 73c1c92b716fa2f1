package server

import (
	"bytes"
	"os"
	"path/filepath"
	"time"

	"vapo/lib/objectstore/embedded"

	"github.com/versity/versitygw/backend/posix"
)

const (
	maxLog = 1 << 20 // bytes of the log that are kept
	// staleUpload is the age at which parts of an upload are useless. Younger parts are kept, because an upload continues
	// after the gateway is restarted. Temporary files of keys are removed at the same age.
	staleUpload = 24 * time.Hour
)

// clean removes what killed gateways have left behind. Only the gateway that holds the lock may do this. Failures do
// not matter, since leftovers only take up space.
func clean(l embedded.Layout) {
	temporary, _ := filepath.Glob(filepath.Join(l.Data(), embedded.Bucket, posix.MetaTmpDir, "*"))
	for _, path := range temporary {
		if path != filepath.Join(l.Data(), embedded.Bucket, posix.MetaTmpMultipartDir) {
			os.RemoveAll(path)
		}
	}
	old, _ := filepath.Glob(filepath.Join(l.Data(), embedded.Bucket, posix.MetaTmpMultipartDir, "*", "*"))
	keys, _ := filepath.Glob(filepath.Join(l.Base, ".new-*"))
	for _, path := range append(old, keys...) {
		if fi, err := os.Lstat(path); err == nil && time.Since(fi.ModTime()) > staleUpload {
			os.RemoveAll(path)
			os.Remove(filepath.Dir(path)) // fails if the directory contains other uploads
		}
	}
	trimLog(l)
}

// trimLog keeps only the end of a long log. It keeps the file, because this process already has it open for appending.
func trimLog(l embedded.Layout) {
	if fi, err := os.Lstat(l.Log()); err != nil || !fi.Mode().IsRegular() || fi.Size() <= maxLog {
		return
	}
	data, err := os.ReadFile(l.Log())
	if err != nil || len(data) <= maxLog {
		return
	}
	data = data[len(data)-maxLog:]
	_, data, _ = bytes.Cut(data, []byte("\n")) // the first line is incomplete
	_ = os.WriteFile(l.Log(), data, 0o600)
}
