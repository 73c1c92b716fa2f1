package report

import (
	"math"
	"strings"
	"testing"
)

func TestNumbersForPeople(t *testing.T) {
	for v, want := range map[float64]string{
		0: "0", 1: "1", -3: "-3", 1000: "1000", 60000: "60,000", -1234567: "-1,234,567", 12.8437: "12.84", 0.30712: "0.3071",
		205.91: "205.9", 1480.26: "1480",
		0.001: "0.001", 0.00012345: "0.0001234", 1.5: "1.5", 2.5e-7: "2.5e-07", 1234567.8: "1.235e+06", math.Inf(1): "+Inf",
		99.999: "100", 0.05: "0.05",
	} {
		if got := number(v); got != want {
			t.Errorf("number(%v) = %q, want %q", v, got, want)
		}
	}
}

func TestTicksAreRoundAndInside(t *testing.T) {
	for _, r := range [][2]float64{{0, 1000}, {1, 60}, {0.11, 0.97}, {-3, 7}, {1e-9, 3e-9}, {5e7, 9e7}, {-1e90, 1e90}} {
		ticks := plainTicks{}.Ticks(r[0], r[1])
		if len(ticks) < 3 || len(ticks) > 8 {
			t.Errorf("%d ticks from %g to %g, want 3 to 8", len(ticks), r[0], r[1])
		}
		for _, k := range ticks {
			if k.Value < r[0]-1e-9*math.Abs(r[0]) || k.Value > r[1]+1e-9*math.Abs(r[1]) || len(k.Label) > 10 {
				t.Errorf("tick %g %q lies outside %g to %g, or has more than 10 characters", k.Value, k.Label, r[0], r[1])
			}
		}
	}
	for _, r := range [][2]float64{{0.01, 1.2}, {0.3, 2.5}, {1e-30, 1e30}, {1e-99, 1e99}} {
		ticks := logTicks{}.Ticks(r[0], r[1])
		if len(ticks) < 2 || len(ticks) > 10 {
			t.Errorf("%d ticks from %g to %g, want 2 to 10", len(ticks), r[0], r[1])
		}
	}
}

func TestLongMetricsAreThinned(t *testing.T) {
	var b strings.Builder
	for i := range 5000 {
		b.WriteString(`{"step":` + number(float64(i%1000)) + `,"loss":2,"name":"x"}` + "\n")
	}
	list, bad := readMetrics([]byte(b.String() + "{\"step\":\"1\"}\nnonsense\n\n[1]\n"))
	if len(list) != 1 || list[0].name != "loss" || len(list[0].xy) != 5000 || bad != 3 {
		t.Fatalf("%d series, %d bad lines; want one series of 5000 values of loss, and 3 bad lines", len(list), bad)
	}
	thin := list[0].downsample()
	if len(thin.xy) != maxPoints {
		t.Errorf("%d points are left, want %d", len(thin.xy), maxPoints)
	}
	for i, p := range thin.xy {
		if math.Abs(p.Y-2) > 1e-12 || (i > 0 && p.X < thin.xy[i-1].X) {
			t.Fatalf("point %d is %v; want y = 2, and x not less than before", i, p)
		}
	}
}

func TestDAGLayers(t *testing.T) {
	steps := []Step{
		{Name: "score", Needs: []string{"samples.samples", "data.train", "classifier", "ref:best"}},
		{Name: "samples", Needs: []string{"potential"}}, {Name: "potential", Needs: []string{"data"}},
		{Name: "classifier", Needs: []string{"data", "data"}}, {Name: "data"}, {Name: "alone"},
	}
	d := drawDAG(steps, func(int) string { return "note" }, func(int) string { return "ran" })
	x := map[string]float64{}
	for _, n := range d.Nodes {
		x[n.Name] = n.X
		for _, o := range d.Nodes { // no two nodes overlap
			if o.Name != n.Name && math.Abs(o.X-n.X) < nodeWidth && math.Abs(o.Y-n.Y) < nodeHeight {
				t.Errorf("%s and %s overlap", n.Name, o.Name)
			}
		}
		if n.X < 0 || n.Y < 0 || n.X+n.W > d.Width || n.Y+n.H > d.Height {
			t.Errorf("%s lies outside the drawing", n.Name)
		}
	}
	for _, pair := range [][2]string{{"data", "potential"}, {"potential", "samples"}, {"samples", "score"},
		{"data", "classifier"}, {"classifier", "score"}} {
		if x[pair[0]] >= x[pair[1]] {
			t.Errorf("%s at x = %g is not to the left of %s at %g", pair[0], x[pair[0]], pair[1], x[pair[1]])
		}
	}
	if len(d.Edges) != 6 {
		t.Errorf("%d edges, want 6", len(d.Edges))
	}
	// No runner accepts these cyclic graphs, but drawing them must still end.
	for _, needs := range [][2][]string{{{"b"}, {"a"}}, {{"a"}, {"b"}}} {
		if d := drawDAG([]Step{{Name: "a", Needs: needs[0]}, {Name: "b", Needs: needs[1]}}, func(int) string { return "" },
			func(int) string { return "" }); len(d.Nodes) != 2 {
			t.Errorf("a cycle has %d nodes in the drawing, want 2", len(d.Nodes))
		}
	}
	if d := drawDAG(nil, nil, nil); len(d.Nodes) != 0 {
		t.Error("a graph without steps has nodes")
	}
}

func TestRecipeLinesLoseNothing(t *testing.T) {
	for _, text := range []string{"a: b\n  - c: {d: e} # f\n", "# only\n\n\tx", "url: http://x#y", "k:v", ": x", "- a",
		"  key:"} {
		var b strings.Builder
		for i, l := range recipeLines([]byte(text)) {
			if i > 0 {
				b.WriteByte('\n')
			}
			b.WriteString(l.Indent + l.Key + l.Rest + l.Comment)
		}
		if want := strings.TrimRight(text, "\n"); b.String() != want {
			t.Errorf("%q became %q", want, b.String())
		}
	}
}
