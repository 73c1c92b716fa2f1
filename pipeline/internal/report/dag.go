package report

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Sizes in the units of the drawing, which the page scales to fit.
const (
	nodeWidth  = 166.0
	nodeHeight = 50.0
	layerGap   = 52.0
	rowGap     = 22.0
	margin     = 6.0
)

// A dag is a drawing of the step graph, in layers from left to right.
type dag struct {
	Width, Height float64
	Nodes         []dagNode
	Edges         []dagEdge
}

type dagNode struct {
	X, Y, W, H  float64
	Name, Note  string
	Class       string // CSS class of the step's state
	full        string
	TextX       float64
	NameY, NotY float64
}

// Title returns the unabbreviated name, for a tooltip.
func (n dagNode) Title() string { return n.full }

type dagEdge struct{ Path string }

// slot is a position in a layer. It holds a step, or a bend of an edge that passes through the layer.
type slot struct {
	step int // index of the step; -1 for a bend
	row  float64
	prev []*slot
}

// drawDAG lays out the steps by a simple form of Sugiyama's method. The layer of a step is the length of its longest
// path from a source. An edge that crosses several layers gets a bend in each. Two sweeps order the slots of every
// layer by the mean position of their neighbours on the left.
func drawDAG(steps []Step, note, class func(i int) string) dag {
	needs := resolveNeeds(steps)
	layer := make([]int, len(steps))
	for range steps { // longest paths by relaxation; ends even if there is a cycle
		for i, list := range needs {
			for _, j := range list {
				if layer[j] >= layer[i] && layer[j]+1 < len(steps) {
					layer[i] = layer[j] + 1
				}
			}
		}
	}
	depth := 0
	for _, l := range layer {
		depth = max(depth, l+1)
	}
	layers := make([][]*slot, depth)
	at := make([]*slot, len(steps))
	for i := range steps {
		at[i] = &slot{step: i}
		layers[layer[i]] = append(layers[layer[i]], at[i])
	}
	type route struct{ slots []*slot } // from source to target, including bends
	var routes []route
	for i, list := range needs {
		for _, j := range list {
			r := route{slots: []*slot{at[j]}}
			for l := layer[j] + 1; l < layer[i]; l++ {
				bend := &slot{step: -1, prev: []*slot{r.slots[len(r.slots)-1]}}
				layers[l] = append(layers[l], bend)
				r.slots = append(r.slots, bend)
			}
			at[i].prev = append(at[i].prev, r.slots[len(r.slots)-1])
			r.slots = append(r.slots, at[i])
			routes = append(routes, r)
		}
	}
	tallest := 1
	for _, l := range layers {
		tallest = max(tallest, len(l))
	}
	for range 2 {
		for _, l := range layers {
			want := map[*slot]float64{}
			for k, s := range l {
				want[s] = float64(k)
				if len(s.prev) > 0 {
					var sum float64
					for _, p := range s.prev {
						sum += p.row
					}
					want[s] = sum / float64(len(s.prev))
				}
			}
			slices.SortStableFunc(l, func(a, b *slot) int { return cmp.Compare(want[a], want[b]) })
			for k, s := range l { // centre each layer vertically
				s.row = float64(k) + float64(tallest-len(l))/2
			}
		}
	}

	d := dag{
		Width:  2*margin + float64(depth)*nodeWidth + float64(max(depth-1, 0))*layerGap,
		Height: 2*margin + float64(tallest)*nodeHeight + float64(tallest-1)*rowGap,
	}
	x := func(l int) float64 { return margin + float64(l)*(nodeWidth+layerGap) }
	mid := func(s *slot) float64 { return margin + s.row*(nodeHeight+rowGap) + nodeHeight/2 }
	for i, s := range steps {
		y := mid(at[i]) - nodeHeight/2
		d.Nodes = append(d.Nodes, dagNode{
			X: x(layer[i]), Y: y, W: nodeWidth, H: nodeHeight, TextX: x(layer[i]) + 14, NameY: y + 21, NotY: y + 38,
			Name: clip(short(s.Name), 17), Note: clip(note(i), 24), Class: class(i), full: s.Name,
		})
	}
	for _, r := range routes {
		var b strings.Builder
		l := layer[r.slots[0].step]
		px, py := x(l)+nodeWidth, mid(r.slots[0])
		fmt.Fprintf(&b, "M%.1f %.1f", px, py)
		for k, s := range r.slots[1:] {
			nx, ny := x(l+k+1), mid(s)
			fmt.Fprintf(&b, " C%.1f %.1f %.1f %.1f %.1f %.1f", px+layerGap/2, py, nx-layerGap/2, ny, nx, ny)
			px, py = nx, ny
			if s.step < 0 { // at a bend, the edge passes straight through the layer
				px += nodeWidth
				fmt.Fprintf(&b, " L%.1f %.1f", px, py)
			}
		}
		d.Edges = append(d.Edges, dagEdge{Path: b.String()})
	}
	return d
}

// resolveNeeds turns the names in Needs ("data" or "data.train") into indices of steps, without duplicates. Names that
// are not steps, such as files and refs, are left out.
func resolveNeeds(steps []Step) [][]int {
	index := map[string]int{}
	for i, s := range steps {
		index[s.Name] = i
	}
	out := make([][]int, len(steps))
	for i, s := range steps {
		for _, n := range s.Needs {
			j, ok := index[n]
			if !ok {
				head, _, _ := strings.Cut(n, ".")
				j, ok = index[head]
			}
			if ok && j != i && !slices.Contains(out[i], j) {
				out[i] = append(out[i], j)
			}
		}
	}
	return out
}

// short leaves out the names of parameters in the name of an instance: potential[seed=0] becomes potential[0].
func short(name string) string {
	base, rest, ok := strings.Cut(name, "[")
	if !ok {
		return name
	}
	parts := strings.Split(rest, ",")
	for i, part := range parts {
		_, parts[i], _ = strings.Cut(part, "=")
	}
	return base + "[" + strings.Join(parts, ",")
}

// clip shortens s to at most n characters.
func clip(s string, n int) string {
	r := []rune(s)
	if len(r) <= n {
		return s
	}
	return string(r[:n-1]) + "…"
}
