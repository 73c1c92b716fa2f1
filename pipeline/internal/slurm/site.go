package slurm

import (
	"fmt"
	"os"
	"regexp"
	"strconv"
	"strings"
	"time"

	"vapo/lib/failure"
)

// Site holds a cluster's settings for every job: the content of a file with #SBATCH lines and shell commands. There is
// no format of our own for them, because users of Slurm know these lines and their site's documentation shows them.
type Site struct {
	text  string
	limit time.Duration // of a job, from --time; 0 if the file has none
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

var timeOption = regexp.MustCompile(`^#SBATCH\s+(?:--time[=\s]|-t\s*)\s*(\S+)`)

func parseSite(text string) (Site, error) {
	if strings.ContainsRune(text, 0) {
		return Site{}, fmt.Errorf("it is not a text file")
	}
	s := Site{}
	var kept []string
	for i, line := range strings.Split(strings.TrimRight(text, "\n"), "\n") {
		line = strings.TrimSuffix(line, "\r")
		if i == 0 && strings.HasPrefix(line, "#!") {
			continue // the script has its own #! line
		}
		if m := timeOption.FindStringSubmatch(line); m != nil {
			limit, ok := parseLimit(m[1])
			if !ok {
				return Site{}, fmt.Errorf("line %d: %q is not a time limit", i+1, m[1])
			}
			s.limit = limit
		}
		kept = append(kept, line)
	}
	s.text = strings.Join(kept, "\n")
	return s, nil
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
