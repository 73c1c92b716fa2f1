package stage

import (
	"io"
	"log/slog"
	"sync"

	"vapo/lib/program"
)

// screen shares one stream between log lines and at most one progress bar. It wipes the bar before a log line and draws
// it again afterwards.
type screen struct {
	mu  sync.Mutex
	w   io.Writer
	tty bool
	bar interface {
		Clear() error
		RenderBlank() error
	}
}

func newScreen(w io.Writer) *screen { return &screen{w: w, tty: program.IsTerminal(w)} }

func (s *screen) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.bar != nil {
		_ = s.bar.Clear() // an error affects only the display
	}
	n, err := s.w.Write(p)
	if s.bar != nil {
		_ = s.bar.RenderBlank() // an error affects only the display
	}
	return n, err
}

// end removes an unfinished bar.
func (s *screen) end() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.bar != nil {
		_ = s.bar.Clear() // an error affects only the display
		s.bar = nil
	}
}

// logger writes text to a terminal and JSON lines to anything else.
func (s *screen) logger() *slog.Logger {
	if !s.tty {
		return slog.New(slog.NewJSONHandler(s, nil))
	}
	return slog.New(slog.NewTextHandler(s, &slog.HandlerOptions{
		ReplaceAttr: func(groups []string, a slog.Attr) slog.Attr {
			if len(groups) == 0 && a.Key == slog.TimeKey {
				return slog.String(slog.TimeKey, a.Value.Time().Format("15:04:05"))
			}
			return a
		},
	}))
}
