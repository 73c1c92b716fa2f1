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
	"time"

	"golang.org/x/net/html"

	"vapo/lib/contract"
	"vapo/lib/dataset"
	"vapo/lib/preview"
)

// go test ./lib/report -run Realistic -write DIR leaves the pages there to look at.
var writeDir = flag.String("write", "", "directory to write the test's reports to")

// pngGrid draws n small pictures, some of them discs and some of them squares.
func pngGrid(t testing.TB, n, cols, kind int) []byte {
	t.Helper()
	const side = 28
	pixels := make([]uint8, n*side*side)
	for k := range n {
		for y := range side {
			for x := range side {
				dx, dy := float64(x)-13.5, float64(y)-13.5
				r := math.Hypot(dx, dy)
				if (k+kind)%2 == 0 {
					r = math.Max(math.Abs(dx), math.Abs(dy))
				}
				if r < 5+float64(k%7) {
					pixels[(k*side+y)*side+x] = uint8(120 + 19*(k%7))
				}
			}
		}
	}
	var buf bytes.Buffer
	if err := preview.Grid(&buf, &dataset.Images{N: n, C: 1, H: side, W: side, Pixels: pixels}, cols, 2); err != nil {
		t.Fatal(err)
	}
	return buf.Bytes()
}

func digest(s string) string {
	return "sha256:" + strings.Repeat(fmt.Sprintf("%02x", len(s)*37%256), 28) + fmt.Sprintf("%08x", len(s)*7919)
}

func mustManifest(t testing.TB, m map[string]any) json.RawMessage {
	t.Helper()
	b, err := json.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// imageRun is a run like the demonstration.
func imageRun(t testing.TB) *Run {
	var metrics, accuracy bytes.Buffer
	for i := range 1000 {
		loss := 2.2*math.Exp(-float64(i)/120) + 0.31 + 0.05*math.Sin(float64(i)*1.7)
		fmt.Fprintf(&metrics, `{"step":%d,"loss":%g,"lr":0.001,"grad_norm":%g}`+"\n", i+1, loss, 1+loss)
		if i%50 == 0 {
			fmt.Fprintf(&accuracy, `{"step":%d,"loss":%g,"accuracy":%g,"test_accuracy":%g}`+"\n", i+1, loss/2,
				0.93-0.8*math.Exp(-float64(i)/90), 0.9-0.78*math.Exp(-float64(i)/90))
		}
	}
	manifest := func(stage string, wall float64, params, results map[string]any, inputs map[string]string,
		warnings ...string) json.RawMessage {
		return mustManifest(t, map[string]any{
			"contract": 1, "stage": stage, "version": 1, "params": params, "inputs": inputs, "results": results,
			"warnings": warnings, "backend": map[bool]string{true: "tape"}[stage != "prep"],
			"units": map[string]string{"steps": "steps", "lr": "1/step"}, "wall_seconds": wall,
			"versions": map[string]string{"go": "go1.26.0", "gorgonia.org/gorgonia": "v0.9.18",
				"github.com/apache/arrow/go/v15": "v15.0.2", "openblas": "0.3.21"},
		})
	}
	const arrow = "application/vnd.apache.arrow.file"
	score := `{"headline":"16 times nearer to the data than per-pixel noise","metric":"Fréchet distance in classifier features","value":12.8437,"n":[1000,60000],"reference":"fashion-mnist train",
"features":"classifier sha256:5a3c0ffee1d2","baselines":{"per-pixel Gaussian of the training set":205.91,"floor: train against test":0.8121},"warnings":["1000 images for 512 features: the distance is biased upward, compare only at this N"],"nearest_training_distance":{"samples":1480.2,"test":1391.7}}`
	return &Run{
		Name: "demo", About: "Fashion-MNIST, end to end: train a potential, sample it, and measure the samples.",
		RecipeYAML: []byte("name: demo\nabout: Fashion-MNIST, end to end\nsteps:\n  data:       {stage: prep,  params: {source: fashion-mnist}}\n  potential:  # the generator\n    stage: train\n    inputs: {data: data.train}\n    params:\n      steps: 1000\n  classifier: {stage: train, inputs: {data: data.train, test: data.test}, params: {model: classifier}}\n  samples:    {stage: sample, inputs: {checkpoint: potential.checkpoint}, params: {n: 1000}}\n  score:      {stage: eval,  inputs: {samples: samples.samples, reference: data.train, test: data.test, features: classifier.checkpoint}}\n"),
		Started:    time.Date(2026, 3, 4, 15, 6, 7, 0, time.UTC), Wall: 9*time.Minute + 12*time.Second,
		Store: "s3://vapo/demo, the embedded gateway on .vapo/store",
		Steps: []Step{
			{Name: "data", Stage: "prep", Cached: true, Seconds: 0.021, Key: digest("k1")[7:],
				Manifest: manifest("prep", 6.4, map[string]any{"source": "fashion-mnist", "seed": 0},
					map[string]any{"train": 60000, "test": 10000}, nil),
				Outputs: []Output{{"train", digest("train"), arrow, 47_300_000, nil},
					{"test", digest("test"), arrow, 7_900_000, nil}, {"preview", digest("preview"), contract.MediaPNG, 31000,
						pngGrid(t, 40, 10, 0)}, {"summary", digest("summary"), contract.MediaJSON, 812, []byte(`{"train":60000}`)}}},
			{Name: "potential", Stage: "train", Seconds: 403.2, Key: digest("k22")[7:], Needs: []string{"data"},
				Manifest: manifest("train", 403.2, map[string]any{"steps": 1000, "model": "unet", "lr": 1e-3,
					"objective": "matching", "seed": 1}, map[string]any{"images_per_second": 158.8, "final_loss": 0.3107,
					"parameters": 125185}, map[string]string{"data": digest("train")}),
				Outputs: []Output{{"checkpoint", digest("checkpoint"), arrow, 2_004_118, nil},
					{"metrics", digest("metrics"), contract.MediaNDJSON, int64(metrics.Len()), metrics.Bytes()}}},
			{Name: "classifier", Stage: "train", Seconds: 58.3, Key: digest("k333")[7:], Needs: []string{"data"},
				Manifest: manifest("train", 58.3, map[string]any{"steps": 600, "model": "classifier"},
					map[string]any{"test_accuracy": 0.9012}, map[string]string{"data": digest("train"), "test": digest("test")}),
				Outputs: []Output{{"checkpoint", digest("ckpt2"), arrow, 804_118, nil},
					{"metrics", digest("metrics2"), contract.MediaNDJSON, int64(accuracy.Len()), accuracy.Bytes()}}},
			{Name: "samples", Stage: "sample", Seconds: 61.5, Key: digest("k4444")[7:], Needs: []string{"potential"},
				Manifest: manifest("sample", 61.5, map[string]any{"n": 1000, "solver": "heun", "steps": 30},
					map[string]any{"nfe_mean": 60}, map[string]string{"checkpoint": digest("checkpoint")}),
				Outputs: []Output{{"samples", digest("samples"), arrow, 790_000, nil},
					{"grid", digest("grid"), contract.MediaPNG, 40000, pngGrid(t, 100, 10, 1)}}},
			{Name: "score", Stage: "eval", Score: "score", Seconds: 22.9, Key: digest("k55555")[7:],
				Needs: []string{"samples", "data", "classifier"}, Manifest: manifest("eval", 22.9, map[string]any{"neighbours": 3},
					map[string]any{"value": 12.84}, map[string]string{"samples": digest("samples"), "reference": digest("train"),
						"test": digest("test"), "features": digest("ckpt2")}, "1000 images for 512 features: the distance is biased upward, compare only at this N"),
				Outputs: []Output{{"score", digest("score"), contract.MediaJSON, int64(len(score)), []byte(score)},
					{"neighbours", digest("neighbours"), contract.MediaPNG, 9000, pngGrid(t, 64, 16, 0)},
					{"reference", digest("reference"), contract.MediaPNG, 40000, pngGrid(t, 100, 10, 0)}}},
		},
	}
}

// mixtureRun has two trainings to compare, and a failed step.
func mixtureRun(t testing.TB) *Run {
	r := &Run{Name: "mixture2d", About: "Two objectives on eight Gaussians.", RecipeYAML: []byte("name: mixture2d\n"),
		Started: time.Date(2026, 3, 4, 1, 2, 3, 0, time.UTC), Wall: 131 * time.Second, Store: "s3://vapo"}
	r.Steps = append(r.Steps, Step{Name: "data", Stage: "prep", Seconds: 0.3, Key: digest("d")[7:],
		Manifest: mustManifest(t, map[string]any{"wall_seconds": 0.3})})
	for k, name := range []string{"matching", "energy"} {
		var timeline []map[string]any
		for i := range 30 {
			s := float64(2 * (i + 1))
			e := func(floor float64) float64 { return (1 + float64(k)) * (floor + 0.8*math.Exp(-s/9)) }
			timeline = append(timeline, map[string]any{"step": i * 400, "seconds": s,
				"field_error": map[string]float64{"0.2": e(0.011), "0.5": e(0.05), "0.8": e(0.2)}})
		}
		r.Steps = append(r.Steps,
			Step{Name: name, Stage: "train", Seconds: 60, Key: digest(name)[7:], Needs: []string{"data"},
				Manifest: mustManifest(t, map[string]any{"wall_seconds": 60,
					"results": map[string]any{"timeline": timeline, "steps_per_second": 211.3}})},
			Step{Name: "samples-" + name, Stage: "sample", Seconds: 3, Key: digest(name + "s")[7:], Needs: []string{name},
				Manifest: mustManifest(t, map[string]any{"wall_seconds": 3})},
			Step{Name: "score-" + name, Stage: "eval", Score: "score", Seconds: 2, Key: digest(name + "sc")[7:],
				Needs: []string{"samples-" + name, "data"}, Manifest: mustManifest(t, map[string]any{"wall_seconds": 2}),
				Outputs: []Output{{"score", digest("sc"), contract.MediaJSON, 1,
					[]byte(fmt.Sprintf(`{"headline":"%g times data against data","metric":"sliced W2","value":%g,"n":[10000,10000],"reference":"fresh draws of the mixture","baselines":{"data against data":0.0131},"warnings":[]}`, 1.4+float64(k), 0.0183*(1+float64(k))))}}})
	}
	r.Steps = append(r.Steps, Step{Name: "extra", Stage: "train", Seconds: 1.2, Needs: []string{"data"},
		Error: "loss is NaN at step 412; the last good checkpoint is kept\nhint: lower --lr"},
		Step{Name: "extra-samples", Stage: "sample", Needs: []string{"extra"}})
	return r
}

func render(t testing.TB, r *Run) string {
	t.Helper()
	var buf bytes.Buffer
	if err := Write(&buf, r); err != nil {
		t.Fatal(err)
	}
	return buf.String()
}

func TestRealisticRuns(t *testing.T) {
	for _, r := range []*Run{imageRun(t), mixtureRun(t)} {
		page := render(t, r)
		if again := render(t, r); again != page {
			t.Errorf("%s: two renderings differ", r.Name)
		}
		if *writeDir != "" {
			if err := os.WriteFile(filepath.Join(*writeDir, r.Name+".html"), []byte(page), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		checkSelfContained(t, page)
		text := textOf(t, page)
		// Nothing that identifies the run may be missing.
		for _, s := range r.Steps {
			for _, want := range []string{s.Name, s.Stage, s.Key} {
				if !strings.Contains(text, want) {
					t.Errorf("%s: %q of step %s is not on the page", r.Name, want, s.Name)
				}
			}
			for _, o := range s.Outputs {
				if !strings.Contains(text, o.Digest) {
					t.Errorf("%s: digest of %s.%s is not on the page", r.Name, s.Name, o.Name)
				}
			}
			for line := range strings.Lines(s.Error) {
				if !strings.Contains(text, strings.TrimSpace(line)) {
					t.Errorf("%s: error line %q is not on the page", r.Name, line)
				}
			}
		}
		for line := range strings.Lines(string(r.RecipeYAML)) {
			if !strings.Contains(text, strings.TrimRight(line, "\n")) {
				t.Errorf("%s: recipe line %q is not on the page", r.Name, line)
			}
		}
	}
}

func TestImageRunShowsItsResults(t *testing.T) {
	page := render(t, imageRun(t))
	text := textOf(t, page)
	for _, want := range []string{
		"12.84", "1000 against 60,000", "fashion-mnist train", "classifier sha256:5a3c0ffee1d2",
		"per-pixel Gaussian of the training set", "205.9", "floor: train against test",
		"compare only at this N", "1 warning", "9 min 12 s", "5, 1 from the cache", "gorgonia.org/gorgonia", "v0.9.18",
		"47.3 MB", "Samples", "Real data", "Nearest neighbours", "4 March 2026",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is not on the page", want)
		}
	}
	if n := strings.Count(page, "data:image/png;base64,"); n != 4 {
		t.Errorf("%d images, want samples, reference, neighbours and preview", n)
	}
	// Samples stand directly before their reference.
	s, r := strings.Index(page, "<b>Samples</b>"), strings.Index(page, "<b>Real data</b>")
	if s < 0 || r < s || strings.Count(page[s:r], "<figure>") != 1 {
		t.Error("samples and real data are not side by side")
	}
	if n := strings.Count(page, `class="plot"`); n != 4 { // two losses, a norm and the accuracies
		t.Errorf("%d plots, want 4", n)
	}
}

// textOf returns the text of the page, and fails if it does not parse.
func textOf(t testing.TB, page string) string {
	t.Helper()
	doc, err := html.Parse(strings.NewReader(page))
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	var walk func(*html.Node)
	walk = func(n *html.Node) {
		if n.Type == html.TextNode && n.Parent.Data != "style" {
			b.WriteString(n.Data)
		}
		for c := n.FirstChild; c != nil; c = c.NextSibling {
			walk(c)
		}
	}
	walk(doc)
	return b.String()
}

// checkSelfContained fails on anything that runs or that is fetched.
func checkSelfContained(t testing.TB, page string) {
	t.Helper()
	doc, err := html.Parse(strings.NewReader(page))
	if err != nil {
		t.Fatal(err)
	}
	allowed := map[string]bool{}
	for e := range strings.FieldsSeq("html head meta title style body main header section article aside div p h1 h2 h3 h4 dl dt dd strong b i span ul li code pre figure figcaption img table caption thead tbody tr th td svg g path rect text circle") {
		allowed[e] = true
	}
	var walk func(*html.Node)
	walk = func(n *html.Node) {
		if n.Type == html.ElementNode {
			if !allowed[n.Data] {
				t.Errorf("element %s on the page", n.Data)
			}
			for _, a := range n.Attr {
				switch {
				case strings.HasPrefix(a.Key, "on") || a.Key == "href" || a.Key == "srcset":
					t.Errorf("attribute %s=%q of %s", a.Key, a.Val, n.Data)
				case a.Key == "src" && !strings.HasPrefix(a.Val, "data:image/png;base64,"):
					t.Errorf("source %q of %s", a.Val, n.Data)
				case a.Key == "style" && strings.Contains(a.Val, "url("):
					t.Errorf("style %q of %s", a.Val, n.Data)
				}
			}
		}
		for c := n.FirstChild; c != nil; c = c.NextSibling {
			walk(c)
		}
	}
	walk(doc)
}

// Whatever a recipe, a manifest or a blob contains is shown as text.
func TestHostileContentIsEscaped(t *testing.T) {
	for _, evil := range []string{
		`<script>alert(1)</script>`, `"><img src=x onerror=alert(1)>`, `'/><svg onload=alert(1)>`,
		`</style><script>alert(1)</script>`, `javascript:alert(1)`,
		`]]><script>`, "{{.Name}}", "--><b>", "\x00\xff<i>", `</text><script>alert(1)</script>`,
	} {
		q := func(s string) string {
			b, _ := json.Marshal(s)
			return string(b)
		}
		e := q(evil)
		metrics := fmt.Sprintf(`{"step":1,%[1]s:2,"loss":1,"loss%[2]s":2}`+"\n"+`{"step":2,"loss":2,"loss%[2]s":3}`, e,
			e[1:len(e)-1])
		r := &Run{
			Name: evil, About: evil, RecipeYAML: []byte(evil + "\nkey: " + evil + " # " + evil), Store: evil,
			Steps: []Step{
				{Name: evil, Stage: evil, Score: "score", Key: evil, Error: evil, Needs: []string{evil, "other"},
					Manifest: json.RawMessage(fmt.Sprintf(`{"backend":%[1]s,"params":{%[1]s:%[1]s},"units":{%[1]s:%[1]s},"inputs":{%[1]s:%[1]s},"results":{%[1]s:[%[1]s],"timeline":[{"seconds":1,"field_error":{%[1]s:1,"b":2}},{"seconds":2,"field_error":{%[1]s:1}}]},"warnings":[%[1]s],"versions":{%[1]s:%[1]s}}`, e)),
					Outputs: []Output{{Name: evil, Digest: evil, Media: contract.MediaPNG, Size: -5, Data: []byte(evil)},
						{Name: "grid", Media: contract.MediaPNG, Data: pngGrid(t, 2, 2, 0)},
						{Name: "metrics", Media: contract.MediaNDJSON, Data: []byte(metrics)},
						{Name: "score", Media: contract.MediaJSON,
							Data: []byte(fmt.Sprintf(`{"headline":%[1]s,"metric":%[1]s,"value":1,"n":%[1]s,"reference":%[1]s,"features":%[1]s,"baselines":{%[1]s:2},"warnings":[%[1]s],%[1]s:%[1]s}`, e))}}},
				{Name: "other", Needs: []string{evil}, Outputs: []Output{{Name: "reference", Media: contract.MediaPNG,
					Data: pngGrid(t, 2, 2, 1)}}},
			},
		}
		page := render(t, r)
		checkSelfContained(t, page)
		if clean := strings.Map(func(r rune) rune {
			if r == 0 || r == '\uFFFD' {
				return -1
			}
			return r
		}, strings.ToValidUTF8(evil, "")); !strings.Contains(textOf(t, page), clean) {
			t.Errorf("%q is not shown as text", evil)
		}
	}
}

// A damaged blob is replaced by a note.
func TestDamagedBlobs(t *testing.T) {
	r := imageRun(t)
	for i := range r.Steps {
		for j := range r.Steps[i].Outputs {
			o := &r.Steps[i].Outputs[j]
			o.Data = o.Data[:min(len(o.Data), 20)]
		}
		r.Steps[i].Manifest = r.Steps[i].Manifest[:30]
	}
	text := textOf(t, render(t, r))
	for _, want := range []string{"output score is not", "its manifest is malformed", "is not a PNG image",
		"1 lines are not numbers"} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is missing", want)
		}
	}
	if err := Write(&bytes.Buffer{}, nil); err == nil {
		t.Error("a report of no run")
	}
	checkSelfContained(t, render(t, &Run{}))
}

// A full disk is an error, not half a page.
type brokenWriter struct{ left int }

func (w *brokenWriter) Write(p []byte) (int, error) {
	if w.left -= len(p); w.left < 0 {
		return 0, os.ErrClosed
	}
	return len(p), nil
}

func TestWriteErrorsComeBack(t *testing.T) {
	for _, left := range []int{0, 5000, 20000} {
		if err := Write(&brokenWriter{left}, imageRun(t)); err == nil {
			t.Errorf("no error from a writer that takes %d bytes", left)
		}
	}
}

func FuzzWrite(f *testing.F) {
	f.Add([]byte(`{"results":{"timeline":[{"seconds":1,"field_error":{"0.2":0.1}}]}}`),
		[]byte(`{"step":1,"loss":2}`+"\n"+`{"step":2,"loss":1e-300}`), []byte(`{"value":1,"n":[1,2],"baselines":{"a":-1}}`),
		"a: b # c")
	f.Add([]byte(`{"params":{"a":1},"results":{"gradient_variance":[1,{"variance":2}],"score_metric":"m","score_n":[1]}}`),
		[]byte(`{"step":1,"score":2,"bins":[{"from":0,"to":1,"loss":1}]}`+"\n"+`{"step":2,"bins":[{"from":0,"loss":1e99},{}]}`), []byte(`{"value":1,"n":5,"interval":{"low":1,"high":2}}`), "<b>")
	f.Add([]byte(`{"wall_seconds":1e308}`), []byte(`{"step":-1e99,"loss":1e99}`+"\n"+`{"step":1e99,"loss":-1e99}`),
		[]byte(`{"value":1e-320,"baselines":{"a":0}}`), "<b>")
	f.Fuzz(func(t *testing.T, manifest, metrics, score []byte, name string) {
		r := &Run{Name: name, RecipeYAML: []byte(name), Steps: []Step{
			{Name: name, Stage: name, Score: "score", Manifest: manifest, Needs: []string{"b"},
				Outputs: []Output{{Name: "metrics", Media: contract.MediaNDJSON, Data: metrics},
					{Name: "score", Media: contract.MediaJSON, Data: score}, {Name: "grid", Media: contract.MediaPNG, Data: score}}},
			{Name: "b", Needs: []string{name, "b"}},
			{Name: "t", Stage: "train", Manifest: manifest, Needs: []string{name}},
			{Name: "s", Stage: "sample", Manifest: manifest, Needs: []string{"t"}, Subject: "t"},
			{Name: "e", Stage: "eval", Score: "score", Needs: []string{"s"}, Subject: "s",
				Outputs: []Output{{Name: "score", Media: contract.MediaJSON, Data: score}}},
		}}
		var buf bytes.Buffer
		if err := Write(&buf, r); err != nil {
			t.Fatal(err)
		}
		checkSelfContained(t, buf.String())
	})
}
