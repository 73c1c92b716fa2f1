package report

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"html/template"
	"image"
	_ "image/png" // decoder for the sizes of figures
	"maps"
	"math"
	"slices"
	"sort"
	"strings"

	"vapo/lib/contract"
	"vapo/lib/program"
)

// page holds the data for the template page.html.
type page struct {
	CSS                               template.CSS
	Name, About, Started, Wall, Store string
	Error                             string
	Total, Cached                     int
	Failed                            []string
	Scores                            []score
	Compared                          []textTable
	ScoreCurves                       []curve
	Pairs                             []pair
	Figures                           []figure
	Curves                            []curve
	Graph                             dag
	Rows                              []row
	Details                           []detail
	Recipe                            []recipeLine
	Versions                          []field
	Warnings                          []warning
	ManyScores, HaveGraph             bool
	HaveHosts, HaveJobs               bool
}

type field struct{ Name, Value string }

type warning struct{ Step, Text string }

// A row is one step in the table of times. Took is the step's time in this run. Ran is the time of the run that
// computed the result, and Percent is that time as a part of the longest.
type row struct {
	Name, Stage, State, Class, Took, Ran, Backend, Key string
	Host, Job, Queued                                  string
	Percent                                            float64
}

// A detail is one step's entry in the appendix, which shows everything about the step.
type detail struct {
	Name, Stage, Key, Error string
	NotRun                  string
	Class, State            string
	Results, Params, Inputs []field
	Outputs                 []Output
}

// A figure is one image.
type figure struct {
	Title, Caption string
	Source         template.URL
	Width, Height  int
	Wide           bool // as wide as the page
}

// A pair is an image of samples shown next to an image of real data.
type pair struct{ Samples, Real figure }

// A curve is one drawing with its caption.
type curve struct {
	Title, Caption string
	Legend         []legendEntry
	SVG            template.HTML
}

// manifest is the part of a stage's manifest that the report reads. Decoding is lenient, so that a report can be made
// for any version of the contract.
type manifest struct {
	Version     any                        `json:"version"`
	Params      map[string]any             `json:"params"`
	Units       map[string]string          `json:"units"`
	Inputs      map[string]string          `json:"inputs"`
	Backend     string                     `json:"backend"`
	Results     map[string]json.RawMessage `json:"results"`
	Costs       map[string]float64         `json:"costs"`
	Warnings    []string                   `json:"warnings"`
	Versions    map[string]string          `json:"versions"`
	WallSeconds float64                    `json:"wall_seconds"`
}

func newPage(r *Run) (*page, error) {
	p := &page{Name: r.Name, About: r.About, Store: r.Store, Error: r.Error, Wall: program.Duration(r.Wall.Seconds()),
		Total: len(r.Steps), Recipe: recipeLines(r.RecipeYAML)}
	if p.Name == "" {
		p.Name = "unnamed"
	}
	if !r.Started.IsZero() {
		p.Started = r.Started.UTC().Format("2 January 2006, 15:04 UTC")
	}
	manifests := make([]manifest, len(r.Steps))
	for i, s := range r.Steps {
		if len(s.Manifest) > 0 && json.Unmarshal(s.Manifest, &manifests[i]) != nil {
			p.warn(s.Name, "its manifest is malformed; it is shown in part or not at all")
		}
		if s.Cached {
			p.Cached++
		}
		if s.Error != "" {
			p.Failed = append(p.Failed, s.Name)
		}
		for _, w := range manifests[i].Warnings {
			p.warn(s.Name, w)
		}
	}
	p.table(r.Steps, manifests)
	p.Graph = drawDAG(r.Steps, func(i int) string { return p.Rows[i].Stage + " · " + p.Rows[i].Ran },
		func(i int) string { return p.Rows[i].Class })
	p.HaveGraph = len(p.Graph.Nodes) > 0
	for _, s := range r.Steps {
		p.score(s)
	}
	p.ManyScores = len(p.Scores) > 1
	for _, c := range compare(r.Steps, manifests) {
		if err := p.compare(c); err != nil {
			return nil, err
		}
	}
	p.figures(r.Steps)
	if err := p.curves(r.Steps, manifests); err != nil {
		return nil, err
	}
	p.details(r.Steps, manifests)
	p.versions(manifests)
	return p, nil
}

// warn adds a warning unless it is already present: a score's warnings are usually in the manifest too.
func (p *page) warn(step, text string) {
	w := warning{step, text}
	if !slices.Contains(p.Warnings, w) {
		p.Warnings = append(p.Warnings, w)
	}
}

func (p *page) table(steps []Step, manifests []manifest) {
	var longest float64
	took := make([]float64, len(steps))
	for i, s := range steps {
		took[i] = s.Seconds
		if s.Cached && manifests[i].WallSeconds > 0 {
			took[i] = manifests[i].WallSeconds // the time that the cache saved
		}
		if took[i] < 0 || math.IsNaN(took[i]) || math.IsInf(took[i], 0) {
			took[i] = 0
		}
		longest = math.Max(longest, took[i])
	}
	for i, s := range steps {
		r := row{
			Name: s.Name, Stage: s.Stage, Took: program.Duration(s.Seconds), Ran: program.Duration(took[i]),
			Backend: manifests[i].Backend, Key: s.Key, Host: s.Host, Job: s.Job,
		}
		p.HaveHosts = p.HaveHosts || s.Host != ""
		if s.Job != "" {
			p.HaveJobs, r.Queued = true, program.Duration(s.Queued)
		}
		switch {
		case s.Error != "":
			r.State, r.Class = "failed", "failed"
		case s.Cached:
			r.State, r.Class = "cached", "cached"
		case len(s.Manifest) == 0 && len(s.Outputs) == 0:
			r.State, r.Class, r.Took, r.Ran = "not run", "idle", "–", "not run"
		default:
			r.State, r.Class = "ran", "ran"
		}
		if longest > 0 && r.Class != "idle" {
			r.Percent = math.Max(0.4, math.Round(1000*took[i]/longest)/10)
		}
		p.Rows = append(p.Rows, r)
	}
}

func (p *page) figures(steps []Step) {
	find := func(s Step, name string) (figure, bool) {
		for _, o := range s.Outputs {
			if o.Name == name && o.Media == contract.MediaPNG {
				return p.figure(o)
			}
		}
		return figure{}, false
	}
	shown := map[[2]string]bool{}
	for _, s := range steps {
		at := slices.IndexFunc(steps, func(other Step) bool { return other.Name == s.Subject })
		for _, port := range s.Ports {
			if port.Beside == "" || at < 0 {
				continue
			}
			subject := steps[at]
			samples, ok := find(subject, port.Beside)
			real, also := find(s, port.Name)
			if !ok || !also {
				continue
			}
			samples.Title, samples.Caption = "Samples", "step "+subject.Name
			real.Title, real.Caption = "Real data", "the reference of step "+s.Name
			p.Pairs = append(p.Pairs, pair{samples, real})
			shown[[2]string{s.Name, port.Name}] = true
			shown[[2]string{subject.Name, port.Beside}] = true
		}
	}
	// Show the last steps first: scores, then samples, then data.
	for _, s := range slices.Backward(steps) {
		for _, o := range s.Outputs {
			if o.Media != contract.MediaPNG || len(o.Data) == 0 || shown[[2]string{s.Name, o.Name}] {
				continue
			}
			f, ok := p.figure(o)
			if !ok {
				p.warn(s.Name, fmt.Sprintf("output %s is not a PNG image that can be shown", o.Name))
				continue
			}
			f.Title, f.Caption = title(o.Name), "step "+s.Name
			if help := s.port(o.Name).Help; help != "" {
				f.Caption += ": " + help
			}
			square := 9*f.Width < 10*f.Height && 9*f.Height < 10*f.Width
			f.Wide = f.Width > 560 && !square // a square grid is legible at half the width of the page
			p.Figures = append(p.Figures, f)
		}
	}
}

func (p *page) figure(o Output) (figure, bool) {
	cfg, format, err := image.DecodeConfig(bytes.NewReader(o.Data))
	if err != nil || format != "png" || cfg.Width < 1 || cfg.Height < 1 {
		return figure{}, false
	}
	// This is safe: the data are a PNG image, and base64 contains no character that could end the attribute.
	return figure{
		Source: template.URL("data:image/png;base64," + base64.StdEncoding.EncodeToString(o.Data)),
		Width:  cfg.Width, Height: cfg.Height,
	}, true
}

// title turns the name of an output into a heading.
func title(name string) string {
	r := []rune(strings.NewReplacer("-", " ", "_", " ").Replace(name))
	if len(r) > 0 {
		return strings.ToUpper(string(r[0])) + string(r[1:])
	}
	return "Figure"
}

func (p *page) details(steps []Step, manifests []manifest) {
	for i, s := range steps {
		m := manifests[i]
		d := detail{Name: s.Name, Stage: s.Stage, Key: s.Key, Error: s.Error, NotRun: s.NotRun, Outputs: s.Outputs,
			State: p.Rows[i].State, Class: p.Rows[i].Class}
		for _, k := range sorted(m.Results) {
			if k == "timeline" {
				continue // shown as curves instead
			}
			var v any
			if json.Unmarshal(m.Results[k], &v) == nil {
				d.Results = append(d.Results, field{k, value(v)})
			}
		}
		for _, k := range sorted(m.Params) {
			v := value(m.Params[k])
			if u := m.Units[k]; u != "" {
				v += " " + u
			}
			d.Params = append(d.Params, field{k, v})
		}
		for _, k := range sorted(m.Inputs) {
			d.Inputs = append(d.Inputs, field{k, m.Inputs[k]})
		}
		p.Details = append(p.Details, d)
	}
}

// versions merges the versions in all manifests. If manifests differ, the page lists every version.
func (p *page) versions(manifests []manifest) {
	by := map[string][]string{}
	for _, m := range manifests {
		for k, v := range m.Versions {
			if !slices.Contains(by[k], v) {
				by[k] = append(by[k], v)
			}
		}
	}
	for _, k := range sorted(by) {
		sort.Strings(by[k])
		p.Versions = append(p.Versions, field{k, strings.Join(by[k], ", ")})
	}
}

func sorted[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
