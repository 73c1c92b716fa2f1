package runner

import (
	"bytes"
	"strings"
	"testing"
	"unicode"
)

func TestParseLine(t *testing.T) {
	for _, test := range []struct{ in, level, text, progress string }{
		{`{"time":"x","level":"WARN","msg":"odd","loss":0.25,"name":"a"}`, "WARN", "odd loss=0.25, name=a", ""},
		{`{"level":"INFO","msg":"progress","done":3,"total":10,"unit":"steps","loss":0.123456}`, "INFO", "",
			"3/10 steps loss 0.1235"},
		{`{"msg":"progress","done":1e99,"total":null}`, "", "", "0/0  "},
		{"toy: error: no\r\n", "", "toy: error: no", ""},
		{`{"not":"a log line"}`, "", `{"not":"a log line"}`, ""},
		{"\x1b[31mred\x07\tand tab", "", "[31mred and tab", ""},
		{"", "", "", ""},
	} {
		got := parseLine([]byte(test.in))
		progress := ""
		if p := got.Progress; p != nil {
			progress = strings.Join([]string{itoa(p.Done) + "/" + itoa(p.Total), p.Unit, p.Fields}, " ")
		}
		if got.Level != test.level || got.Text != test.text || progress != test.progress {
			t.Errorf("%q: %+v, progress %q; want %+v", test.in, got, progress, test)
		}
	}
}

func itoa(n int64) string { return strings.TrimSpace(join(map[string]any{"": float64(n)}, "")) }

func TestLineReader(t *testing.T) {
	var log bytes.Buffer
	var shown []Line
	l := newLineReader(&log, func(line Line) { shown = append(shown, line) })
	text := `{"level":"INFO","msg":"progress","done":1}` + "\n" + strings.Repeat("talk\n", 30) +
		"toy: error: the first\nhint: a\ntoy: error: the second\npart"
	for _, b := range []byte(text) { // write single bytes, since lines may arrive in pieces
		if _, err := l.Write([]byte{b}); err != nil {
			t.Fatal(err)
		}
	}
	l.flush()
	if log.String() != text {
		t.Error("the log is not the text that was written")
	}
	if err, hint := l.lastError(); err != "the second" || hint != "" {
		t.Errorf("last error %q, want \"the second\"; hint %q, want none", err, hint)
	}
	tail := l.tail()
	if len(tail) != tailLines || tail[len(tail)-1].Text != "part" || len(shown) != 35 {
		t.Errorf("%d lines kept, want %d; %d shown, want 35; the last is %q, want part", len(tail), tailLines, len(shown),
			tail[len(tail)-1].Text)
	}
	// A line that never ends must not fill the memory.
	endless := newLineReader(&bytes.Buffer{}, func(Line) {})
	for range 100 {
		_, _ = endless.Write(bytes.Repeat([]byte("x"), maxLine/2))
	}
	if len(endless.partial) > 2*maxLine {
		t.Errorf("%d bytes are held, want at most %d", len(endless.partial), 2*maxLine)
	}
}

func FuzzParseLine(f *testing.F) {
	f.Add([]byte(`{"level":"INFO","msg":"progress","done":3,"total":10,"unit":"steps","x":{"y":[1]}}`))
	f.Add([]byte("plain \x1b[2J"))
	f.Fuzz(func(t *testing.T, data []byte) {
		line := parseLine(data)
		text := line.Text
		if line.Progress != nil {
			text += line.Progress.Unit + line.Progress.Fields
		}
		for _, r := range text {
			if unicode.IsControl(r) {
				t.Fatalf("%q reaches the terminal from %q", r, data)
			}
		}
	})
}
