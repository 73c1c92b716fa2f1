// Package report renders a run of a pipeline as one self-contained HTML file, which can be mailed, archived and opened
// in ten years. Styles are inline, images are data URIs, and curves are SVG. The input consists of the results of a
// run: manifests, and PNG, JSON and NDJSON blobs. Missing data are left out, and a warning replaces a figure whose blob
// is damaged. The package imports neither tensors nor storage, because the runner imports it. Everything shown comes
// from recipes, files or other programs. Therefore html/template escapes all of it, and the page's content security
// policy forbids scripts and outside requests.
package report

import (
	"bufio"
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"html/template"
	"io"
	"iter"
	"slices"
	"time"

	"vapo/lib/contract"
	"vapo/lib/program"
)

// Run is one run of a recipe.
type Run struct {
	Name, About string
	RecipeYAML  []byte // source of the recipe, followed by the --set and --input arguments as comments
	Started     time.Time
	Wall        time.Duration
	Store       string // where the artifacts are stored, for display
	Error       string // why the run failed, unless a step has the reason
	Steps       []Step // in the order of the recipe or of execution
}

// Step is one step of a run.
type Step struct {
	Name, Stage string
	Cached      bool
	Seconds     float64 // time in this run; the manifest has the time of the run that made the outputs
	Host, Job   string  // where it ran, and the ID of its job in a batch system; empty if its result was cached
	Queued      float64 // time between submitting the job and its latest start
	Key         string  // cache key of the step
	Needs       []string
	Error       string          // of a step that failed
	NotRun      string          // why the step did not run
	Manifest    json.RawMessage // empty if the step did not finish
	Outputs     []Output
	Ports       []contract.Port // outputs that the stage declares
	Subject     string          // name of the step whose output this step evaluates, if any
	NoEffect    []string        // parameters that affect neither a score nor the samples that are scored
}

// port returns the declaration of an output, or a zero Port if the stage does not declare it.
func (s Step) port(name string) (p contract.Port) {
	if i := slices.IndexFunc(s.Ports, func(p contract.Port) bool { return p.Name == name }); i >= 0 {
		p = s.Ports[i]
	}
	return p
}

// Output is one artifact of a step. The report shows Data of type PNG, JSON and NDJSON. Data is nil for other types,
// and may be nil if the artifact is large.
type Output struct {
	Name, Digest, Media string
	Size                int64
	Data                []byte
}

// Headlines yields the name of each step that has a score, with the headline of the score.
func (r *Run) Headlines() iter.Seq2[string, string] {
	return func(yield func(step, headline string) bool) {
		for _, s := range r.Steps {
			if f, ok := readScore(s); ok && f.Headline != "" && !yield(s.Name, f.Headline) {
				return
			}
		}
	}
}

//go:embed page.html page.css
var files embed.FS

var pageTemplate = template.Must(template.New("page.html").Funcs(template.FuncMap{
	"number": number, "seconds": program.Duration, "bytes": program.Size, "short": shortDigest,
}).ParseFS(files, "page.html"))

// Write writes r as an HTML page. The output depends only on r.
func Write(w io.Writer, r *Run) error {
	if r == nil {
		return errors.New("report: no run")
	}
	p, err := newPage(r)
	if err != nil {
		return fmt.Errorf("report of run %q: %w", r.Name, err)
	}
	css, err := files.ReadFile("page.css")
	if err != nil {
		return err
	}
	p.CSS = template.CSS(css)
	buf := bufio.NewWriter(w)
	if err := pageTemplate.Execute(buf, p); err != nil {
		return fmt.Errorf("report of run %q: %w", r.Name, err)
	}
	return buf.Flush()
}
