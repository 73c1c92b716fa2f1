package report

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"vapo/lib/contract"

	"github.com/google/go-cmp/cmp"
	"gonum.org/v1/plot/plotter"
)

// To rewrite the golden files: go test ./pipeline/internal/report -run Ablation -update
var update = flag.Bool("update", false, "rewrite the golden files")

// ablationRun returns a run that compares two objectives at four end times of the integration, with scores during
// training.
func ablationRun(t testing.TB) *Run {
	r := &Run{Name: "ablation", Steps: []Step{{Name: "data", Stage: "prep", Seconds: 1,
		Manifest: mustManifest(t, map[string]any{"wall_seconds": 1})}}}
	for k, objective := range []string{"matching", "energy"} {
		var metrics bytes.Buffer
		for i := 1; i <= 200; i++ {
			loss := 0.3 + float64(1+k)*math.Exp(-float64(i)/30)
			fmt.Fprintf(&metrics, `{"step":%d,"loss":%g,"grad_norm":%g,"learning_rate":0.001`, i, loss, 2*loss)
			if i%10 == 0 {
				metrics.WriteString(`,"bins":[`)
				for b := range 20 {
					fmt.Fprintf(&metrics, `%s{"from":%g,"to":%g,"count":%d,"loss":%g,"grad_rms":%g,"spread":%g}`,
						map[bool]string{true: ","}[b > 0],
						float64(b)/20, float64(b+1)/20, b, loss*float64(b+1), loss+float64(b), 0.1)
				}
				metrics.WriteString(`]`)
			}
			metrics.WriteString("}\n")
			if i%50 == 0 {
				fmt.Fprintf(&metrics, `{"step":%d,"score":%g,"score_n":1000}`+"\n", i, 40*loss)
			}
		}
		variance := any(map[string]any{"bins": []any{map[string]any{"variance": 0.25, "batches": 8},
			map[string]any{"variance": 0.0625, "batches": 8}}})
		if k == 1 {
			variance = map[string]any{"bins": []any{map[string]any{"variance": 7.5, "batches": 8}}}
		}
		r.Steps = append(r.Steps, Step{
			Name: objective, Stage: "train", Seconds: 9, Needs: []string{"data"}, NoEffect: []string{"log-every"},
			Manifest: mustManifest(t, map[string]any{
				"wall_seconds": 9, "params": map[string]any{"objective": objective, "seed": 1, "steps": 200, "log-every": 1 + k},
				"costs": map[string]float64{"samples/s": 100 + float64(k), "seconds": 8.5},
				"results": map[string]any{"gradient_variance": variance, "score_metric": "Fréchet distance of classifier features",
					"score_n":   []int{1000, 10000},
					"test_loss": 0.25 + float64(k), "test_loss_by_time": []float64{0.5, float64(2 * k)}},
			}),
			Outputs: []Output{{"metrics", digest("m"), contract.MediaNDJSON, 1, metrics.Bytes()},
				{"progress", digest("p"), contract.MediaPNG, 1, pngGrid(t, 48, 12, k)}},
		})
		for j, end := range []float64{1, 1.5, 2, 4} {
			name := fmt.Sprintf("%s-%d", objective, j)
			r.Steps = append(r.Steps,
				Step{Name: name, Stage: "sample", Seconds: 2, Needs: []string{objective}, Subject: objective,
					NoEffect: []string{"trajectories"}, Manifest: mustManifest(t,
						map[string]any{
							"params": map[string]any{"t-end": end, "n": 1000, "trajectories": j},
							"costs":  map[string]float64{"evaluations/sample": 40},
						}),
					Outputs: []Output{{"trajectories", digest("t"), contract.MediaPNG, 1, pngGrid(t, 40, 10, j)}}},
				Step{Name: "score-" + name, Stage: "eval", Seconds: 2, Needs: []string{name, "data"}, Subject: name,
					Ports:    evalPorts,
					Manifest: mustManifest(t, map[string]any{"params": map[string]any{"seed": 0}}),
					Outputs: []Output{{"score", digest("s"), contract.MediaJSON, 1,
						fmt.Appendf(nil, `{"headline":"h","metric":"Fréchet | distance","value":%g,"n":[1000,60000],`+
							`"reference":"fashion-mnist train","features":"classifier sha256:0123456789abcdef0123","interval":{"low":%g,`+
							`"high":%g,"level":0.95},"baselines":{},"warnings":[]}`,
							12+float64(k)+end*end, 11+end, 14+end*end)}}})
		}
	}
	return r
}

func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("%s (-want +got):\n%s", name, diff)
	}
}

// The golden files list the parameters that differ between the rows. Parameters that are the same in all rows, or that
// have no effect on scores, are left out.
func TestAblationTable(t *testing.T) {
	c := Compare(ablationRun(t).Steps)
	var markdown, asJSON bytes.Buffer
	if err := WriteMarkdown(&markdown, c); err != nil {
		t.Fatal(err)
	}
	if err := WriteJSON(&asJSON, c); err != nil {
		t.Fatal(err)
	}
	golden(t, "ablation.md", markdown.Bytes())
	golden(t, "ablation.json", asJSON.Bytes())
	var again []*Comparison
	if err := json.Unmarshal(asJSON.Bytes(), &again); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(c, again); diff != "" {
		t.Errorf("decoding the JSON (-want +got):\n%s", diff)
	}
	if none := Compare(nil); none == nil || len(none) != 0 {
		t.Errorf("Compare(nil) returned %+v, want an empty list", none)
	}
}

// Scores that cannot be compared get separate tables. Real images have no sampling parameters, so they must not make
// such a parameter count as different.
func TestComparisonsApart(t *testing.T) {
	step := func(name, kind string, needs []string, params map[string]any) Step {
		subject := ""
		if kind != "train" && len(needs) > 0 {
			subject = needs[0]
		}
		return Step{Name: name, Stage: kind, Needs: needs, Subject: subject,
			Manifest: mustManifest(t, map[string]any{"params": params})}
	}
	score := func(name, metric string, from string) Step {
		s := step(name, "eval", []string{from}, map[string]any{"seed": 0})
		s.Ports, s.Outputs = evalPorts, []Output{{"score", digest("s"), contract.MediaJSON, 1,
			[]byte(`{"headline":"h","metric":"` + metric + `","value":1,"reference":"r"}`)}}
		return s
	}
	all := Compare([]Step{
		step("data", "prep", nil, nil),
		step("a", "train", []string{"data"}, map[string]any{"objective": "matching", "batch": 32}),
		step("b", "train", []string{"data"}, map[string]any{"objective": "energy", "batch": 32}),
		step("p", "train", []string{"data"}, map[string]any{"objective": "matching", "batch": 512}),
		step("as", "sample", []string{"a"}, nil), step("bs", "sample", []string{"b"}, nil),
		step("ps", "sample", []string{"p"}, nil),
		score("floor", "Fréchet", "data"), score("sa", "Fréchet", "as"), score("sp", "W2", "ps"),
		score("sb", "Fréchet", "bs"),
	})
	var markdown bytes.Buffer
	if err := WriteMarkdown(&markdown, all); err != nil {
		t.Fatal(err)
	}
	const want = `| step | train objective | value | metric | reference |
| --- | --- | --- | --- | --- |
| floor |  | 1 | Fréchet | r |
| sa | matching | 1 | Fréchet | r |
| sb | energy | 1 | Fréchet | r |

| step | value | metric | reference |
| --- | --- | --- | --- |
| sp | 1 | W2 | r |
`
	if got := markdown.String(); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestAblationPage(t *testing.T) {
	page := render(t, ablationRun(t))
	if *writeDir != "" {
		if err := os.WriteFile(filepath.Join(*writeDir, "ablation.html"), []byte(page), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	checkSelfContained(t, page)
	text := textOf(t, page)
	for _, want := range []string{
		"train objective", "sample t-end", "0.0625 to 0.25", "7.5 to 7.5", "12 to 15", "Score over sample t-end",
		"train objective energy", "Progress", "Trajectories",
		"Fréchet distance of classifier features, 1000 against 10,000, measured during training", "0.1 to 0.15",
		"Loss by time",
		"Grad rms by time", "Spread by time", "Gradient norm",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is not on the page", want)
		}
	}
	if strings.Contains(text, "train log-every") {
		t.Error("a parameter without effect on scores is compared")
	}
	// Each of the two training steps has plots of a loss, a norm, a score and three quantities by time. One more plot
	// shows the scores over t-end.
	if n := strings.Count(page, `class="plot"`); n != 2*6+1 {
		t.Errorf("the page has %d plots, want 13", n)
	}
}

// Scores are drawn over the length of the weights' average. Weights that are not given as std:LENGTH are left out.
func TestScoresOverAverageLength(t *testing.T) {
	c := &Comparison{Facts: []string{"sample weights"}}
	for i, weights := range []string{"std:0.05", "std:0.07", "std:0.1", "std:0.1@600", "ema"} {
		c.Rows = append(c.Rows, Compared{Facts: map[string]any{"sample weights": weights}, Value: float64(60 - i)})
	}
	for rows, want := range map[int]int{2: 0, 3: 1, 5: 1} {
		p, part := &page{}, &Comparison{Facts: c.Facts, Rows: c.Rows[:rows]}
		if err := p.compare(part); err != nil {
			t.Fatal(err)
		}
		if len(p.ScoreCurves) != want {
			t.Errorf("%d rows give %d plots, expected %d", rows, len(p.ScoreCurves), want)
		}
	}
	for v, want := range map[any]float64{"std:0.07": 0.07, 3.0: 3} {
		if x, ok := coordinate(v); !ok || x != want {
			t.Errorf("%v is drawn at %v (%t), expected %v", v, x, ok, want)
		}
	}
	for _, v := range []any{"std:0.1@600", "ema", "0.07", nil, true} {
		if x, ok := coordinate(v); ok {
			t.Errorf("%v is drawn at %v, want it left out", v, x)
		}
	}
}

// Bins are read with and without ends; malformed bins are left out.
func TestBins(t *testing.T) {
	for text, want := range map[string][]string{
		`{"step":1,"bins":[{"from":0,"to":0.5,"loss":1},{"from":0.5,"to":1,"loss":2}]}` + "\n" +
			`{"step":2,"bins":[{"from":0,"to":0.5,"loss":1},{"from":0.5,"to":1,"loss":2}]}`: {"0 to 0.5", "0.5 to 1"},
		`{"step":1,"bins":[{"loss":1},{"loss":2,"count":0}]}` + "\n" +
			`{"step":2,"bins":[{"loss":1},{"loss":2,"count":0}]}`: {"0"},
		`{"step":1,"bins":{"loss":1}}` + "\n" + `{"bins":[{"loss":1}]}` + "\n" +
			`"bins"`: {},
	} {
		got := []string{}
		for _, q := range binSeries([]byte(text)) {
			if q.name != "loss" {
				t.Errorf("%s: quantity %s, want loss", text, q.name)
			}
			for _, s := range q.list {
				got = append(got, s.name)
			}
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", text, diff)
		}
	}
}

// The gradient's variance, which only some lines have, is drawn for the same bins as the other quantities.
func TestVarianceByTime(t *testing.T) {
	line := `{"step":%d,"bins":[{"from":0,"to":0.5,"loss":1},{"from":0.5,"to":1,"loss":2}]%s}` + "\n"
	with := `,"gradient_variance":[{"variance":4,"mean_square":9},{"variance":%d}]`
	text := fmt.Sprintf(line, 1, fmt.Sprintf(with, 5)) + fmt.Sprintf(line, 2, "") +
		fmt.Sprintf(line, 3, fmt.Sprintf(with, 7))
	list := binSeries([]byte(text))
	if len(list) != 2 || list[0].name != "gradient_variance" || list[0].title() != "Gradient variance by time" {
		t.Fatalf("quantities %+v, want two, the first with the title \"Gradient variance by time\"", list)
	}
	want := []series{{"0 to 0.5", plotter.XYs{{X: 1, Y: 4}, {X: 3, Y: 4}}},
		{"0.5 to 1", plotter.XYs{{X: 1, Y: 5}, {X: 3, Y: 7}}}}
	if diff := cmp.Diff(want, list[0].list, cmp.AllowUnexported(series{})); diff != "" {
		t.Error("curves (-want +got):\n", diff)
	}
}
