package device

import (
	"os"
	"path/filepath"
)

// cudaRoot returns the folder of CUDA's compiler tools in the Python environment of a plugin, or "".
func cudaRoot(plugin string) string {
	packages := filepath.Dir(filepath.Dir(filepath.Dir(plugin))) // site-packages/jax_plugins/xla_cuda13/plugin
	for _, p := range []string{"nvidia/cu13", "nvidia/cu12", "nvidia/cuda_nvcc"} {
		root := filepath.Join(packages, p)
		if info, err := os.Stat(filepath.Join(root, "nvvm/libdevice")); err == nil && info.IsDir() {
			return root
		}
	}
	return ""
}
