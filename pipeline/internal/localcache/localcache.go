// Package localcache keeps values in local files that only save work, such as the answers of stage programs. These
// files never cause a failure: a file that is missing, damaged or of another version counts as empty, and write errors
// are ignored.
package localcache

import (
	"bytes"
	"crypto/sha256"
	"encoding/gob"
	"io"
	"os"
	"path/filepath"

	"vapo/lib/program"
)

// Load reads the value of a file into v, a pointer. If it fails, it leaves v unchanged.
func Load(path string, v any) {
	data, err := os.ReadFile(path)
	if err != nil || len(data) < sha256.Size {
		return
	}
	if body := data[sha256.Size:]; sha256.Sum256(body) == [sha256.Size]byte(data) {
		_ = gob.NewDecoder(bytes.NewReader(body)).Decode(v) // the checksum shows that the value was written completely
	}
}

// Save writes v to a file and creates its directory if necessary.
func Save(path string, v any) {
	var body bytes.Buffer
	if gob.NewEncoder(&body).Encode(v) != nil || os.MkdirAll(filepath.Dir(path), 0o700) != nil {
		return
	}
	sum := sha256.Sum256(body.Bytes())
	_ = program.WriteFile(path, func(w io.Writer) error {
		_, err := io.Copy(w, io.MultiReader(bytes.NewReader(sum[:]), &body))
		return err
	})
}
