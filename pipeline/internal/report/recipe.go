package report

import "strings"

// A recipeLine is one line of YAML, split for syntax highlighting. The split is approximate, since a wrong split
// affects only colours.
type recipeLine struct{ Indent, Key, Rest, Comment string }

func recipeLines(yaml []byte) []recipeLine {
	text := strings.TrimRight(strings.ToValidUTF8(string(yaml), "\uFFFD"), "\n")
	if text == "" {
		return nil
	}
	var out []recipeLine
	for _, line := range strings.Split(text, "\n") {
		body := strings.TrimLeft(line, " -")
		l := recipeLine{Indent: line[:len(line)-len(body)]}
		switch i := strings.Index(body, " #"); {
		case strings.HasPrefix(body, "#"):
			body, l.Comment = "", body
		case i >= 0:
			body, l.Comment = body[:i], body[i:]
		}
		if i := strings.Index(body, ":"); i > 0 && !strings.ContainsAny(body[:i], " {['\"") &&
			(i+1 == len(body) || body[i+1] == ' ') {
			l.Key, body = body[:i+1], body[i+1:]
		}
		l.Rest = body
		out = append(out, l)
	}
	return out
}
