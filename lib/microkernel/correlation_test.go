package microkernel

import (
	"math/rand/v2"
	"slices"
	"testing"
)

type windowedFunc = func(p *Correlation, w *Window, a, b, c []float32)

// A correlation has the same bits as the product on copies of the shifted images.
func TestCorrelation(t *testing.T) {
	if !hasWindows {
		t.Skip("this machine has no AVX2")
	}
	for seed := range uint64(2000) {
		rng := rand.New(rand.NewPCG(seed, 5))
		h, w, kh, kw := 1+rng.IntN(12), 1+rng.IntN(12), 1+rng.IntN(4), 1+rng.IntN(4)
		padH, padW := rng.IntN(kh), rng.IntN(kw)
		first := rng.IntN(h * w)
		cols := 1 + rng.IntN(min(Columns, h*w-first))
		p := Correlation{Channels: 1 + rng.IntN(5), Rows: 1 + rng.IntN(40), Add: rng.IntN(2) == 0}
		p.Plane, p.Stride = h*w+rng.IntN(5), cols+rng.IntN(9)
		k := p.Channels * kh * kw
		p.Next = k*Panel + rng.IntN(9)
		draw := func(n int) []float32 {
			v := make([]float32, n)
			for i := range v {
				v[i] = float32(rng.NormFloat64())
			}
			return v
		}
		a, b := draw((p.Rows-1)/Panel*p.Next+k*Panel), draw((p.Channels-1)*p.Plane+h*w)
		c := draw((p.Rows-1)*p.Stride + cols + 20)
		var views []float32
		for ch := range p.Channels {
			for dy := -padH; dy < kh-padH; dy++ {
				for dx := -padW; dx < kw-padW; dx++ {
					for q := first; q < first+cols; q++ {
						v := float32(0)
						if y, x := q/w+dy, q%w+dx; y >= 0 && y < h && x >= 0 && x < w {
							v = b[ch*p.Plane+y*w+x]
						}
						views = append(views, v)
					}
				}
			}
		}
		want := slices.Clone(c)
		product := Product{Off: Strided(k, cols), Rows: p.Rows, Cols: cols, Stride: p.Stride, Next: p.Next, Add: p.Add}
		plain(&product, a, views, want)
		for name, masked := range windowed() {
			window := newWindow(h, w, kh, kw, padH, padW, first, cols, name == "AVX-512")
			got := slices.Clone(c)
			masked(&p, &window, a, b, got)
			if !slices.Equal(got, want) {
				t.Fatalf("%s, seed %d: pixels %d to %d of %dx%d, filter %dx%d: bits differ from the product on copies",
					name, seed, first, first+cols, h, w, kh, kw)
			}
		}
		window := NewWindow(h, w, kh, kw, padH, padW, first, cols)
		p.Multiply(&window, a, b, c)
		if !slices.Equal(c, want) {
			t.Fatalf("seed %d: Correlation.Multiply gives other bits than the product on copies", seed)
		}
	}
}

// BenchmarkCorrelation reports the rate of a 3x3 filter on one image of 16 channels.
func BenchmarkCorrelation(b *testing.B) {
	const h, w, channels = 28, 28, 16
	x, filters, y := make([]float32, channels*h*w), make([]float32, channels*9*Panel), make([]float32, channels*h*w)
	p := Correlation{Channels: channels, Plane: h * w, Rows: channels, Stride: h * w}
	for name, masked := range windowed() {
		b.Run(name, func(b *testing.B) {
			var windows []Window
			for q := 0; q < h*w; q += Columns {
				windows = append(windows, newWindow(h, w, 3, 3, 1, 1, q, min(Columns, h*w-q), name == "AVX-512"))
			}
			for b.Loop() {
				for i := range windows {
					masked(&p, &windows[i], filters, x, y[i*Columns:])
				}
			}
			b.ReportMetric(2*float64(b.N)*h*w*channels*channels*9/b.Elapsed().Seconds()/1e9, "GFLOP/s")
		})
	}
}
