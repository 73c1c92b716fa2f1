package ode

import "strings"

// tree is a rooted tree, given by the subtrees of its root. For each rooted tree, there is one elementary differential
// of f, and therefore one order condition for a tableau.
type tree struct{ children []tree }

func (t tree) order() int {
	n := 1
	for _, c := range t.children {
		n += c.order()
	}
	return n
}

// density returns γ(τ): the order of the tree times the densities of its subtrees.
func (t tree) density() float64 {
	g := float64(t.order())
	for _, c := range t.children {
		g *= c.density()
	}
	return g
}

// weights returns φ_i(τ) for every stage i: the product of sum_j a[i][j]·φ_j(τ') over all subtrees τ' of the root.
func (t tree) weights(a [][]float64) []float64 {
	phi := make([]float64, len(a))
	for i := range phi {
		phi[i] = 1
	}
	for _, c := range t.children {
		sub := c.weights(a)
		for i, row := range a {
			var sum float64
			for j, aij := range row {
				sum += float64(aij * sub[j])
			}
			phi[i] *= sum
		}
	}
	return phi
}

// String writes the tree in brackets: [] is a root alone, and [[][]] is a root with two leaves.
func (t tree) String() string {
	var b strings.Builder
	b.WriteByte('[')
	for _, c := range t.children {
		b.WriteString(c.String())
	}
	b.WriteByte(']')
	return b.String()
}

// treesOfOrder returns the rooted trees of p nodes. Their number is 1, 1, 2, 4, 9, 20, … for p = 1, 2, 3, …
func treesOfOrder(p int) []tree {
	if p == 1 {
		return []tree{{}}
	}
	// pool has all trees of fewer than p nodes. A tree of p nodes corresponds to a multiset of trees in pool, its
	// subtrees, which is represented by a non-increasing sequence of indices.
	var pool []tree
	for q := 1; q < p; q++ {
		pool = append(pool, treesOfOrder(q)...)
	}
	var out []tree
	var grow func(chosen []tree, largest, left int)
	grow = func(chosen []tree, largest, left int) {
		if left == 0 {
			out = append(out, tree{children: append([]tree(nil), chosen...)})
			return
		}
		for i := largest; i >= 0; i-- {
			if o := pool[i].order(); o <= left {
				grow(append(chosen, pool[i]), i, left-o)
			}
		}
	}
	grow(nil, len(pool)-1, p-1)
	return out
}
