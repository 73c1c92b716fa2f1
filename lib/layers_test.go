// Package lib_test holds the tests that concern all packages: which may import which, and that none computes what
// depends on the machine.
package lib_test

import (
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"strings"
	"testing"
)

// order lists the packages of lib from the ground up: a package imports only packages above its own line. The order
// is what keeps one idea in one place, so that a change to an upper line never needs to know a lower one.
var order = []string{
	"lib/failure",
	"lib/enginename",
	"lib/objectstore",
	"lib/objectstore/embedded",
	"lib/objectstore/objectstoretest",
	"lib/cachekey",
	"lib/artifact",
	"lib/contract",
	"lib/program",
	"lib/stage",
	"lib/portable",
	"lib/random",
	"lib/tensorfile",
	"lib/npz",
	"lib/picture",
	"lib/dataset",
	"lib/preview",
	"lib/dataloader",
	"lib/microkernel",
	"lib/linalg",
	"lib/kernel",
	"lib/graphop",
	"lib/backend",
	"lib/backend/backendtest",
	"lib/backend/tape",
	"lib/backend/device",
	"lib/engine",
	"lib/checkpoint",
	"lib/optim",
	"lib/layer",
	"lib/homotopy",
	"lib/potential",
	"lib/torchfile",
	"lib/safetensors",
	"lib/feature/featuretest",
	"lib/feature",
	"lib/training",
	"lib/ode",
	"lib/sampling",
	"lib/metrics",
	"lib/scoring",
}

// forbidden are the imports that would break a promise, with the promise.
var forbidden = []struct {
	who, what, why string
}{
	{"lib/", "stages/", "a library that knows a stage cannot serve another one"},
	{"lib/", "pipeline", "the runner is one user of the libraries among others"},
	{"pipeline/internal/report", "lib/artifact", "a report is made of bytes that the runner passes to it, from any store"},
	{"stages/", "lib/objectstore/embedded", "a stage is a client of a store; only the runner serves one"},
	{"stages/", "pipeline", "a stage runs without the runner: by hand, or under a cluster's engine"},
	{"pipeline", "lib/tensorfile", "the runner moves tensors as blobs and never opens one"},
	{"pipeline", "lib/dataset", "the runner moves data sets as blobs and never opens one"},
	{"pipeline", "lib/backend", "the runner computes nothing"},
	{"pipeline", "lib/checkpoint", "the runner moves checkpoints as blobs and never opens one"},
	{"pipeline", "lib/stage", "the runner links the contract, not the program around a stage"},
	{"pipeline", "stages/", "the runner knows of a stage what its program says of itself"},
}

// unlinked are modules that a program must not contain, directly or not.
var unlinked = []struct {
	who, module, why string
}{
	{"pipeline", "gorgonia.org/gorgonia", "the runner computes nothing"},
	{"pipeline", "github.com/apache/arrow", "the runner never opens a tensor"},
	{"pipeline", "github.com/gomlx", "the runner computes nothing"},
	{"stages/prep", "gorgonia.org/gorgonia", "preparing data needs no graphs"},
	{"stages/prep", "github.com/gomlx", "preparing data computes nothing"},
	{"stages/prep", "github.com/versity", "a stage is a client of a store"},
	{"stages/train", "github.com/gomlx/go-xla/installer", "nothing is downloaded that nobody asked for"},
	{"stages/sample", "github.com/gomlx/go-xla/installer", "nothing is downloaded that nobody asked for"},
	{"stages/eval", "github.com/gomlx/go-xla/installer", "nothing is downloaded that nobody asked for"},
	{"stages/train", "github.com/versity", "a stage is a client of a store"},
	{"stages/sample", "github.com/versity", "a stage is a client of a store"},
	{"stages/eval", "github.com/versity", "a stage is a client of a store"},
}

type pkg struct {
	ImportPath    string
	Imports, Deps []string
}

func list(t *testing.T) []pkg {
	out, err := exec.Command("go", "list", "-json=ImportPath,Imports,Deps", "vapo/...").Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	var all []pkg
	for d := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p pkg
		if err := d.Decode(&p); errors.Is(err, io.EOF) {
			return all
		} else if err != nil {
			t.Fatal(err)
		}
		all = append(all, p)
	}
}

func TestImportsGoOneWay(t *testing.T) {
	rank := map[string]int{}
	for i, p := range order {
		rank[p] = i
	}
	seen := map[string]bool{}
	for _, p := range list(t) {
		from := strings.TrimPrefix(p.ImportPath, "vapo/")
		seen[from] = true
		mine, ranked := rank[from]
		if strings.HasPrefix(from, "lib/") && !ranked {
			t.Errorf("%s has no place in the order of packages", from)
		}
		for _, i := range p.Imports {
			to, ours := strings.CutPrefix(i, "vapo/")
			if !ours {
				continue
			}
			if r, ok := rank[to]; ok && ranked && r >= mine {
				t.Errorf("%s imports %s, which stands below it", from, to)
			}
			for _, f := range forbidden {
				if strings.HasPrefix(from, f.who) && strings.HasPrefix(to, f.what) {
					t.Errorf("%s imports %s: %s", from, to, f.why)
				}
			}
		}
		for _, u := range unlinked {
			if from != u.who {
				continue
			}
			for _, d := range p.Deps {
				if strings.HasPrefix(d, u.module) {
					t.Errorf("%s links %s: %s", from, d, u.why)
				}
			}
		}
	}
	for _, p := range order {
		if !seen[p] {
			t.Errorf("%s stands in the order of packages but does not exist", p)
		}
	}
}
