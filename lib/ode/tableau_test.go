package ode

import (
	"strings"
	"testing"
)

func TestTableauxAreConsistent(t *testing.T) {
	for _, tab := range Tableaux() {
		if err := tab.Check(); err != nil {
			t.Error(err)
		}
		if got, err := Lookup(tab.Name); err != nil || got != tab {
			t.Errorf("Lookup(%q) = %v, %v", tab.Name, got, err)
		}
		// The order is not higher than stated: the conditions of the next order fail.
		if err := tab.checkOrder("B", tab.B, tab.Order+1); err == nil {
			t.Errorf("%s has order %d, more than the %d stated", tab.Name, tab.Order+1, tab.Order)
		}
	}
	if _, err := Lookup("rk23"); err == nil {
		t.Error("Lookup of an unknown method succeeded")
	}
}

// The number of rooted trees with p nodes is OEIS A000081.
func TestTreesAreComplete(t *testing.T) {
	for p, want := range map[int]int{1: 1, 2: 1, 3: 2, 4: 4, 5: 9, 6: 20, 7: 48} {
		trees := treesOfOrder(p)
		if len(trees) != want {
			t.Errorf("%d trees of order %d, want %d", len(trees), p, want)
		}
		seen := map[string]bool{}
		for _, tr := range trees {
			if tr.order() != p {
				t.Errorf("tree %v has order %d, listed under %d", tr, tr.order(), p)
			}
			if seen[tr.String()] {
				t.Errorf("tree %v listed twice", tr)
			}
			seen[tr.String()] = true
		}
	}
	// Known densities: 4! for the chain of 4 nodes, and 4 for the bush of 4 nodes.
	chain := tree{[]tree{{[]tree{{[]tree{{}}}}}}}
	bush := tree{[]tree{{}, {}, {}}}
	if g := chain.density(); g != 24 {
		t.Errorf("density of the chain of 4 is %g, want 24", g)
	}
	if g := bush.density(); g != 4 {
		t.Errorf("density of the bush of 4 is %g, want 4", g)
	}
}

func TestCheckRefusesBrokenTableaux(t *testing.T) {
	clone := func(src *Tableau) *Tableau {
		c := *src
		c.A = make([][]float64, len(src.A))
		for i := range src.A {
			c.A[i] = append([]float64(nil), src.A[i]...)
		}
		c.B = append([]float64(nil), src.B...)
		c.C = append([]float64(nil), src.C...)
		if src.E != nil {
			c.E = append([]float64(nil), src.E...)
		}
		return &c
	}
	for _, tc := range []struct {
		name     string
		from     *Tableau
		breaking func(*Tableau)
		want     string
	}{
		{"weights", RK45, func(t *Tableau) {
			t.B[2] += 1e-9
			t.A[6][2] += 1e-9
			t.A[6][3] -= 1e-9
		}, "misses the condition of tree [] "},
		{"stage time", RK4, func(t *Tableau) { t.C[1] = 0.4 }, "row 1 of A sums to"},
		{"stage coefficient", RK45, func(t *Tableau) { t.A[3][0] += 1e-6; t.A[3][1] -= 1e-6 }, "misses the condition"},
		{"order too high", Heun, func(t *Tableau) { t.Order = 3 }, "of order 3"},
		{"no first same as last", RK4, func(t *Tableau) { t.FSAL = true }, "FSAL"},
		{"implicit", RK4, func(t *Tableau) { t.A[1] = []float64{0.5, 0.1} }, "an explicit method has 1"},
		{"error weights", RK45, func(t *Tableau) { t.E[0] += 1e-9 }, "B-E misses"},
		{"error estimate that vanishes", RK45, func(t *Tableau) { clear(t.E) }, "embedded solution has order 5"},
		{"too few error weights", RK45, func(t *Tableau) { t.E = t.E[:6] }, "6 error weights"},
		{"no stages", RK4, func(t *Tableau) { t.B = nil }, "0 in B"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			tab := clone(tc.from)
			if err := tab.Check(); err != nil {
				t.Fatalf("before the change: %v", err)
			}
			tc.breaking(tab)
			if err := tab.Check(); err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("Check() = %v, want an error with %q", err, tc.want)
			}
		})
	}
}
