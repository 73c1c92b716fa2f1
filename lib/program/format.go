package program

import (
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strconv"
)

// Duration renders a time in seconds for display.
func Duration(s float64) string {
	switch {
	case s < 0 || math.IsNaN(s) || s > 1e9:
		return "–"
	case s < 0.0995:
		return fmt.Sprintf("%.0f ms", s*1e3)
	case s < 9.95:
		return fmt.Sprintf("%.1f s", s)
	case s < 59.5:
		return fmt.Sprintf("%.0f s", s)
	case s < 3599.5:
		d := int(math.Round(s))
		return fmt.Sprintf("%d min %02d s", d/60, d%60)
	}
	d := int(math.Round(s / 60))
	return fmt.Sprintf("%d h %02d min", d/60, d%60)
}

// Size renders a number of bytes in decimal units, as disks and object stores do.
func Size(n int64) string {
	v, unit := float64(n), 0
	for v >= 999.5 && unit < 4 {
		v /= 1000
		unit++
	}
	digits := 0
	if unit > 0 && v < 99.95 {
		digits = 1
	}
	return strconv.FormatFloat(v, 'f', digits, 64) + " " + []string{"B", "kB", "MB", "GB", "TB"}[unit]
}

// ShortPath returns path relative to the working directory if path lies inside that directory, and otherwise unchanged.
func ShortPath(path string) string {
	wd, err := os.Getwd()
	if err != nil {
		return path
	}
	if rel, err := filepath.Rel(wd, path); err == nil && filepath.IsLocal(rel) {
		return rel
	}
	return path
}
