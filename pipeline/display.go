package main

import (
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/schollz/progressbar/v3"
	"golang.org/x/term"

	"vapo/lib/failure"
	"vapo/lib/program"
	"vapo/pipeline/internal/runner"
)

// display shows a run on standard error. It prints a line for each step that has ended. On a terminal it also redraws
// the last line to show progress; elsewhere it prints progress lines at intervals.
type display struct {
	mu      sync.Mutex
	w       io.Writer
	text    io.Writer // w with control characters escaped, for text that may contain names
	tty     bool
	name    int // width of the step name column
	stage   int // width of the stage name column
	running []*active
	upload  string    // what is being uploaded, shown while no step runs
	printed time.Time // when the upload was last printed; not used on a terminal
	drawn   bool
	stop    chan struct{}
	done    sync.WaitGroup
}

// active is a running or waiting step.
type active struct {
	step  *runner.Step
	doing string // "running" or "waiting"
	bar   *progressbar.ProgressBar
	began time.Time
	last  time.Time // when progress was last printed; not used on a terminal
	text  string    // the latest log line, shown until the step reports progress

	first, now runner.Progress // first and latest progress in this run; first.Done is above 0 if the step was resumed
	firstAt    time.Time
}

// pace returns the rate since the first progress in this run, and the time left at that rate. It returns "" while the
// rate is unknown.
//
// Note: the progress bar's own estimate assumes a start from 0, so for a resumed step it is far too short.
func (m *active) pace() string {
	elapsed := time.Since(m.firstAt).Seconds()
	n := float64(m.now.Done - m.first.Done)
	if n <= 0 || elapsed < 1 {
		return ""
	}
	text := fmt.Sprintf("%.3g %s/s", n/elapsed, m.now.Unit)
	if left := float64(m.now.Total-m.now.Done) * elapsed / n; m.now.Total > 0 && left >= 0 {
		text += ", " + program.Duration(left) + " left"
	}
	return text
}

const (
	redrawEvery = 200 * time.Millisecond
	printEvery  = 15 * time.Second // if there is no terminal
)

func newDisplay(w io.Writer) *display {
	d := &display{w: w, text: program.Printable(w), tty: program.IsTerminal(w), stop: make(chan struct{})}
	if d.tty {
		d.done.Add(1)
		go d.animate()
	}
	return d
}

func (d *display) close() {
	close(d.stop)
	d.done.Wait()
	d.mu.Lock()
	defer d.mu.Unlock()
	d.wipe()
}

func (d *display) animate() {
	defer d.done.Done()
	tick := time.NewTicker(redrawEvery)
	defer tick.Stop()
	for {
		select {
		case <-d.stop:
			return
		case <-tick.C:
			d.mu.Lock()
			d.draw()
			d.mu.Unlock()
		}
	}
}

func (d *display) wipe() {
	if d.drawn {
		fmt.Fprint(d.w, "\r\x1b[K")
		d.drawn = false
	}
}

// draw redraws the last line: the first running step and the number of other running steps.
func (d *display) draw() {
	d.wipe()
	if !d.tty || len(d.running) == 0 && d.upload == "" {
		return
	}
	if len(d.running) == 0 {
		fmt.Fprint(d.text, d.upload)
		d.drawn = true
		return
	}
	m := d.running[0]
	text := m.text
	if m.bar != nil {
		text = strings.TrimSpace(strings.Trim(m.bar.String(), "\r"))
		text = strings.Join(slices.DeleteFunc([]string{text, m.pace(), m.now.Fields}, func(s string) bool { return s == "" }),
			"  ")
	} else {
		text = strings.TrimSpace(m.doing + " " + program.Duration(time.Since(m.began).Seconds()) + " " + text)
	}
	if more := len(d.running) - 1; more > 0 {
		text += fmt.Sprintf("  (+%d more)", more)
	}
	line := d.columns(m.step) + text
	width := 80
	if f, ok := d.w.(*os.File); ok {
		if w, _, err := term.GetSize(int(f.Fd())); err == nil && w > 0 {
			width = w
		}
	}
	if runes := []rune(line); len(runes) >= width {
		line = string(runes[:width-1])
	}
	fmt.Fprint(d.text, line)
	d.drawn = true
}

func (d *display) columns(s *runner.Step) string {
	return fmt.Sprintf("  %-*s  %-*s  ", d.name, s.Name, d.stage, s.Stage)
}

func (d *display) printf(format string, args ...any) {
	d.wipe()
	fmt.Fprintf(d.text, format, args...)
	d.draw()
}

func (d *display) warn(text string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.printf("warning: %s\n", text)
}

func (d *display) Started(run *runner.Run) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, s := range run.Steps {
		d.name = max(d.name, len(s.Name))
		d.stage = max(d.stage, len(s.Stage))
	}
	title := run.Name
	if run.About != "" {
		title += ": " + oneLine(run.About)
	}
	d.printf("%s\nrun %s, store %s\n", title, run.ID, run.Store)
}

func (d *display) forget(s *runner.Step) {
	d.running = slices.DeleteFunc(d.running, func(m *active) bool { return m.step == s })
}

func (d *display) StepStarted(s *runner.Step) {
	event := "started"
	if s.Reason != "" {
		event += ", " + s.Reason
	}
	if where := job(s); where != "" {
		event += ", " + where
	}
	d.activate(s, &active{step: s, doing: "running"}, event)
}

func (d *display) StepWaiting(s *runner.Step) {
	d.activate(s, &active{step: s, doing: "waiting", text: s.Reason}, "waiting "+s.Reason)
}

// StepRetries prints a line on a terminal too, because the line says how an attempt failed.
func (d *display) StepRetries(s *runner.Step) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.forget(s)
	d.printf("%s%s\n", d.columns(s), s.Reason)
	d.running = append(d.running, &active{step: s, doing: "waiting", began: time.Now(), text: "for a retry"})
}

// activate shows what a step does from now on. event is printed if there is no terminal.
func (d *display) activate(s *runner.Step, m *active, event string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	m.began = time.Now()
	m.last = m.began
	d.forget(s)
	d.running = append(d.running, m)
	if d.tty {
		d.draw()
		return
	}
	d.printf("%s%s\n", d.columns(s), event)
}

func (d *display) find(s *runner.Step) *active {
	for _, m := range d.running {
		if m.step == s {
			return m
		}
	}
	return nil
}

func (d *display) StepProgress(s *runner.Step, p runner.Progress) {
	d.mu.Lock()
	defer d.mu.Unlock()
	m := d.find(s)
	if m == nil {
		return
	}
	if !d.tty {
		if time.Since(m.last) < printEvery {
			return
		}
		m.last = time.Now()
		of := ""
		if p.Total > 0 {
			of = fmt.Sprintf("/%d", p.Total)
		}
		d.printf("%s%s\n", d.columns(s), strings.TrimSpace(fmt.Sprintf("%d%s %s  %s", p.Done, of, p.Unit, p.Fields)))
		return
	}
	if m.bar == nil || m.now.Total != p.Total || p.Done < m.now.Done {
		total := p.Total
		if total <= 0 {
			total = -1
		}
		m.first, m.firstAt = p, time.Now()
		m.bar = progressbar.NewOptions64(total, progressbar.OptionSetWriter(io.Discard),
			progressbar.OptionShowCount(), progressbar.OptionSetPredictTime(false),
			progressbar.OptionSetElapsedTime(false), progressbar.OptionSetWidth(16))
	}
	m.now = p
	_ = m.bar.Set64(p.Done) // an error would affect only the display
}

func (d *display) StepLog(s *runner.Step, line runner.Line) {
	d.mu.Lock()
	defer d.mu.Unlock()
	switch line.Level {
	case "WARN", "ERROR":
		d.printf("%s%s: %s\n", d.columns(s), strings.ToLower(line.Level), line.Text)
	case "INFO":
		if m := d.find(s); m != nil {
			m.text = line.Text
		}
	}
}

func (d *display) StepEnded(s *runner.Step, f *runner.Failure) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.forget(s)
	switch {
	case s.Idle():
	case f != nil && f.Code == failure.Terminated:
		d.printf("%sstopped    %10s\n", d.columns(s), program.Duration(s.Seconds))
	case f != nil:
		d.printf("%sfailed     %10s  %s\n", d.columns(s), program.Duration(s.Seconds), runner.ExitText(f.Code))
		d.failure(f)
	case s.State == runner.Skipped:
		d.printf("%sskipped                %s\n", d.columns(s), s.Reason)
	default:
		note := ""
		if s.State != runner.Cached && s.Reason != "" {
			note = "  " + s.Reason
		}
		if len(s.Retries) > 0 {
			note += "  " + retried(s)
		}
		if where := job(s); where != "" {
			note += "  " + where
		}
		d.printf("%s%-9s  %10s%s\n", d.columns(s), s.State, program.Duration(s.Seconds), note)
	}
}

// job says in which job a step ran, and where. It returns "" for a step that ran without a batch system.
func job(s *runner.Step) string {
	p := s.Place
	if p == nil || p.Job == "" {
		return ""
	}
	text := "job " + p.Job
	if p.Host != "" {
		text += " on " + p.Host
	}
	if p.QueuedSeconds >= 1 {
		text += ", queued " + program.Duration(p.QueuedSeconds)
	}
	if p.Restarts > 0 {
		text += fmt.Sprintf(", restarts: %d", p.Restarts)
	}
	return text
}

// retried says how often a step was tried again.
func retried(s *runner.Step) string {
	if n := len(s.Retries); n > 1 {
		return fmt.Sprintf("after %d retries", n)
	}
	return "after 1 retry"
}

// failure prints the last log lines of a failed stage.
func (d *display) failure(f *runner.Failure) {
	if len(f.Tail) == 0 {
		return
	}
	d.wipe()
	fmt.Fprintf(d.text, "\n    last lines of %s:\n", program.ShortPath(f.LogFile))
	for _, line := range f.Tail {
		text := line.Text
		if line.Level != "" {
			text = strings.ToLower(line.Level) + ": " + text
		}
		fmt.Fprintf(d.text, "    | %s\n", text)
	}
	fmt.Fprintln(d.text)
	d.draw()
}
