package embedded

// Attached reports whether another process has started the gateway.
func (c *Child) Attached() bool { return c.pipe == nil }
