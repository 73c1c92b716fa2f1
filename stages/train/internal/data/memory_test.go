package data

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
)

func TestMemoryLimits(t *testing.T) {
	root := t.TempDir()
	for path, text := range map[string]string{
		"self": "4:memory:/c\n3:cpu:/\n0::/a/b\n", "memory/c/memory.limit_in_bytes": "7000\n", "a/memory.max": "5000\n", "a/b/memory.max": "max\n", "memory.max": "9000\n",
		"meminfo": "MemTotal:  100 kB\nMemAvailable:      77 kB\n",
	} {
		if err := os.MkdirAll(filepath.Dir(filepath.Join(root, path)), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(root, path), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if got := groupLimits(filepath.Join(root, "self"), root); !slices.Equal(got, []int64{7000, 5000, 9000}) {
		t.Errorf("limits of the groups %v", got)
	}
	if got := available(filepath.Join(root, "meminfo")); got != 77<<10 {
		t.Errorf("available %d", got)
	}
}
