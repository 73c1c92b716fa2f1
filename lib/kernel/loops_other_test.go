//go:build !amd64

package kernel

func assemblies() map[string]*assembly { return nil }
