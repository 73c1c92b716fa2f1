package slurm

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"time"

	"vapo/lib/failure"
	"vapo/pipeline/internal/runner"
)

// format is squeue's format of the lines that parseQueue reads. The comment of our jobs is a directory. It comes last,
// since it may contain the separator.
const format = "%i|%j|%T|%V|%r|%k"

// entry is a job in the queue.
type entry struct {
	id, name  string
	state     string // such as PENDING
	submitted time.Time
	reason    string // why it is in this state, or None
	comment   string
}

// parseQueue reads the output of squeue. Other jobs of the user may have any name, so only lines of jobs with a name of
// ours have to make sense.
func parseQueue(out []byte) ([]entry, error) {
	var entries []entry
	for line := range bytes.Lines(out) {
		f := strings.SplitN(strings.TrimRight(string(line), "\n"), "|", 6)
		if len(f) < 2 || !strings.HasPrefix(f[1], "vapo-") {
			continue
		}
		if len(f) != 6 || !jobID.MatchString(f[0]) {
			return nil, fmt.Errorf("squeue printed a line that makes no sense: %q", line)
		}
		e := entry{id: f[0], name: f[1], state: f[2], reason: f[4], comment: f[5]}
		e.submitted, _ = time.Parse("2006-01-02T15:04:05", f[3]) // only shown
		entries = append(entries, e)
	}
	return entries, nil
}

// endings maps the states of jobs that have ended to the failure if they recorded none. A job in any other state runs
// or may still run.
var endings = map[string]failure.Class{
	"BOOT_FAIL": failure.Resources, "CANCELLED": failure.Terminated, "COMPLETED": failure.Bug,
	"DEADLINE": failure.Terminated, "FAILED": failure.Bug, "NODE_FAIL": failure.Resources,
	"OUT_OF_MEMORY": failure.Resources, "PREEMPTED": failure.Terminated, "REVOKED": failure.Terminated,
	"TIMEOUT": failure.Timeout,
}

func (e entry) jobState() runner.JobState {
	class, ended := endings[e.state]
	text := strings.ToLower(e.state)
	if !ended && !slices.Contains([]string{"", "None"}, e.reason) {
		text += ": " + e.reason
	}
	return runner.JobState{Pending: e.state == "PENDING", Ended: ended || e.stuck(), Text: text, Failure: class}
}

// stuck reports whether a job waits for one that has failed.
func (e entry) stuck() bool { return e.reason == "DependencyNeverSatisfied" }

// usable reports whether a later command may wait for this job instead of submitting another.
func (e entry) usable() bool {
	_, ended := endings[e.state]
	return !ended && !e.stuck() && e.state != "COMPLETING" && e.comment != ""
}
