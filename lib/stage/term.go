package stage

import (
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"
	"sync"
	"unicode"

	"golang.org/x/term"
)

// This file is the only one that decides how a stage speaks on its standard
// error: as text with a bar to a person, as JSON lines to a program, and in
// both cases a failure as one line that starts with the stage's name.

// PrintError prints a failure as every program here does.
func PrintError(w io.Writer, name string, err error) {
	fmt.Fprintf(w, "%s: error: %s\n", name, oneLine(err.Error()))
	if hint := Hint(err); hint != "" {
		fmt.Fprintf(w, "hint: %s\n", oneLine(hint))
	}
}

// oneLine joins the lines of a text and drops control characters: parts of an
// error may come from a file.
func oneLine(text string) string {
	text = strings.ReplaceAll(strings.TrimSpace(text), "\n", "; ")
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return -1
		}
		return r
	}, text)
}

// IsTerminal says whether w is a terminal a person looks at.
func IsTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

// screen shares one stream between log lines and at most one progress bar:
// the bar is wiped before a line and drawn again after it.
type screen struct {
	mu  sync.Mutex
	w   io.Writer
	tty bool
	bar interface {
		Clear() error
		RenderBlank() error
	}
}

func newScreen(w io.Writer) *screen { return &screen{w: w, tty: IsTerminal(w)} }

func (s *screen) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.bar != nil {
		_ = s.bar.Clear() // cosmetic
	}
	n, err := s.w.Write(p)
	if s.bar != nil {
		_ = s.bar.RenderBlank() // cosmetic
	}
	return n, err
}

// end takes a bar that was left unfinished off the screen.
func (s *screen) end() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.bar != nil {
		_ = s.bar.Clear() // cosmetic
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
