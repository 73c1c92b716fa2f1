//go:build unix

package catalog

import (
	"fmt"
	"time"

	"golang.org/x/sys/unix"
)

// fileState returns a string that changes whenever the file changes, and the time of the last change. The string
// includes the time of the last status change, because a copy may keep the size and the modification time.
func fileState(path string) (state string, changed time.Time, ok bool) {
	var st unix.Stat_t
	if unix.Stat(path, &st) != nil {
		return "", time.Time{}, false
	}
	return fmt.Sprint(st.Dev, st.Ino, st.Size, st.Mtim, st.Ctim), time.Unix(st.Ctim.Unix()), true
}
