package main

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

// memoryLimit is the memory in bytes that this process may have: the least of GOMEMLIMIT, the limits of its control
// groups and what the machine has available. 0 where nothing says so, as outside Linux.
func memoryLimit() int64 {
	least := debug.SetMemoryLimit(-1) // asks only
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

// groupLimits returns memory.max of the process's control group (version 2) and of those it is part of.
func groupLimits(self, root string) (limits []int64) {
	text, err := os.ReadFile(self)
	if err != nil {
		return nil
	}
	for line := range strings.Lines(string(text)) {
		group, ok := strings.CutPrefix(strings.TrimSpace(line), "0::")
		if !ok {
			continue
		}
		for ; ; group = path.Dir(group) {
			max, err := os.ReadFile(path.Join(root, group, "memory.max"))
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
