package main

import (
	"fmt"
	"time"

	"vapo/lib/program"
)

// slowUpload is the size of a file, in bytes, from which on its upload is shown.
const slowUpload = 64 << 20

func (d *display) Uploading(path string, done, size int64) {
	if size < slowUpload {
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if done >= size {
		d.upload, d.printed = "", time.Time{}
		d.draw()
		return
	}
	d.upload = fmt.Sprintf("  uploading %s, %s of %s", program.ShortPath(path), program.Size(done), program.Size(size))
	if !d.tty && time.Since(d.printed) > printEvery {
		d.printed = time.Now()
		d.printf("%s\n", d.upload)
	}
}
