// Package report renders a run of a pipeline as one self-contained HTML file: styles are inline, images are data URIs,
// curves are SVG. It can be mailed, archived and opened in ten years. Its input is what a run leaves behind: manifests,
// and PNG, JSON and NDJSON blobs. It links neither tensors nor storage, because the runner imports it. What is missing
// is left out. A figure whose blob is damaged is replaced by a note. Everything shown comes from a recipe, a
// file or another program, so html/template escapes all of it, and the content security policy of the page forbids
// scripts and outside requests.
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
)

// Run is one execution of a recipe.
type Run struct {
	Name, About string
	RecipeYAML  []byte // as resolved, with comments if it has any
	Started     time.Time
	Wall        time.Duration
	Store       string // where the artifacts are, for display
	Steps       []Step // in the order of the recipe or of execution
}

// Step is one step of a run.
type Step struct {
	Name, Stage string
	Cached      bool
	Seconds     float64 // in this run; the manifest has the time of the run that made the outputs
	Key         string  // cache key
	Needs       []string
	Error       string          // empty on success
	Manifest    json.RawMessage // empty if the step did not finish
	Outputs     []Output
	Ports       []contract.Port // the outputs that the stage declares
	Subject     string          // name of the step whose output this one is about, if any
	NoEffect    []string        // parameters that change neither a score nor what is scored
}

// port returns the declaration of an output, a zero one if the stage has none.
func (s Step) port(name string) (p contract.Port) {
	if i := slices.IndexFunc(s.Ports, func(p contract.Port) bool { return p.Name == name }); i >= 0 {
		p = s.Ports[i]
	}
	return p
}

// Output is one artifact of a step. Data may be nil if it is large or of another media type than PNG, JSON and NDJSON,
// which are shown.
type Output struct {
	Name, Digest, Media string
	Size                int64
	Data                []byte
}

// Headlines yields the steps that have a score, each with the headline of the score.
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
	"number": number, "seconds": Duration, "bytes": Size, "short": shortDigest,
}).ParseFS(files, "page.html"))

// Write renders r. The output depends only on r.
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
