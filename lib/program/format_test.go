package program

import (
	"math"
	"testing"
)

func TestSizesAndTimes(t *testing.T) {
	for v, want := range map[float64]string{0: "0 ms", 0.021: "21 ms", 0.0999: "0.1 s", 6.42: "6.4 s", 58.3: "58 s",
		59.7: "1 min 00 s", 403.2: "6 min 43 s", 7322: "2 h 02 min", -1: "–", math.NaN(): "–"} {
		if got := Duration(v); got != want {
			t.Errorf("Duration(%v) = %q, want %q", v, got, want)
		}
	}
	for n, want := range map[int64]string{0: "0 B", 812: "812 B", 999: "999 B", 1000: "1.0 kB", 31000: "31.0 kB",
		47_300_000: "47.3 MB", 999_999: "1.0 MB", 5_000_000_000_000_000: "5000 TB"} {
		if got := Size(n); got != want {
			t.Errorf("Size(%d) = %q, want %q", n, got, want)
		}
	}
}
