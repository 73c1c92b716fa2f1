package report

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/net/html"

	"vapo/lib/contract"
)

// To write the pages to DIR: go test ./pipeline/internal/report -run Realistic -write DIR
var writeDir = flag.String("write", "", "directory to write the test's reports to")

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
		// The page must show everything that identifies the run.
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

// TestPlaces checks that the page says where steps ran. It has no columns for jobs unless there are any.
func TestPlaces(t *testing.T) {
	text := textOf(t, render(t, mixtureRun(t)))
	for _, want := range []string{"node-matching", "10matching", "9 min 00 s", "node-energy", "10energy", "10 min 00 s"} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is not on the page", want)
		}
	}
	local := imageRun(t)
	local.Steps[1].Host = "laptop"
	if text := textOf(t, render(t, local)); !strings.Contains(text, "laptop") || strings.Contains(text, "queued") {
		t.Errorf("the page of a local run lacks its host, or says that a step was queued:\n%s", text)
	}
}

func TestImageRunShowsItsResults(t *testing.T) {
	page := render(t, imageRun(t))
	text := textOf(t, page)
	for _, want := range []string{
		"12.84", "1000 against 60,000", "fashion-mnist train", "classifier sha256:5a3c0ffee1d2",
		"per-pixel Gaussian of the training set", "205.9", "floor: train against test",
		"compare only at this N", "1 warning", "9 min 12 s", "5, 1 from the cache", "gorgonia.org/gorgonia", "v0.9.18",
		"47.3 MB", "Samples", "Real data", "samples above their neighbours", "4 March 2026",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is not on the page", want)
		}
	}
	if n := strings.Count(page, "data:image/png;base64,"); n != 4 {
		t.Errorf("%d images, want samples, reference, neighbours and preview", n)
	}
	// Samples must come directly before their reference.
	s, r := strings.Index(page, "<b>Samples</b>"), strings.Index(page, "<b>Real data</b>")
	if s < 0 || r < s || strings.Count(page[s:r], "<figure>") != 1 {
		t.Error("samples and real data are not side by side")
	}
	if n := strings.Count(page, `class="plot"`); n != 4 { // two losses, a norm and the accuracies
		t.Errorf("%d plots, want 4", n)
	}
}

// textOf returns the text of the page. It fails the test if the page is not valid HTML.
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

// checkSelfContained fails the test if the page contains scripts or fetches anything.
func checkSelfContained(t testing.TB, page string) {
	t.Helper()
	doc, err := html.Parse(strings.NewReader(page))
	if err != nil {
		t.Fatal(err)
	}
	allowed := map[string]bool{}
	for e := range strings.FieldsSeq("html head meta title style body main header section article aside div p h1 h2 h3 " +
		"h4 dl dt dd strong b i span ul li code pre figure figcaption img table caption thead tbody tr th td svg g path " +
		"rect text circle") {
		allowed[e] = true
	}
	var walk func(*html.Node)
	walk = func(n *html.Node) {
		if n.Type == html.ElementNode {
			if !allowed[n.Data] {
				t.Errorf("element %s is not allowed on the page", n.Data)
			}
			for _, a := range n.Attr {
				switch {
				case strings.HasPrefix(a.Key, "on") || a.Key == "href" || a.Key == "srcset":
					t.Errorf("attribute %s=%q of %s is not allowed on the page", a.Key, a.Val, n.Data)
				case a.Key == "src" && !strings.HasPrefix(a.Val, "data:image/png;base64,"):
					t.Errorf("source %q of %s is not embedded in the page", a.Val, n.Data)
				case a.Key == "style" && strings.Contains(a.Val, "url("):
					t.Errorf("style %q of %s loads a file", a.Val, n.Data)
				}
			}
		}
		for c := n.FirstChild; c != nil; c = c.NextSibling {
			walk(c)
		}
	}
	walk(doc)
}

// Any text in a recipe, a manifest or a blob is shown as text, even if it is HTML.
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
			Error: evil,
			Steps: []Step{
				{Name: evil, Stage: evil, Ports: evalPorts, Key: evil, Error: evil, Needs: []string{evil, "other"}, Host: evil,
					Job: evil,
					Manifest: json.RawMessage(fmt.Sprintf(`{"backend":%[1]s,"params":{%[1]s:%[1]s},"units":{%[1]s:%[1]s},`+
						`"inputs":{%[1]s:%[1]s},"results":{%[1]s:[%[1]s],"timeline":[{"seconds":1,"field_error":{%[1]s:1,"b":2}},`+
						`{"seconds":2,"field_error":{%[1]s:1}}]},"warnings":[%[1]s],"versions":{%[1]s:%[1]s}}`, e)),
					Outputs: []Output{{Name: evil, Digest: evil, Media: contract.MediaPNG, Size: -5, Data: []byte(evil)},
						{Name: "grid", Media: contract.MediaPNG, Data: pngGrid(t, 2, 2, 0)},
						{Name: "metrics", Media: contract.MediaNDJSON, Data: []byte(metrics)},
						{Name: "score", Media: contract.MediaJSON,
							Data: []byte(fmt.Sprintf(`{"headline":%[1]s,"metric":%[1]s,"value":1,"n":%[1]s,"reference":%[1]s,`+
								`"features":%[1]s,"baselines":{%[1]s:2},"warnings":[%[1]s],%[1]s:%[1]s}`, e))}}},
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

// A warning takes the place of a figure, score or curve whose blob is damaged.
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
			t.Errorf("%q is not on the page", want)
		}
	}
	if err := Write(&bytes.Buffer{}, nil); err == nil {
		t.Error("Write accepted a nil run")
	}
	checkSelfContained(t, render(t, &Run{}))
}

// brokenWriter fails after left bytes, like a full disk. Write must return the error.
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
		[]byte(`{"step":1,"score":2,"bins":[{"from":0,"to":1,"loss":1}]}`+"\n"+`{"step":2,"bins":[{"from":0,"loss":1e99},`+
			`{}]}`), []byte(`{"value":1,"n":5,"interval":{"low":1,"high":2}}`), "<b>")
	f.Add([]byte(`{"wall_seconds":1e308}`), []byte(`{"step":-1e99,"loss":1e99}`+"\n"+`{"step":1e99,"loss":-1e99}`),
		[]byte(`{"value":1e-320,"baselines":{"a":0}}`), "<b>")
	f.Fuzz(func(t *testing.T, manifest, metrics, score []byte, name string) {
		r := &Run{Name: name, RecipeYAML: []byte(name), Steps: []Step{
			{Name: name, Stage: name, Ports: evalPorts, Manifest: manifest, Needs: []string{"b"},
				Outputs: []Output{{Name: "metrics", Media: contract.MediaNDJSON, Data: metrics},
					{Name: "score", Media: contract.MediaJSON, Data: score}, {Name: "grid", Media: contract.MediaPNG, Data: score}}},
			{Name: "b", Needs: []string{name, "b"}},
			{Name: "t", Stage: "train", Manifest: manifest, Needs: []string{name}},
			{Name: "s", Stage: "sample", Manifest: manifest, Needs: []string{"t"}, Subject: "t"},
			{Name: "e", Stage: "eval", Ports: evalPorts, Needs: []string{"s"}, Subject: "s",
				Outputs: []Output{{Name: "score", Media: contract.MediaJSON, Data: score}}},
		}}
		var buf bytes.Buffer
		if err := Write(&buf, r); err != nil {
			t.Fatal(err)
		}
		checkSelfContained(t, buf.String())
	})
}
