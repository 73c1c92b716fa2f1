package runner

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"sync"
	"unicode"

	"vapo/lib/contract"
)

// Line is one line of a stage's standard error.
type Line struct {
	Level    string    // level of a log line; "" for plain text
	Text     string    // without control characters
	Progress *Progress // set only for a progress line
}

// Progress is the progress of a step.
type Progress struct {
	Done, Total int64
	Unit        string
	Fields      string // further values, such as "loss 0.31"
}

const (
	maxLine   = 64 << 10 // bytes; longer lines are cut
	tailLines = 12       // lines kept for a Failure
)

// lineReader copies a stage's standard error to its log file and calls show with each line. It keeps the last lines,
// and the last error and hint, for a Failure.
type lineReader struct {
	mu       sync.Mutex
	log      io.Writer
	show     func(Line)
	partial  []byte
	last     []Line
	errText  string
	hint     string
	panicked bool
}

func newLineReader(log io.Writer, show func(Line)) *lineReader {
	return &lineReader{log: log, show: show}
}

// Write never returns an error. If it did, a full disk could block or end the stage because of a log line.
func (l *lineReader) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	_, _ = l.log.Write(p) // ignored, as explained above
	l.partial = append(l.partial, p...)
	for {
		i := bytes.IndexByte(l.partial, '\n')
		if i < 0 {
			break
		}
		l.line(l.partial[:i])
		l.partial = l.partial[i+1:]
	}
	if len(l.partial) > maxLine {
		l.line(l.partial[:maxLine])
		l.partial = nil
	}
	return len(p), nil
}

func (l *lineReader) flush() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.partial) > 0 {
		l.line(l.partial)
		l.partial = nil
	}
}

func (l *lineReader) line(raw []byte) {
	line := parseLine(raw)
	if line.Text == "" && line.Progress == nil {
		return
	}
	if line.Level == "" {
		switch {
		case strings.HasPrefix(line.Text, "panic: "), strings.HasPrefix(line.Text, "fatal error: "):
			l.panicked = true
		case strings.HasPrefix(line.Text, "hint: "):
			l.hint = strings.TrimPrefix(line.Text, "hint: ")
		default:
			if _, text, ok := strings.Cut(line.Text, ": error: "); ok {
				l.errText, l.hint = text, ""
			}
		}
	}
	if line.Progress == nil {
		if l.last = append(l.last, line); len(l.last) > tailLines {
			l.last = l.last[1:]
		}
	}
	l.show(line)
}

func (l *lineReader) tail() []Line {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.last)
}

// lastError returns the last error that the stage printed and its hint, or "" for each that is missing.
func (l *lineReader) lastError() (text, hint string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.errText, l.hint
}

// parseLine parses one line: a JSON log record, a progress record, or plain text. It drops control characters, because
// they could change the state of the terminal.
func parseLine(raw []byte) Line {
	raw = bytes.TrimRight(raw, "\r\n")
	var fields map[string]any
	if len(raw) > 0 && raw[0] == '{' && json.Unmarshal(raw, &fields) == nil {
		if msg, ok := fields["msg"].(string); ok {
			level, _ := fields["level"].(string)
			for _, known := range []string{"time", "level", "msg"} {
				delete(fields, known)
			}
			if msg == contract.ProgressMessage {
				p := &Progress{Done: whole(fields["done"]), Total: whole(fields["total"])}
				p.Unit, _ = fields["unit"].(string)
				p.Unit = printable(p.Unit)
				for _, known := range []string{"done", "total", "unit"} {
					delete(fields, known)
				}
				p.Fields = join(fields, " ")
				return Line{Level: level, Progress: p}
			}
			text := msg
			if extra := join(fields, "="); extra != "" {
				text += " " + extra
			}
			return Line{Level: level, Text: printable(text)}
		}
	}
	return Line{Text: printable(string(raw))}
}

func whole(v any) int64 {
	x, _ := v.(float64)
	if x != x || x < -1e15 || x > 1e15 {
		return 0
	}
	return int64(x)
}

func join(fields map[string]any, sep string) string {
	var parts []string
	for _, k := range slices.Sorted(maps.Keys(fields)) {
		v := fields[k]
		if x, ok := v.(float64); ok {
			v = fmt.Sprintf("%.4g", x)
			if x == float64(int64(x)) {
				v = int64(x)
			}
		}
		parts = append(parts, fmt.Sprintf("%s%s%v", k, sep, v))
	}
	return printable(strings.Join(parts, ", "))
}

func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if r == '\t' {
			return ' '
		}
		if unicode.IsControl(r) || r == unicode.ReplacementChar {
			return -1
		}
		return r
	}, s)
}
