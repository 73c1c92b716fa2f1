package slurm

import (
	"bytes"
	"slices"
	"strings"
	"time"

	"vapo/lib/failure"
	"vapo/pipeline/internal/runner"
)

// format makes squeue print the lines that parseQueue reads. The comment of our jobs is the directory of their run. It
// comes last, since it may contain the separator.
const format = "%i|%j|%T|%V|%r|%k"

// entry is a job in the queue.
type entry struct {
	id, name  string
	state     string // such as PENDING
	submitted time.Time
	reason    string // why it is in this state; None or empty: no reason
	comment   string
}

// parseQueue reads the output of squeue. It ignores the user's other jobs, whose names may even contain the separator.
// Our jobs have names that begin with vapo-; a malformed line of one of them is an error.
func parseQueue(out []byte) ([]entry, error) {
	var entries []entry
	for line := range bytes.Lines(out) {
		f := strings.SplitN(strings.TrimRight(string(line), "\n"), "|", 6)
		if len(f) < 2 || !strings.HasPrefix(f[1], "vapo-") {
			continue
		}
		if len(f) != 6 || !jobID.MatchString(f[0]) {
			return nil, failure.New(failure.Resources, "check that squeue --me --array --format=%i prints the IDs of jobs",
				"squeue printed an unexpected line: %q", line)
		}
		e := entry{id: f[0], name: f[1], state: f[2], reason: f[4], comment: f[5]}
		e.submitted, _ = time.Parse("2006-01-02T15:04:05", f[3]) // only for display, so an unknown time is no error
		entries = append(entries, e)
	}
	return entries, nil
}

// endings maps Slurm's final states to the failure class of a job that recorded none. A job in any other state is
// running or may still run.
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

// stuck reports whether the job waits for a job that has failed.
func (e entry) stuck() bool { return e.reason == "DependencyNeverSatisfied" }

// of reports whether the entry is the given job, submitted by this command or by another one.
func (e entry) of(j *runner.Job) bool {
	array, _, _ := strings.Cut(e.id, "_")
	return e.name == j.Name && e.id == taskID(array, j)
}

// usable reports whether a later command may wait for this job instead of submitting another.
func (e entry) usable() bool {
	_, ended := endings[e.state]
	return !ended && !e.stuck() && e.state != "COMPLETING" && e.comment != ""
}
