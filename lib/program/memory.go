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

// MemoryLimit returns how many bytes of memory this process may use: the smallest of GOMEMLIMIT, its control group's
// limit and the memory that the machine has available. It returns 0 if no limit is known.
func MemoryLimit() int64 {
	limit := debug.SetMemoryLimit(-1) // -1 only reads the limit
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

// MachineMemory returns the size of the machine's memory in bytes, or the limit of this process's control group if that
// is less. It returns 0 if neither is known.
func MachineMemory() int64 {
	least := uint64(math.MaxInt64)
	for _, source := range []memlimit.Provider{memlimit.FromCgroup, memlimit.FromSystem} {
		if n, err := source(); err == nil {
			least = min(least, n)
		}
	}
	if least == math.MaxInt64 {
		return 0
	}
	return int64(least)
}

// available returns the value of MemAvailable in /proc/meminfo in bytes, or 0 if it is missing.
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
