package slurm

import (
	"fmt"
	"os"
	"regexp"
	"strconv"
	"strings"
	"time"
	"unicode"

	"vapo/lib/failure"
)

// Site holds a cluster's settings for every job: the content of a file with #SBATCH lines and shell commands. There is
// no format of our own for them, because users of Slurm know these lines and their site's documentation shows them.
type Site struct {
	text    string
	options []string      // the lines of text that sbatch takes options from
	limit   time.Duration // of a job, from --time; 0 if the file has none
}

// ReadSite reads the site's file. Without a path the site has no settings.
func ReadSite(path string) (Site, error) {
	if path == "" {
		return Site{}, nil
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return Site{}, failure.New(failure.Usage, "", "--slurm: %w", err)
	}
	site, err := parseSite(string(data))
	if err != nil {
		return Site{}, failure.New(failure.Usage, "the file has lines such as: #SBATCH --partition=NAME", "%s: %w", path, err)
	}
	return site, nil
}

// timeOption matches an option of sbatch with a time limit, alone or after options without a value, as in -Ht60. The
// limit may also be the next word.
var timeOption = regexp.MustCompile(`^(?:--time(?:=(.*))?|-[HkOQsvW]*t(.*))$`)

// parseSite reads the site's file. As sbatch does, it takes options only from lines before the first command.
func parseSite(text string) (Site, error) {
	if strings.ContainsRune(text, 0) {
		return Site{}, fmt.Errorf("it is not a text file")
	}
	s := Site{}
	var kept []string
	commands, expected := false, false // there was a command; the next word is a time limit
	for i, line := range strings.Split(strings.TrimRight(text, "\n"), "\n") {
		line = strings.TrimSuffix(line, "\r")
		if i == 0 && strings.HasPrefix(line, "#!") {
			continue // the script has its own #! line
		}
		kept = append(kept, line)
		first := strings.TrimSpace(line)
		commands = commands || first != "" && first[0] != '#'
		options, ok := strings.CutPrefix(line, "#SBATCH")
		if !ok || commands {
			continue
		}
		s.options = append(s.options, line)
		for _, word := range splitOptions(options) {
			limit := word
			if !expected {
				m := timeOption.FindStringSubmatch(word)
				if m == nil {
					continue
				}
				limit = m[1] + m[2]
			}
			if expected = !expected && limit == ""; expected {
				continue
			}
			if s.limit, ok = parseLimit(limit); !ok {
				return Site{}, fmt.Errorf("line %d: %q is not a time limit", i+1, limit)
			}
		}
	}
	s.text = strings.Join(kept, "\n")
	return s, nil
}

// splitOptions returns the words of an #SBATCH line, by the rules of sbatch: a word may be quoted with " or ', a
// backslash protects the next character, also inside quotes, and an unquoted # begins a comment.
func splitOptions(line string) (words []string) {
	var word strings.Builder
	var quote rune // 0 outside of quotes
	begun, escaped := false, false
	for _, r := range line + " " {
		switch {
		case escaped:
			escaped = false
			word.WriteRune(r)
		case r == '\\':
			begun, escaped = true, true
		case quote != 0 && r == quote:
			quote = 0
		case quote != 0:
			word.WriteRune(r)
		case r == '"' || r == '\'':
			begun, quote = true, r
		case r == '#' || unicode.IsSpace(r):
			if begun {
				words = append(words, word.String())
			}
			word.Reset()
			if begun = false; r == '#' {
				return words
			}
		default:
			begun = true
			word.WriteRune(r)
		}
	}
	return words
}

var limitForm = regexp.MustCompile(`^(?:(\d{1,4})-)?(\d{1,6})(?::(\d{1,2}))?(?::(\d{1,2}))?$`)

// parseLimit reads a time limit in one of Slurm's forms: MINUTES, MINUTES:SECONDS, HOURS:MINUTES:SECONDS, DAYS-HOURS,
// DAYS-HOURS:MINUTES or DAYS-HOURS:MINUTES:SECONDS. It returns 0 for no limit.
func parseLimit(text string) (time.Duration, bool) {
	if text == "0" || strings.EqualFold(text, "UNLIMITED") || strings.EqualFold(text, "INFINITE") {
		return 0, true
	}
	m := limitForm.FindStringSubmatch(text)
	if m == nil {
		return 0, false
	}
	number := func(i int) time.Duration {
		n, _ := strconv.Atoi(m[i]) // digits, or "" for 0
		return time.Duration(n)
	}
	first, second, third := number(2), number(3), number(4)
	switch {
	case m[1] != "" || m[4] != "":
		return number(1)*24*time.Hour + first*time.Hour + second*time.Minute + third*time.Second, true
	default:
		return first*time.Minute + second*time.Second, true
	}
}
