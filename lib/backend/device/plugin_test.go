package device

import (
	"os"
	"path/filepath"
	"testing"
)

// TestCUDARoot checks that CUDA's tools are found next to the plugin, in the wheels that JAX depends on.
func TestCUDARoot(t *testing.T) {
	packages := filepath.Join(t.TempDir(), "lib/python3.12/site-packages")
	plugin := filepath.Join(packages, "jax_plugins/xla_cuda13/xla_cuda_plugin.so")
	if root := cudaRoot(plugin); root != "" {
		t.Errorf("CUDA's tools are at %s, want none", root)
	}
	want := filepath.Join(packages, "nvidia/cu13")
	if err := os.MkdirAll(filepath.Join(want, "nvvm/libdevice"), 0o700); err != nil {
		t.Fatal(err)
	}
	if root := cudaRoot(plugin); root != want {
		t.Errorf("CUDA's tools are at %s, want %s", root, want)
	}
}
