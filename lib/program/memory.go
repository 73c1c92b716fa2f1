package program

import (
	"bufio"
	"io"
	"math"
	"os"
	"runtime/debug"
	"strconv"
	"strings"

	"github.com/KimMachineGun/automemlimit/memlimit"
)

// MemoryLimit returns how many bytes of memory this process may use: the least of GOMEMLIMIT, the limit of its control
// groups and what the machine has available. It is 0 if nothing is known, as outside Linux.
func MemoryLimit() int64 {
	limit := debug.SetMemoryLimit(-1) // only reads it
	if n, err := memlimit.FromCgroup(); err == nil && n < math.MaxInt64 {
		limit = min(limit, int64(n))
	}
	if f, err := os.Open("/proc/meminfo"); err == nil {
		defer f.Close()
		if n := available(f); n > 0 {
			limit = min(limit, n)
		}
	}
	if limit == math.MaxInt64 {
		return 0
	}
	return limit
}

// available returns the line MemAvailable of /proc/meminfo in bytes, or 0.
func available(meminfo io.Reader) int64 {
	for lines := bufio.NewScanner(meminfo); lines.Scan(); {
		if rest, ok := strings.CutPrefix(lines.Text(), "MemAvailable:"); ok {
			kib, err := strconv.ParseInt(strings.TrimSpace(strings.TrimSuffix(rest, "kB")), 10, 64)
			if err != nil {
				return 0
			}
			return kib << 10
		}
	}
	return 0
}
