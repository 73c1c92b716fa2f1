package main

import (
	"fmt"
	"strings"

	"vapo/lib/program"
	"vapo/pipeline/internal/runner"
)

// Left says how to return to the jobs, and how to end them.
func (d *display) Left(jobs []*runner.Job) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.running = nil
	var ids []string
	for _, j := range jobs {
		ids = append(ids, j.ID)
	}
	d.printf("the jobs continue; the same command without --detach waits for them\nto cancel them: scancel %s\n",
		strings.Join(ids, " "))
}

func (d *display) Ended(run *runner.Run) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, text := range run.Warnings {
		d.printf("warning: %s\n", text)
	}
	counts := map[string]int{}
	for _, s := range run.Steps {
		if s.Shard == "" || s.State == runner.Failed || s.State == runner.Terminated {
			counts[s.State]++
		}
	}
	var parts []string
	for _, state := range []string{runner.Cached, runner.Done, runner.Failed, runner.Terminated, runner.Skipped,
		runner.Waiting} {
		if n := counts[state]; n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", n, state))
		}
	}
	d.printf("%s in %s\n", strings.Join(parts, ", "), program.Duration(run.WallSeconds))
	if counts[runner.Failed] == 0 {
		return
	}
	for _, s := range run.Steps {
		switch {
		case s.Idle():
		case s.State == runner.Failed:
			d.printf("failed     %-*s  %s\n", d.name, s.Name, runner.ExitText(s.Exit))
		case s.State == runner.Skipped:
			d.printf("skipped    %-*s  %s\n", d.name, s.Name, s.Reason)
		}
	}
}
