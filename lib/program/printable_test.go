package program

import (
	"fmt"
	"strings"
	"testing"
)

func TestPrintable(t *testing.T) {
	for in, want := range map[string]string{
		"a\tb\n":               "a\tb\n",
		"Fréchet → 1.5 · 画像":   "Fréchet → 1.5 · 画像",
		"\x1b[2J\x1b]0;t\a":    `\x1b[2J\x1b]0;t\x07`,
		"over\rwritten\x7f":    `over\x0dwritten\x7f`,
		"\u009b31m \u202egpj.": `\u009b31m \u202egpj.`,
		"\xff\xfe":             `\xff\xfe`,
	} {
		var b strings.Builder
		if n, err := fmt.Fprint(Printable(&b), in); n != len(in) || err != nil || b.String() != want {
			t.Errorf("%q is written as %q, want %q; Fprint returns %d, %v, want %d", in, b.String(), want, n, err, len(in))
		}
	}
}
