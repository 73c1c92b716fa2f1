package stage

import (
	"fmt"
	"io"
	"strings"
	"unicode/utf8"

	"vapo/lib/contract"
	"vapo/lib/program"
)

// Summary adds a paragraph to the summary that the program prints at the end. The paragraph says in one sentence what
// the run made.
func (j *Job) Summary(format string, args ...any) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.summary = append(j.summary, fmt.Sprintf(format, args...))
}

// writeSummary prints the paragraphs of the stage, the paths and sizes of the outputs, and how long the run took. Lines
// have at most 80 columns, unless a path is longer. Other programs read the manifest instead.
func (j *Job) writeSummary(w io.Writer) error {
	var b strings.Builder
	for _, text := range j.summary {
		wrap(&b, strings.Fields(text))
	}
	if dir := j.paths.out; dir != "" {
		wrap(&b, append([]string{"in " + program.ShortPath(dir) + ":"}, j.made(true)...))
	} else {
		// Later stages read the Arrow files, so their digests are printed in full: they can be pasted into --input.
		for _, p := range j.desc.Outputs {
			if out, ok := j.manifest.Outputs[p.Name]; ok && p.Media == contract.MediaArrow {
				fmt.Fprintf(&b, "%s (%s):\n  %s\n", p.Name, program.Size(out.Size), out.Digest)
			}
		}
		if others := j.made(false); len(others) > 0 {
			wrap(&b, append([]string{"also"}, others...))
		}
	}
	if configured() {
		wrap(&b, []string{"stored in", j.src.store.String()})
	}
	fmt.Fprintf(&b, "done in %s\n", program.Duration(j.manifest.WallSeconds))
	_, err := io.WriteString(w, b.String())
	return err
}

// made lists the outputs with their sizes: all of them by file name, or those that are not Arrow files by output name.
func (j *Job) made(asFiles bool) []string {
	var list []string
	for _, p := range j.desc.Outputs {
		out, ok := j.manifest.Outputs[p.Name]
		name := p.Name
		if asFiles {
			name = filename(p)
		}
		if ok && (asFiles || p.Media != contract.MediaArrow) {
			list = append(list, fmt.Sprintf("%s (%s),", name, program.Size(out.Size)))
		}
	}
	if len(list) > 0 {
		list[len(list)-1] = strings.TrimSuffix(list[len(list)-1], ",")
	}
	return list
}

// wrap prints words in lines of at most 80 columns. A longer word gets a line of its own. Words may come from files, so
// their control characters are escaped.
func wrap(w io.Writer, words []string) {
	line := ""
	for i, word := range words {
		var b strings.Builder
		fmt.Fprint(program.Printable(&b), word)
		switch {
		case i == 0:
			line = b.String()
		case utf8.RuneCountInString(line)+1+utf8.RuneCountInString(b.String()) > 80:
			fmt.Fprintln(w, line)
			line = "  " + b.String()
		default:
			line += " " + b.String()
		}
	}
	fmt.Fprintln(w, line)
}
