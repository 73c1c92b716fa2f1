//go:build !amd64

package kernel

func newAssembly() *assembly { return nil }
