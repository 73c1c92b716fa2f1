package stage

import (
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"

	"vapo/lib/contract"

	"github.com/schollz/progressbar/v3"
)

// progressEvery is the shortest time between two JSON progress lines.
const progressEvery = time.Second

// Progress reports the progress of a job: with a bar on a terminal, otherwise with at most one JSON line per second.
// Its methods may be called from several goroutines.
type Progress struct {
	mu     sync.Mutex
	screen *screen
	log    *slog.Logger
	bar    *progressbar.ProgressBar
	total  int64
	unit   string
	n      int64
	fields []any
	last   time.Time
	logged bool // n has been logged
	done   bool
}

func newProgress(s *screen, log *slog.Logger, total int64, unit string) *Progress {
	p := &Progress{screen: s, log: log, total: total, unit: unit}
	if !s.tty {
		return p
	}
	if total <= 0 {
		total = -1 // unknown
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	p.bar = progressbar.NewOptions64(total,
		progressbar.OptionSetWriter(s.w),
		progressbar.OptionSetItsString(unit),
		progressbar.OptionShowIts(),
		progressbar.OptionShowCount(),
		progressbar.OptionSetPredictTime(true),
		progressbar.OptionSetWidth(24),
		progressbar.OptionThrottle(100*time.Millisecond),
		progressbar.OptionShowDescriptionAtLineEnd(),
		progressbar.OptionClearOnFinish(),
	)
	s.bar = p.bar
	return p
}

// Set reports that n of total units are done. fields are pairs of keys and values, such as "loss", 0.31.
func (p *Progress) Set(n int64, fields ...any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.done {
		return
	}
	p.n, p.fields, p.logged = n, fields, false
	if p.bar != nil {
		p.screen.mu.Lock()
		defer p.screen.mu.Unlock()
		if text := describeFields(fields); text != "" {
			p.bar.Describe(text)
		}
		_ = p.bar.Set64(n) // an error affects only the display
		return
	}
	if now := time.Now(); now.Sub(p.last) >= progressEvery {
		p.last = now
		p.report()
	}
}

// Done ends the bar. Without a bar, it logs the last state unless that state has already been logged.
func (p *Progress) Done() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.done {
		return
	}
	p.done = true
	if p.bar != nil {
		p.screen.mu.Lock()
		defer p.screen.mu.Unlock()
		_ = p.bar.Finish() // an error affects only the display
		p.screen.bar = nil
		return
	}
	if !p.logged {
		p.report()
	}
}

func (p *Progress) report() {
	p.logged = true
	args := append([]any{"done", p.n, "total", p.total, "unit", p.unit}, p.fields...)
	p.log.Info(contract.ProgressMessage, args...)
}

func describeFields(fields []any) string {
	var parts []string
	for i := 0; i+1 < len(fields); i += 2 {
		value := fields[i+1]
		switch value.(type) {
		case float64, float32:
			value = fmt.Sprintf("%.4g", value)
		}
		parts = append(parts, fmt.Sprintf("%v %v", fields[i], value))
	}
	return strings.Join(parts, ", ")
}

// Download returns the callback with which a download reports its progress, and a function to call when the download
// has ended. start is the method Progress of a Job or the field Progress of a Console. The bar starts when the size is
// known.
func Download(start func(total int64, unit string) *Progress) (progress func(done, total int64), end func()) {
	var bar *Progress
	progress = func(done, total int64) {
		if bar == nil {
			bar = start(total, "bytes")
		}
		bar.Set(done)
	}
	return progress, func() {
		if bar != nil {
			bar.Done()
		}
	}
}
