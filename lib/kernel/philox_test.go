package kernel

import "testing"

// The known answers for philox4x32 with 10 rounds are published with Random123, the authors' library. The last case
// takes counter and key from the digits of pi.
func TestPhiloxKnownAnswers(t *testing.T) {
	for _, c := range []struct {
		counter [4]uint32
		key     [2]uint32
		want    [4]uint32
	}{
		{[4]uint32{}, [2]uint32{}, [4]uint32{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}},
		{
			[4]uint32{0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff}, [2]uint32{0xffffffff, 0xffffffff},
			[4]uint32{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd},
		},
		{
			[4]uint32{0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}, [2]uint32{0xa4093822, 0x299f31d0},
			[4]uint32{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1},
		},
	} {
		n, k := c.counter, c.key
		var got [4]uint32
		if got[0], got[1], got[2], got[3] = philox4x32(n[0], n[1], n[2], n[3], k[0], k[1]); got != c.want {
			t.Errorf("philox4x32-10 of counter %08x under key %08x is %08x, want %08x", n, k, got, c.want)
		}
	}
}

// An element depends only on its index: a shorter draw is a prefix of a longer one, even if it ends in another piece,
// and each number can be computed from its own counter.
func TestPhiloxDependsOnTheIndexAlone(t *testing.T) {
	key := []float32{0x1234, 0xffff, 7, 0, 0xabcd, 1, 0, 0x8000}
	long := make([]float32, 3*philoxPiece+5)
	NewPhilox[float32](len(long), 99).Run(long, key)
	for i, v := range long {
		var b [4]uint32
		b[0], b[1], b[2], b[3] = philox4x32(uint32(i/4), 99, 0x1abcd, 0x80000000, 0xffff1234, 7)
		if want := float32(float64(b[i%4]>>8) / (1 << 24)); v != want {
			t.Fatalf("element %d is %v, want %v", i, v, want)
		}
	}
	wide := make([]float64, len(key))
	for i, v := range key {
		wide[i] = float64(v)
	}
	for _, n := range []int{1, 3, 4, 7, philoxPiece - 1, philoxPiece, philoxPiece + 1, 2*philoxPiece + 6} {
		short, double := make([]float32, n), make([]float64, n)
		NewPhilox[float32](n, 99).Run(short, key)
		NewPhilox[float64](n, 99).Run(double, wide)
		for i, v := range short {
			if v != long[i] || double[i] != float64(v) {
				t.Fatalf("element %d of %d is %v, and %v in float64; want %v, as in a draw of %d",
					i, n, v, double[i], long[i], len(long))
			}
		}
	}
}

func BenchmarkPhilox(b *testing.B) {
	dst := make([]float32, 1<<20)
	k := NewPhilox[float32](len(dst), 1)
	key := make([]float32, PhiloxKeyLen)
	b.SetBytes(int64(4 * len(dst)))
	for b.Loop() {
		k.Run(dst, key)
	}
}
