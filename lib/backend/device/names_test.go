package device

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"vapo/lib/backend"
	"vapo/lib/contract"
)

func TestNames(t *testing.T) {
	for name, want := range map[string]string{
		"go": "compute-go", "compute-go": "compute-go",
		"xla:cpu": "xla-cpu", "xla:cuda": "xla-cuda", "xla-cuda": "xla-cuda", "xla:cuda,float32": "xla-cuda",
		"xla:cuda,tf32": "xla-cuda-tf32", "xla-cuda-tf32": "xla-cuda-tf32", "xla:cuda,bf16": "xla-cuda-bf16", "xla:cpu,bf16": "xla-cpu-bf16",
		"xla:/opt/a,b/libtpu.so": "xla-libtpu", "xla:./libtpu.so,bf16": "xla-libtpu-bf16", "xla:/opt/plugin": "xla-plugin",
	} {
		got, err := backend.Resolve(name)
		if err != nil || got != want {
			t.Errorf("%s is %s (%v), want %s", name, got, err, want)
		}
		// The runner and the stages key a run by this, without this package.
		if strings.Contains(name, "/") || name == want {
			a := contract.Description{Params: []contract.Param{{Name: "backend", Keyed: true}}}.Action(map[string]any{"backend": name}, nil)
			if a.Backend != want {
				t.Errorf("a run with --backend=%s is keyed by %s, want %s", name, a.Backend, want)
			}
		}
	}
	for _, name := range []string{"xla", "xla:", "xla:rocket", "xla-libtpu", "go2", "xla:cuda:tf32"} {
		var unknown *backend.UnknownError
		if _, err := backend.Resolve(name); !errors.As(err, &unknown) || !strings.Contains(err.Error(), "xla:cuda") {
			t.Errorf("%s: %v, want an unknown engine and the names there are", name, err)
		}
	}
	for _, name := range []string{"xla:cpu,tf32", "xla-cpu-tf32", "xla:cuda,fp8", "xla:cuda,"} {
		var option *backend.OptionError
		if _, err := backend.Resolve(name); !errors.As(err, &option) {
			t.Errorf("%s: %v, want that it has no such option", name, err)
		}
		if _, err := backend.Open(name); !errors.As(err, &option) {
			t.Errorf("opening %s: %v, want that it has no such option", name, err)
		}
	}
}

// Plugins are found under the names that JAX's wheels and go-xla's installer give them, the variable's places first.
func TestFind(t *testing.T) {
	home, extra := t.TempDir(), t.TempDir()
	t.Setenv("HOME", home)
	t.Setenv("VIRTUAL_ENV", "")
	t.Setenv("CONDA_PREFIX", "")
	t.Setenv("PATH", t.TempDir())
	t.Setenv(pluginPath, "")
	file := func(parts ...string) string {
		path := filepath.Join(parts...)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	expect := func(kind, want string) {
		t.Helper()
		if got := find(kind); got != want {
			t.Errorf("the %s plugin is %q, want %q", kind, got, want)
		}
	}
	file(home, ".local/lib/python3.12/site-packages/jax_plugins/xla_cuda13/other.so")
	if !slices.Contains(places("cuda"), filepath.Join(home, ".local/lib/go-xla")) {
		t.Errorf("searched %v, want the home directory's folder among them", places("cuda"))
	}
	environment := t.TempDir()
	linked := file(environment, "lib/python3.12/site-packages/jax_plugins/xla_cuda12/xla_cuda_plugin.so")
	if err := os.Chmod(file(environment, "bin/python3"), 0o700); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", filepath.Join(environment, "bin"))
	expect("cuda", linked)
	t.Setenv("PATH", t.TempDir())
	wheel := file(home, ".local/lib/python3.12/site-packages/jax_plugins/xla_cuda13/xla_cuda_plugin.so")
	expect("cuda", wheel)
	file(home, ".local/lib/go-xla/pjrt_c_api_cpu_v0.83.1_plugin.so")
	newer := file(home, ".local/lib/go-xla/pjrt_c_api_cpu_v0.98.0_plugin.so")
	expect("cpu", newer)
	expect("cuda", wheel)
	named := file(extra, "deep/xla_cuda_plugin.so")
	t.Setenv(pluginPath, named)
	expect("cuda", named)
	expect("cpu", newer)
	t.Setenv(pluginPath, string(filepath.ListSeparator)+filepath.Join(extra, "nowhere")+string(filepath.ListSeparator)+filepath.Dir(named))
	expect("cuda", named)
	if root := cudaRoot(wheel); root != "" {
		t.Errorf("CUDA's tools are at %s, want none", root)
	}
	file(home, ".local/lib/python3.12/site-packages/nvidia/cu13/nvvm/libdevice/libdevice.10.bc")
	if root, want := cudaRoot(wheel), filepath.Join(home, ".local/lib/python3.12/site-packages/nvidia/cu13"); root != want {
		t.Errorf("CUDA's tools are at %s, want %s", root, want)
	}
}
