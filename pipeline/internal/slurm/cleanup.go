package slurm

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"vapo/pipeline/internal/runner"
)

// cleanupName is the name of the jobs that delete credentials.
const cleanupName = "vapo-cleanup"

// Close implements runner.Scheduler. It calls the controller once, and once more for each directory whose jobs have not
// all ended: a job that starts after them deletes the credentials.
func (s *Slurm) Close(ctx context.Context, dirs, over []string) error {
	queue, err := s.queue(ctx, true)
	if err != nil {
		return err
	}
	for _, dir := range dirs {
		after, cleaned := pending(queue, dir, over)
		switch {
		case len(after) == 0:
			if err := os.Remove(filepath.Join(dir, runner.StoreEnvFile)); err != nil && !errors.Is(err, os.ErrNotExist) {
				return err
			}
		case !cleaned:
			options, script := s.cleanup(dir, after)
			if _, err := s.call(ctx, script, "sbatch", options...); err != nil {
				return err
			}
		}
	}
	return nil
}

// pending returns the IDs of the jobs and arrays that still need the credentials in a directory, and whether a job that
// deletes the credentials is in the queue. The jobs in over no longer need them: Slurm lists a job until its script has
// exited.
func pending(queue []entry, dir string, over []string) (ids []string, cleaned bool) {
	for _, e := range queue {
		switch {
		case e.comment != dir || !e.usable() || slices.Contains(over, e.id):
		case e.name == cleanupName:
			cleaned = true
		default:
			id, _, _ := strings.Cut(e.id, "_") // the whole array of a task
			ids = append(ids, id)
		}
	}
	return slices.Compact(slices.Sorted(slices.Values(ids))), cleaned
}

// cleanup returns the options of sbatch and the script of a job that deletes the credentials in a directory after the
// given jobs. It uses only the site's #SBATCH lines, since the site's commands may take long or fail.
func (s *Slurm) cleanup(dir string, after []string) (options []string, script string) {
	script = strings.Join(append([]string{"#!/bin/bash"}, s.Site.options...), "\n") + "\n"
	return []string{
		"--parsable", "--job-name=" + cleanupName, "--comment=" + dir, "--dependency=afterany:" + strings.Join(after, ":"),
		"--output=" + pattern(filepath.Join(dir, "cleanup.out")), "--time=1",
	}, script + "rm -f " + quote(filepath.Join(dir, runner.StoreEnvFile)) + "\n"
}
