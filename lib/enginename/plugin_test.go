package enginename

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// FindPlugin recognises the file names of JAX's wheels and go-xla's installer. It first searches the places that the
// environment variable PluginPath lists.
func TestFind(t *testing.T) {
	home, extra := t.TempDir(), t.TempDir()
	t.Setenv("HOME", home)
	t.Setenv("VIRTUAL_ENV", "")
	t.Setenv("CONDA_PREFIX", "")
	t.Setenv("PATH", t.TempDir())
	t.Setenv(PluginPath, "")
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
		if got := FindPlugin(kind); got != want {
			t.Errorf("the %s plugin is %q, want %q", kind, got, want)
		}
	}
	file(home, ".local/lib/python3.12/site-packages/jax_plugins/xla_cuda13/other.so")
	if !slices.Contains(places("cuda"), filepath.Join(home, ".local/lib/go-xla")) {
		t.Errorf("searched %v, want the home directory's folder included", places("cuda"))
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
	t.Setenv(PluginPath, named)
	expect("cuda", named)
	expect("cpu", newer)
	separator := string(filepath.ListSeparator)
	t.Setenv(PluginPath, separator+filepath.Join(extra, "nowhere")+separator+filepath.Dir(named))
	expect("cuda", named)
}
