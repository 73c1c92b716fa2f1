//go:build unix

package embedded

// Attached reports whether the gateway was started by another process.
func (c *Child) Attached() bool { return c.pipe == nil }
