package training

import (
	"flag"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"vapo/lib/backend"
	"vapo/lib/draw"
	"vapo/lib/homotopy"
)

var withTorch = flag.Bool("torch", false, "time the training step beside python3-torch (see make bench)")

// TestAgainstTorch prints steps a second of the two-dimensional potential here and in PyTorch, in turn, and the median
// ratio. It asserts nothing: machines are noisy.
func TestAgainstTorch(t *testing.T) {
	if !*withTorch {
		return // a measurement, asked for by make bench
	}
	be, err := backend.Open("auto")
	if err != nil {
		t.Fatal(err)
	}
	const seconds = 5
	for _, objective := range []string{"matching", "energy"} {
		c := mlpConfig()
		const batch = 512
		s, err := Potential(be, c, objective, adam, batch)
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Initialise(1); err != nil {
			t.Fatal(err)
		}
		path, err := c.Path()
		if err != nil {
			t.Fatal(err)
		}
		var columns [homotopy.Columns][]float32
		copy(columns[:], s.Batch[BatchTimes:])
		step := int64(0)
		ours := func() float64 {
			start, n := time.Now(), 0
			for ; time.Since(start).Seconds() < seconds; n++ {
				draw.New(1, "bench/data", uint64(step)).Normal(s.Batch[BatchX])
				draw.New(1, "bench/noise", uint64(step)).Normal(s.Batch[BatchNoise])
				u := draw.New(1, "bench/time", uint64(step))
				for i := range batch {
					homotopy.Fill(path, path.Draw(u.Uniform64()), i, &columns)
				}
				if _, err := s.Run(step); err != nil {
					t.Fatal(err)
				}
				step++
			}
			return float64(n) / time.Since(start).Seconds()
		}
		theirs := func() float64 {
			out, err := exec.Command("/usr/bin/python3", "testdata/torch_speed.py", objective, strconv.Itoa(seconds)).Output()
			if err != nil {
				t.Fatalf("python3-torch: %v", err)
			}
			v, err := strconv.ParseFloat(strings.TrimSpace(string(out)), 64)
			if err != nil {
				t.Fatal(err)
			}
			return v
		}
		var a, b, r []float64
		for range 5 {
			x, y := ours(), theirs()
			a, b, r = append(a, x), append(b, y), append(r, x/y)
		}
		slices.Sort(a)
		slices.Sort(b)
		slices.Sort(r)
		t.Logf("mlp 128x3, batch 512, %-8s  %s %6.1f steps/s, PyTorch %6.1f steps/s  %.2fx", objective, be.Class(), a[2], b[2], r[2])
	}
}
