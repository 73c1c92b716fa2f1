package linalg

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"runtime"
	"testing"
)

// golden is the digest of the results, which must be the same on every processor. If the digest changes, scores change.
const golden = "1c3ef19863ce57a3"

// Results have the same bits on every processor, at every vector width and on any number of cores. The products of
// package microkernel always use the widest vectors of the machine, whatever eachWidth sets. Therefore the command
// "make bits" repeats this test with fewer vector instructions.
func TestGolden(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(0))
	eachWidth(t, func(t *testing.T) {
		for _, cores := range []int{1, 2, 5} {
			runtime.GOMAXPROCS(cores)
			if got := digest(t); got != golden {
				t.Errorf("on %d cores: digest %s, want %s", cores, got, golden)
			}
		}
	})
}

// digest returns the digest of the results of all functions, at sizes that are not multiples of any block size.
func digest(t *testing.T) string {
	hash := sha256.New()
	write := func(x any) {
		if err := binary.Write(hash, binary.LittleEndian, x); err != nil {
			t.Fatal(err)
		}
	}
	for _, n := range []int{15, 101, 230} {
		rng := rand.New(rand.NewPCG(41, uint64(n)))
		k := n - 13
		x := uniform(rng, n*k)
		full := make([]float64, n*n)
		MultiplyTransposed(n, n, k, x, k, x, k, full, n)
		write(full)
		gram := make([]float64, k*k)
		AddGram(n, k, x, k, gram, k)
		for i := range k {
			write(gram[i*k+i : (i+1)*k])
		}

		a, pivots := append([]float64(nil), full...), make([]int, n)
		rank, err := PivotedCholesky(n, a, n, 1e-10, pivots)
		if err != nil {
			t.Fatal(err)
		}
		write(a)
		for _, p := range pivots {
			write(int64(p))
		}
		usu, work := make([]float64, rank*rank), make([]float64, rank*n)
		Congruence(rank, n, a[:rank*n], full, usu, work)
		for i := range rank {
			write(usu[i*rank+i : (i+1)*rank])
		}
		values := make([]float64, rank)
		if err := Eigenvalues(rank, usu, rank, values); err != nil {
			t.Fatal(err)
		}
		write(values)

		for i := range n {
			full[i*n+i]++
		}
		if err := Cholesky(n, full, n); err != nil {
			t.Fatal(err)
		}
		write(full)
	}
	return fmt.Sprintf("%x", hash.Sum(nil)[:8])
}
