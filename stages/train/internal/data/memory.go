package data

import (
	"bufio"
	"bytes"
	"math"
	"os"
	"path"
	"runtime/debug"
	"strconv"
	"strings"
)

// memoryLimit is the memory in bytes that this process may use: the least of GOMEMLIMIT, the limits of its control
// groups and the machine's available memory; 0 if none is known, as outside Linux.
func memoryLimit() int64 {
	least := debug.SetMemoryLimit(-1) // reads the limit without changing it
	for _, limit := range append(groupLimits("/proc/self/cgroup", "/sys/fs/cgroup"), available("/proc/meminfo")) {
		if limit > 0 {
			least = min(least, limit)
		}
	}
	if least == math.MaxInt64 {
		return 0
	}
	return least
}

// groupLimits returns the limits of the process's control group, of version 1 or 2, and of its parents.
func groupLimits(self, root string) (limits []int64) {
	text, err := os.ReadFile(self)
	if err != nil {
		return nil
	}
	for line := range strings.Lines(string(text)) {
		// hierarchy:controllers:group; version 2 names no controllers, version 1 mounts each in its own directory.
		_, rest, _ := strings.Cut(strings.TrimSpace(line), ":")
		controllers, group, _ := strings.Cut(rest, ":")
		mount, file := root, "memory.max"
		switch controllers {
		case "":
		case "memory":
			mount, file = path.Join(root, "memory"), "memory.limit_in_bytes"
		default:
			continue
		}
		for ; ; group = path.Dir(group) {
			max, err := os.ReadFile(path.Join(mount, group, file))
			if err == nil {
				if n, err := strconv.ParseInt(string(bytes.TrimSpace(max)), 10, 64); err == nil { // or "max"
					limits = append(limits, n)
				}
			}
			if group == "/" || group == "." {
				break
			}
		}
	}
	return limits
}

// available returns the line MemAvailable of meminfo in bytes, or 0.
func available(meminfo string) int64 {
	f, err := os.Open(meminfo)
	if err != nil {
		return 0
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
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
