package tape

import "sort"

// align is the granularity of the arena in elements: a cache line of float32.
const align = 16

// plan places the temporaries in one arena so that values alive at the same time do not overlap, and returns the
// arena's length in elements. It places the largest values first, each at the lowest offset that is free during the
// value's lifetime (Pisarchyk and Lee, arXiv 2001.03288, greedy by size).
func plan(values []value) int {
	var order []int
	for i, v := range values {
		if v.kind == temporary && v.first >= 0 {
			order = append(order, i)
		}
	}
	sort.SliceStable(order, func(a, b int) bool { return values[order[a]].size > values[order[b]].size })
	type span struct{ from, to int }
	total := 0
	for k, i := range order {
		v := &values[i]
		var busy []span
		for _, j := range order[:k] {
			w := values[j]
			if w.first <= v.last && v.first <= w.last {
				busy = append(busy, span{w.offset, w.offset + rounded(w.size)})
			}
		}
		sort.Slice(busy, func(a, b int) bool { return busy[a].from < busy[b].from })
		at := 0
		for _, b := range busy {
			if b.from-at >= rounded(v.size) {
				break
			}
			at = max(at, b.to)
		}
		v.offset = at
		total = max(total, at+rounded(v.size))
	}
	return total
}

func rounded(n int) int { return (n + align - 1) / align * align }
