// Package lib_test holds the tests that concern the whole repository: which packages may import which, whether results
// have the same bits on every machine, whether links lead somewhere, whether the map of packages in README.md is
// complete, whether every dependency has a reason, and whether lines and files are short enough.
package lib_test

import (
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"strings"
	"testing"
)

// layers lists the packages of lib, lowest layer first. A package may import only packages that are listed before it.
// So changing a package never requires reading the packages that are listed after it. README.md describes every package
// under its layer.
var layers = []struct {
	name     string
	packages []string
}{
	{"storage", []string{
		"lib/failure",
		"lib/stall",
		"lib/enginename",
		"lib/objectstore/gateway",
		"lib/objectstore",
		"lib/objectstore/embedded",
		"lib/objectstore/embedded/server",
		"lib/objectstore/objectstoretest",
		"lib/cachekey",
		"lib/contract",
		"lib/artifact",
		"lib/program",
		"lib/stage",
	}},
	{"data", []string{
		"lib/portable",
		"lib/download",
		"lib/random",
		"lib/tensorfile",
		"lib/npz",
		"lib/safetensors",
		"lib/torchfile",
		"lib/picture/jpeg",
		"lib/picture",
		"lib/dataset",
		"lib/dataset/source",
		"lib/dataloader",
	}},
	{"numerics", []string{
		"lib/microkernel",
		"lib/linalg",
		"lib/kernel",
		"lib/graphop",
		"lib/backend",
		"lib/backend/backendtest",
		"lib/backend/tape",
		"lib/backend/device",
		"lib/ode/odetest",
		"lib/ode",
	}},
	{"measuring", []string{
		"lib/preview",
		"lib/metrics",
	}},
	{"learning", []string{
		"lib/engine",
		"lib/checkpoint",
		"lib/average",
		"lib/optim",
		"lib/layer",
		"lib/homotopy",
		"lib/potential",
		"lib/feature/featuretest",
		"lib/feature",
		"lib/training",
		"lib/sampling",
	}},
}

// forbidden lists imports that would break a design rule. who is a prefix of the importing path, what is a prefix of
// the imported path, and why is the rule.
var forbidden = []struct {
	who, what, why string
}{
	{"lib/", "stages/", "libraries must be usable without any particular stage"},
	{"lib/", "pipeline", "libraries must be usable without the runner"},
	{"pipeline/internal/report", "lib/artifact", "the runner reads artifacts and passes their bytes to the report"},
	{"stages/", "lib/objectstore/embedded", "stages use stores only through package stage"},
	{"lib/stage", "lib/objectstore/embedded/server", "a stage is a client of a store; only the runner serves one"},
	{"stages/", "pipeline", "a stage runs without the runner: by hand, or under a cluster's scheduler"},
	{"pipeline", "lib/tensorfile", "the runner moves tensors as blobs and never opens them"},
	{"pipeline", "lib/dataset", "the runner moves data sets as blobs and never opens them"},
	{"pipeline", "lib/backend", "the runner does no numerics"},
	{"pipeline", "lib/checkpoint", "the runner moves checkpoints as blobs and never opens them"},
	{"pipeline", "lib/stage", "the runner links the contract, not the program around a stage"},
	{"pipeline", "stages/", "the runner learns about a stage only from its describe command"},
}

// unlinked lists modules that a program must not link, directly or indirectly.
var unlinked = []struct {
	who, module, why string
}{
	{"pipeline", "gorgonia.org/gorgonia", "the runner does no numerics"},
	{"pipeline", "github.com/apache/arrow", "the runner never opens a tensor"},
	{"pipeline", "github.com/gomlx", "the runner does no numerics"},
	{"stages/prep", "gorgonia.org/gorgonia", "preparing data needs no graphs"},
	{"stages/prep", "github.com/gomlx/compute/internal/gobackend", "preparing data needs no compute engine"},
	{"stages/prep", "github.com/gomlx/go-xla", "preparing data needs no compute engine"},
	{"stages/prep", "github.com/versity", "a stage is a client of a store"},
	{"stages/train", "github.com/gomlx/go-xla/installer", "programs download nothing on their own"},
	{"stages/sample", "github.com/gomlx/go-xla/installer", "programs download nothing on their own"},
	{"stages/eval", "github.com/gomlx/go-xla/installer", "programs download nothing on their own"},
	{"stages/train", "github.com/versity", "a stage is a client of a store"},
	{"stages/sample", "github.com/versity", "a stage is a client of a store"},
	{"stages/eval", "github.com/versity", "a stage is a client of a store"},
	{"stages/train", "vapo/lib/dataset/source", "only prep and eval read foreign formats"},
	{"stages/sample", "vapo/lib/dataset/source", "only prep and eval read foreign formats"},
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

func TestImportOrder(t *testing.T) {
	rank := map[string]int{}
	for _, f := range layers {
		for _, p := range f.packages {
			rank[p] = len(rank)
		}
	}
	seen := map[string]bool{}
	for _, p := range list(t) {
		from := strings.TrimPrefix(p.ImportPath, "vapo/")
		seen[from] = true
		mine, ranked := rank[from]
		if strings.HasPrefix(from, "lib/") && !ranked {
			t.Errorf("%s is in no layer: add it to layers and to lib/README.md", from)
		}
		for _, i := range p.Imports {
			to, ours := strings.CutPrefix(i, "vapo/")
			if !ours {
				continue
			}
			if r, ok := rank[to]; ok && ranked && r >= mine {
				t.Errorf("%s imports %s, which is listed after it", from, to)
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
	for p := range rank {
		if !seen[p] {
			t.Errorf("layers lists %s, which does not exist", p)
		}
	}
}
