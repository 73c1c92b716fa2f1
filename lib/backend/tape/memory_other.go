//go:build !linux

package tape

// physicalMemory is the machine's memory in bytes, 0 where it is not known.
func physicalMemory() int64 { return 0 }
