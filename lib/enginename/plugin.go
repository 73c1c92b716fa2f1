package enginename

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
)

// PluginPath is the environment variable that lists where to search first: plugin files, or folders of them.
const PluginPath = "PJRT_PLUGIN_LIBRARY_PATH"

// patterns returns the names that JAX's wheels and go-xla's installer give to plugin files of a kind.
func patterns(kind string) []string {
	return []string{
		"xla_" + kind + "_plugin.so",
		"pjrt_c_api_*" + kind + "*_plugin.so",
		"pjrt_plugin_*" + kind + "*.so", "pjrt-plugin-*" + kind + "*.so",
	}
}

// FindPlugin returns the first plugin file of a kind (cuda, cpu), or "". It needs no engine, so the runner can tell
// whether Auto may stand for a different engine than before: without a CUDA plugin, Auto stands for Tape.
func FindPlugin(kind string) string {
	for _, place := range places(kind) {
		folders, err := filepath.Glob(place)
		if err != nil {
			continue // the user's variable contains an invalid pattern
		}
		slices.Sort(folders)
		for _, folder := range slices.Backward(folders) { // newer versions first
			if info, err := os.Stat(folder); err == nil && info.Mode().IsRegular() {
				if matches(kind, folder) {
					return folder
				}
				continue
			}
			for _, p := range patterns(kind) {
				files, err := filepath.Glob(filepath.Join(folder, p))
				if err == nil && len(files) > 0 {
					return slices.Max(files)
				}
			}
		}
	}
	return ""
}

func matches(kind, file string) bool {
	return slices.ContainsFunc(patterns(kind), func(p string) bool {
		ok, err := filepath.Match(p, filepath.Base(file))
		return err == nil && ok
	})
}

// places lists where to search for plugins of a kind, in the order of the search. A place is a file, a folder, or a
// pattern of folders.
func places(kind string) []string {
	var out []string
	for _, p := range filepath.SplitList(os.Getenv(PluginPath)) {
		if p != "" {
			out = append(out, p)
		}
	}
	var roots []string // root folders of Python environments
	for _, v := range []string{"VIRTUAL_ENV", "CONDA_PREFIX"} {
		if p := os.Getenv(v); p != "" {
			roots = append(roots, p)
		}
	}
	// Symbolic links are not resolved, because python3 in an environment links to a Python outside that environment.
	if python, err := exec.LookPath("python3"); err == nil {
		roots = append(roots, filepath.Dir(filepath.Dir(python)))
	}
	if home, err := os.UserHomeDir(); err == nil {
		out = append(out, filepath.Join(home, ".local/lib/go-xla"), filepath.Join(home, ".local/lib/go-xla/nvidia"))
		roots = append(roots, filepath.Join(home, ".local"))
	}
	out = append(out, "/usr/local/lib/go-xla", "/usr/local/lib/go-xla/nvidia")
	roots = append(roots, "/usr/local", "/usr")
	for _, r := range roots {
		for _, packages := range []string{"site-packages", "dist-packages"} {
			out = append(out, filepath.Join(r, "lib/python3*", packages, "jax_plugins/xla_"+kind+"*"))
		}
	}
	return out
}
