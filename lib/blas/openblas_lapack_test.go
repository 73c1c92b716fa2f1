//go:build linux || darwin || freebsd

package blas

import (
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

// An OpenBLAS without LAPACK factors as pure Go does, to the bit, and says so.
func TestOpenBLASWithoutLAPACK(t *testing.T) {
	lib, err := openBLAS()
	if err != nil {
		t.Skip(err)
	}
	o := lib.(*openblas)
	if o.factors == nil || strings.Contains(o.Version(), "gonum") {
		t.Skip("this OpenBLAS has no LAPACK: ", o.Version())
	}
	if f := openFactors(o.handle, "dpotrf_", "dpstrf_", "no_such_routine_"); f != nil {
		t.Error("a missing routine was found")
	}
	without := &openblas{dgemm: o.dgemm, sgemm: o.sgemm, setThreads: o.setThreads}
	_, a := gram(rand.New(rand.NewPCG(25, 1)), 80, 90)
	var got, want [][]float64
	for _, l := range []Library{without, pureGo{}} {
		c, p, e, values := slices.Clone(a.data), slices.Clone(a.data), slices.Clone(a.data), make([]float64, 80)
		if err := l.Cholesky(80, c, a.ld); err != nil {
			t.Fatal(err)
		}
		if _, err := l.PivotedCholesky(80, p, a.ld, 0, make([]int, 80)); err != nil {
			t.Fatal(err)
		}
		if err := l.Eigenvalues(80, e, a.ld, values); err != nil {
			t.Fatal(err)
		}
		got, want = want, [][]float64{c[:80], p[:80], values}
	}
	for i := range want {
		if !slices.Equal(got[i], want[i]) {
			t.Errorf("routine %d: %v and %v", i, got[i], want[i])
		}
	}
}
