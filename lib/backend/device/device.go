// Package device runs expression graphs on accelerators, through XLA's plugins for CUDA cards and other devices, and on
// the Go backend of gomlx/compute.
//
// One lowering (lower.go and the files beside it) turns a graph of package graphop into operations that both have, so
// the conformance suite on the Go backend, which runs everywhere, checks what a card will be given. State stays on the
// device between runs and is donated to them: a step's new state takes the memory of the old one. Inputs are copied to
// the device at every run and outputs back.
//
// A plugin is a shared library that XLA's project, JAX or a vendor built. Nothing here downloads one, and programs that
// were built without a C compiler refuse to open one with an error that says so.
package device

import (
	"fmt"
	"path/filepath"
	"strings"

	"vapo/lib/backend"
)

func init() {
	backend.RegisterFamily(backend.Family{
		Names: []string{"go"},
		Class: func(name string) (string, bool, error) { return goClass, name == "go" || name == goClass, nil },
		Open:  func(string) (backend.Backend, error) { return openGo() },
	})
	backend.RegisterFamily(backend.Family{
		Names: []string{"xla:cuda", "xla:cpu", "xla:/path/to/plugin.so", "and xla:cuda,tf32 or any xla with ,bf16"},
		Class: func(name string) (string, bool, error) {
			t, ok, err := parse(name)
			return t.class(), ok, err
		},
		Open: func(name string) (backend.Backend, error) {
			t, ok, err := parse(name)
			if err != nil {
				return nil, err
			}
			if !ok {
				return nil, &backend.UnknownError{Name: name, Known: backend.Names()}
			}
			return openXLA(t)
		},
		Auto: auto,
	})
}

// target is what a name of an XLA engine asks for.
type target struct {
	kind      string // cuda, cpu, or the base name of the file in path
	path      string
	precision Precision
}

// parse reads a name: "xla:cuda", "xla:cpu" or "xla:" and the path of a plugin, then perhaps a comma and a precision; or
// the class of one of the first two.
func parse(name string) (t target, ok bool, err error) {
	t.precision = Float32
	rest, written := strings.CutPrefix(name, "xla:")
	if !written {
		if rest, ok = strings.CutPrefix(name, "xla-"); !ok {
			return t, false, nil
		}
		for _, p := range []Precision{TF32, BFloat16} {
			if base, cut := strings.CutSuffix(rest, "-"+string(p)); cut {
				rest, t.precision = base, p
			}
		}
		t.kind = rest
		return t, rest == "cuda" || rest == "cpu", t.check()
	}
	if i := strings.LastIndex(rest, ","); i >= 0 && !strings.Contains(rest[i:], "/") {
		t.precision = Precision(rest[i+1:])
		rest = rest[:i]
	}
	t.kind = rest
	if strings.Contains(rest, "/") {
		t.path = filepath.Clean(rest)
		base := filepath.Base(t.path)
		t.kind = strings.TrimSuffix(base, filepath.Ext(base))
	} else if rest != "cuda" && rest != "cpu" {
		return t, false, nil
	}
	return t, true, t.check()
}

func (t target) check() error {
	refuse := func(why string) error {
		return &backend.OptionError{Class: "xla-" + t.kind, Option: string(t.precision), Reason: why}
	}
	switch t.precision {
	case Float32, BFloat16:
	case TF32:
		if t.kind == "cpu" {
			return refuse("only CUDA cards have that precision")
		}
	default:
		return refuse("expected float32, tf32 or bf16")
	}
	return nil
}

// class is the recorded name: where a plugin lies is not part of it.
func (t target) class() string {
	if t.precision == Float32 {
		return "xla-" + t.kind
	}
	return fmt.Sprintf("xla-%s-%s", t.kind, t.precision)
}

// auto takes a CUDA card if there is one with a plugin to reach it.
func auto() (name, why string) {
	path := find("cuda")
	switch {
	case path == "":
		return "", "no CUDA plugin was found"
	case !haveXLA:
		return "", fmt.Sprintf("there is a CUDA plugin at %s, but this program was built without cgo", path)
	case !haveCard():
		return "", fmt.Sprintf("there is a CUDA plugin at %s, but no NVIDIA card", path)
	}
	return "xla:cuda", "there is a CUDA plugin at " + path
}
