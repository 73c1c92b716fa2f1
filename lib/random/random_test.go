package random

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"gonum.org/v1/gonum/stat"
)

// golden values are fixed forever: every cached result of vapo depends on them.
var golden = []struct {
	seed    uint64
	stream  string
	index   uint64
	bits    uint64
	normal  [3]float64
	uniform float64
	intN    int
	perm    []int
}{
	{
		0, "", 0, 0x44ddcc8993b4b617,
		[3]float64{-0.4615275836247008, 0.14918470529481065, -0.8696623146249575},
		0.8170142207011009, 90, []int{1, 6, 3, 7, 5, 4, 2, 0},
	},
	{
		1, "sample/noise", 0, 0x541a0b4c2bcab699,
		[3]float64{0.5472554269956849, -1.4109044136482494, -0.25049029996259176},
		0.265702894706247, 667, []int{0, 2, 3, 1, 5, 4, 6, 7},
	},
	{
		1, "sample/noise", 1, 0xe45fe3b0ab93367,
		[3]float64{-1.7737735479555141, -1.664313510145603, 0.7766915928179017},
		0.8660100566731963, 758, []int{1, 5, 4, 3, 6, 7, 2, 0},
	},
	{
		math.MaxUint64, "train/batch", math.MaxUint64, 0xb7e534c3832429fb,
		[3]float64{-1.7120428989043166, -0.20206268359928448, 0.06343012343045029},
		0.17819098462094562, 825, []int{2, 4, 3, 5, 0, 7, 1, 6},
	},
}

func TestGolden(t *testing.T) {
	for _, g := range golden {
		s := New(g.seed, g.stream, g.index)
		if bits := s.Uint64(); bits != g.bits {
			t.Errorf("(%d, %q, %d): bits %#x, want %#x", g.seed, g.stream, g.index, bits, g.bits)
		}
		var normal [3]float64
		if s.Normal64(normal[:]); normal != g.normal {
			t.Errorf("(%d, %q, %d): normal %v, want %v", g.seed, g.stream, g.index, normal, g.normal)
		}
		if u := s.Uniform64(); u != g.uniform {
			t.Errorf("(%d, %q, %d): uniform %v, want %v", g.seed, g.stream, g.index, u, g.uniform)
		}
		if n := s.IntN(1000); n != g.intN {
			t.Errorf("(%d, %q, %d): IntN %d, want %d", g.seed, g.stream, g.index, n, g.intN)
		}
		if p := s.Perm(8); !slices.Equal(p, g.perm) {
			t.Errorf("(%d, %q, %d): perm %v, want %v", g.seed, g.stream, g.index, p, g.perm)
		}
	}
}

// TestKeyDerivation spells out the preimage of one key byte by byte, independently of New.
func TestKeyDerivation(t *testing.T) {
	preimage := "\x00\x00\x00\x00\x00\x00\x00\x0bvapo/draw/1" + // tag
		"\x00\x00\x00\x00\x00\x00\x01\x02" + // seed
		"\x00\x00\x00\x00\x00\x00\x00\x03a/b" + // stream
		"\x00\x00\x00\x00\x00\x00\x00\x07" // index
	want := rand.NewChaCha8(sha256.Sum256([]byte(preimage))).Uint64()
	if got := New(0x102, "a/b", 7).Uint64(); got != want {
		t.Errorf("first word %#x, want %#x", got, want)
	}
}

func TestNamesDoNotCollide(t *testing.T) {
	seen := map[uint64]string{}
	streams := []string{"", "a", "aa", "a\x00", "a\x00\x00", "sample/noise", "sample/noise\x01", strings.Repeat("x", 300)}
	for seed := range uint64(8) {
		for _, stream := range streams {
			for index := range uint64(64) {
				bits := New(seed, stream, index).Uint64()
				if other, dup := seen[bits]; dup {
					t.Fatalf("(%d, %q, %d) draws the same bits as a name with the stream %q", seed, stream, index, other)
				}
				seen[bits] = stream
			}
		}
	}
}

func TestFloat32IsRoundedFloat64(t *testing.T) {
	a, b := make([]float32, 1000), make([]float64, 1000)
	New(3, "s", 4).Normal(a)
	New(3, "s", 4).Normal64(b)
	for i := range a {
		if a[i] != float32(b[i]) {
			t.Fatalf("value %d: %v, want %v", i, a[i], float32(b[i]))
		}
	}
}

// TestNormalLikeStandardLibrary: the values equal those of the standard library, up to the last bit in the tail, and
// have the same bits on every machine.
func TestNormalLikeStandardLibrary(t *testing.T) {
	const n = 1 << 20
	got := make([]float64, n)
	New(5, "s", 6).Normal64(got)
	want := New(5, "s", 6).rng
	h, tail := sha256.New(), 0
	for i, v := range got {
		if w := want.NormFloat64(); math.Abs(v-w) > 1e-15*math.Abs(w) {
			t.Fatalf("value %d is %v, want %v", i, v, w)
		}
		if math.Abs(v) > tailStart {
			tail++
		}
		h.Write(binary.LittleEndian.AppendUint64(nil, math.Float64bits(v)))
	}
	if tail < 500 {
		t.Errorf("%d values in the tail, want at least 500", tail)
	}
	if got := hex.EncodeToString(h.Sum(nil)[:8]); got != "e93323067369fc19" {
		t.Errorf("the digest of the values is %s, want e93323067369fc19", got)
	}
}

// TestPrefix: the first values do not depend on how many are drawn, nor on whether they are drawn in pieces.
func TestPrefix(t *testing.T) {
	long, pieces := make([]float64, 100), make([]float64, 100)
	New(1, "s", 1).Normal64(long)
	s := New(1, "s", 1)
	s.Normal64(pieces[:37])
	s.Normal64(pieces[37:])
	if !slices.Equal(long, pieces) {
		t.Error("a sequence drawn in pieces differs from the one drawn at once")
	}
}

// TestMoments checks mean, variance, skewness and kurtosis over many short sources, since training uses one source per
// step. The bounds are five standard errors. The numbers are fixed, so the test is deterministic.
func TestMoments(t *testing.T) {
	const sources, each = 2000, 50
	x := make([]float64, sources*each)
	for i := range sources {
		New(42, "moments", uint64(i)).Normal64(x[i*each : (i+1)*each])
	}
	n := float64(len(x))
	for _, c := range []struct {
		name           string
		got, want, std float64
	}{
		{"mean", stat.Mean(x, nil), 0, 1},
		{"variance", stat.Variance(x, nil), 1, math.Sqrt2},
		{"skewness", stat.Skew(x, nil), 0, math.Sqrt(6)},
		{"excess kurtosis", stat.ExKurtosis(x, nil), 0, math.Sqrt(24)},
	} {
		if bound := 5 * c.std / math.Sqrt(n); math.Abs(c.got-c.want) > bound {
			t.Errorf("%s %.5f, want %g within %.5f", c.name, c.got, c.want, bound)
		}
	}
}

// TestIndependence: neighbouring indices, seeds and streams are uncorrelated.
func TestIndependence(t *testing.T) {
	const n = 20000
	base := make([]float64, n)
	New(7, "noise", 10).Normal64(base)
	for _, o := range []struct {
		name string
		src  *Source
	}{
		{"next index", New(7, "noise", 11)},
		{"next seed", New(8, "noise", 10)},
		{"seed and index swapped", New(10, "noise", 7)},
		{"other stream", New(7, "noisf", 10)},
	} {
		other := make([]float64, n)
		o.src.Normal64(other)
		if r := stat.Correlation(base, other, nil); math.Abs(r) > 5/math.Sqrt(n) {
			t.Errorf("%s: correlation %.4f, want at most %.4f in magnitude", o.name, r, 5/math.Sqrt(n))
		}
	}
}

func TestUniformAndPermRanges(t *testing.T) {
	s := New(1, "u", 0)
	for range 10000 {
		if u := s.Uniform64(); u < 0 || u >= 1 {
			t.Fatalf("uniform %v outside [0, 1)", u)
		}
	}
	p := s.Perm(1000)
	slices.Sort(p)
	for i, v := range p {
		if v != i {
			t.Fatalf("sorted permutation has %d at %d", v, i)
		}
	}
}

func BenchmarkNormalImageNoise(b *testing.B) { // noise of one CIFAR-10 image
	dst := make([]float32, 3*32*32)
	for i := range b.N {
		New(1, "bench", uint64(i)).Normal(dst)
	}
	b.SetBytes(int64(4 * len(dst)))
}
