package watch

import (
	"math"
	"testing"
)

func TestRound(t *testing.T) {
	for _, c := range []struct {
		v      float64
		digits int
		want   float64
	}{{123456.7, 3, 123000}, {0.00123456, 3, 0.00123}, {-9.9996, 4, -10}, {0, 3, 0}, {1e-30, 2, 1e-30}, {100, 3, 100}} {
		if got := Round(c.v, c.digits); math.Abs(got-c.want) > 1e-12*math.Abs(c.want) {
			t.Errorf("Round(%v, %d) = %v, want %v", c.v, c.digits, got, c.want)
		}
	}
	if !math.IsNaN(Round(math.NaN(), 3)) || !math.IsInf(Round(math.Inf(1), 3), 1) {
		t.Error("Round changes NaN or infinity")
	}
}
