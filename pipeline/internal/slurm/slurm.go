// Package slurm runs the steps of a recipe as jobs of a Slurm cluster. Slurm decides when and where a step runs. What
// to run, and whether it has to run at all, stays with the runner: a job is `pipeline exec` of one step, which takes
// the step's lease, and ends at once if the store has the result.
//
// The package needs only the commands of Slurm (sbatch, squeue, scancel, scontrol) and a directory that all machines
// share. It needs no accounting database: how a job ended is in the store and in a file that the job writes. Nothing
// runs on the cluster besides the jobs, so the command that submitted them may end at any time.
//
// TestSlurm of package pipeline tests this package with a real cluster.
package slurm

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/cenkalti/backoff/v5"
	"github.com/gofrs/flock"

	"vapo/lib/contract"
	"vapo/lib/failure"
	"vapo/lib/program"
	"vapo/pipeline/internal/runner"
)

// Slurm is a runner.Scheduler.
type Slurm struct {
	Site    Site
	Program string            // path of pipeline
	Bin     string            // directory of the stage programs
	Recipe  string            // path of the recipe
	Source  []byte            // content of the recipe, which jobs use even if the file changes later
	Args    []string          // further arguments of exec, such as --set
	Env     []string          // variables of the store, NAME=value
	Ship    []string          // paths of the programs to copy for the jobs; nil: jobs use Program and Bin
	Copies  string            // directory of the copies
	Lock    string            // file that commands lock while they submit, so that they submit nothing twice
	Say     func(text string) // shows a warning

	written bool // writeFiles has been called
}

// RecipeFile returns the path of the recipe that the jobs with this directory use.
func RecipeFile(dir string) string { return filepath.Join(dir, "recipe.yaml") }

// Place says where this process runs, if it runs in a job.
func Place() runner.Placement {
	restarts, _ := strconv.Atoi(os.Getenv("SLURM_RESTART_COUNT")) // not set before the first restart
	id := os.Getenv("SLURM_JOB_ID")
	if array := os.Getenv("SLURM_ARRAY_JOB_ID"); array != "" {
		id = array + "_" + os.Getenv("SLURM_ARRAY_TASK_ID")
	}
	return runner.Placement{Job: id, Host: os.Getenv("SLURMD_NODENAME"), Restarts: restarts}
}

// Submit implements runner.Scheduler. It calls the controller once for the queue and once for each job or array of jobs
// that it submits.
func (s *Slurm) Submit(ctx context.Context, dir string, jobs []*runner.Job) error {
	lock := flock.New(s.Lock)
	if _, err := lock.TryLockContext(ctx, 100*time.Millisecond); err != nil {
		return fmt.Errorf("locking %s: %w", s.Lock, err)
	}
	defer lock.Close()
	queue, err := s.queue(ctx, false)
	if err != nil {
		return err
	}
	for i, j := range jobs {
		for j.ID == "" {
			if find(queue, j) {
				break
			}
			group := together(queue, jobs[i:])
			var again bool
			if again, err = s.submit(ctx, group, dir); err != nil {
				return err
			}
			if again { // the controller may have accepted the jobs all the same
				if queue, err = s.queue(ctx, false); err != nil {
					return err
				}
				for _, j := range group {
					accepted(queue, j)
				}
			}
		}
	}
	return nil
}

// find looks for a job in the queue. If a step that the job needs is submitted again, the job in the queue does not
// count: it depends on the earlier attempt at that step and would never start.
func find(queue []entry, j *runner.Job) bool {
	if slices.ContainsFunc(j.Needs, func(n *runner.Job) bool { return !n.Found }) {
		return false
	}
	i := slices.IndexFunc(queue, func(e entry) bool { return e.of(j) && e.usable() })
	if i < 0 {
		return false
	}
	e := queue[i]
	j.ID, j.Submitted, j.Dir, j.Found = e.id, e.submitted, e.comment, true
	return true
}

// accepted looks for a job that the controller accepted, although sbatch got no answer.
func accepted(queue []entry, j *runner.Job) {
	i := slices.IndexFunc(queue, func(e entry) bool { return e.of(j) && e.comment == j.Dir })
	if i >= 0 {
		j.ID, j.Submitted = queue[i].id, queue[i].submitted
	}
}

// submit submits a job, or the shards of a step as an array of jobs. again is true if the controller did not answer. It
// may nevertheless have the jobs, so the caller must look for them in the queue before trying again.
func (s *Slurm) submit(ctx context.Context, jobs []*runner.Job, dir string) (again bool, err error) {
	if !s.written {
		s.written = true
		err := s.writeFiles(dir)
		if err == nil && s.Ship != nil {
			if s.Bin, err = s.ship(dir); err == nil {
				s.Program = filepath.Join(s.Bin, filepath.Base(s.Program))
			}
		}
		if err != nil {
			const hint = "choose a directory that all nodes share with --dir"
			return false, failure.New(failure.Resources, hint, "writing the files of the jobs: %w", err)
		}
	}
	for _, j := range jobs {
		j.Dir = dir
	}
	step := jobs[0].Node.Name()
	options, script, err := s.Command(jobs...)
	if err != nil {
		return false, err
	}
	submitted := time.Now()
	out, err := s.call(ctx, script, "sbatch", options...)
	switch {
	case err == nil:
	case ctx.Err() != nil:
		return false, context.Cause(ctx)
	case passing(err):
		s.say(err)
		return true, sleep(ctx, 2*time.Second)
	default:
		return false, failure.New(failure.Usage, "check that the file given with --slurm fits this cluster", "step %s: %w",
			step, err)
	}
	id, ok := submittedID(string(out))
	if !ok {
		return false, s.unnamed(ctx, jobs, out)
	}
	for _, j := range jobs {
		j.ID, j.Submitted = taskID(id, j), submitted
	}
	return false, nil
}

// submittedID returns the ID of a job from the output of sbatch --parsable, which may add a semicolon and the name of
// the cluster. sbatch may be a wrapper of the site that also prints messages, so the last line with an ID counts.
func submittedID(out string) (id string, ok bool) {
	for line := range strings.Lines(out) {
		if text, _, _ := strings.Cut(strings.TrimSpace(line), ";"); jobID.MatchString(text) {
			id, ok = text, true
		}
	}
	return id, ok
}

// unnamed looks in the queue for jobs whose ID sbatch has not printed, because no job may be unknown to the run.
func (s *Slurm) unnamed(ctx context.Context, jobs []*runner.Job, out []byte) error {
	queue, err := s.queue(ctx, false)
	if err != nil {
		return err
	}
	for _, j := range jobs {
		if accepted(queue, j); j.ID == "" {
			return failure.New(failure.Resources, "check what sbatch --parsable prints on this machine",
				"step %s: sbatch printed %q instead of the ID of a job, and job %s is not in the queue", j.Node.Name(), out, j.Name)
		}
	}
	return nil
}

// jobID matches the ID of a job, or that of a task of an array.
var jobID = regexp.MustCompile(`^[0-9]+(_[0-9]+)?$`)

// States implements runner.Scheduler, with one call of the controller.
func (s *Slurm) States(ctx context.Context) (map[string]runner.JobState, error) {
	queue, err := s.queue(ctx, true)
	if err != nil {
		return nil, err
	}
	states := map[string]runner.JobState{}
	for _, e := range queue {
		states[e.id] = e.jobState()
	}
	return states, nil
}

// Cancel implements runner.Scheduler, with one call of the controller. The stages of the jobs get SIGTERM and save
// their state.
func (s *Slurm) Cancel(ctx context.Context, jobs []*runner.Job) error {
	var ids []string
	for _, j := range jobs {
		ids = append(ids, j.ID)
	}
	_, err := s.call(ctx, "", "scancel", append([]string{"--quiet"}, ids...)...)
	return err
}

// Find looks for the jobs in the queue, with one call of the controller, and returns the states of those that it finds.
func (s *Slurm) Find(ctx context.Context, jobs []*runner.Job) (map[*runner.Job]runner.JobState, error) {
	queue, err := s.queue(ctx, false)
	if err != nil {
		return nil, err
	}
	found := map[*runner.Job]runner.JobState{}
	for _, j := range jobs {
		if find(queue, j) {
			i := slices.IndexFunc(queue, func(e entry) bool { return e.id == j.ID })
			found[j] = queue[i].jobState()
		}
	}
	return found, nil
}

// queue returns all jobs of the user. It tries again while the controller does not answer. If patient is set, it tries
// again after any error, unless squeue is missing: a run that waits for its jobs must not fail because of Slurm's
// controller, which the jobs do not need.
func (s *Slurm) queue(ctx context.Context, patient bool) ([]entry, error) {
	pause := backoff.NewExponentialBackOff()
	pause.InitialInterval, pause.MaxInterval = time.Second, time.Minute
	for {
		out, err := s.call(ctx, "", "squeue", "--me", "--states=all", "--array", "--noheader", "--format="+format)
		if err == nil {
			return parseQueue(out)
		}
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		if errors.Is(err, exec.ErrNotFound) {
			return nil, failure.New(failure.Usage, "run this on a machine from which jobs are submitted", "Slurm: %w", err)
		}
		if !patient && !passing(err) {
			return nil, failure.New(failure.Resources, "check that squeue works on this machine", "Slurm: %w", err)
		}
		s.say(err)
		if err := sleep(ctx, pause.NextBackOff()); err != nil {
			return nil, err
		}
	}
}

// say reports the first error of the controller.
func (s *Slurm) say(err error) {
	if s.Say != nil {
		s.Say(fmt.Sprintf("waiting for Slurm's controller: %v", err))
		s.Say = nil
	}
}

func sleep(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-time.After(d):
		return nil
	}
}

// passing reports whether an error comes from a controller that is busy, unreachable or restarting.
func passing(err error) bool {
	for _, text := range []string{"Unable to contact slurm controller", "Socket timed out", "Zero Bytes were transmitted",
		"temporarily un", "in standby mode", "Communication connection failure", "authentication error",
		"Connection refused"} {
		if strings.Contains(err.Error(), text) {
			return true
		}
	}
	return false
}

// call runs a command of Slurm. It removes the store's variables from the environment, because sbatch would pass them
// to the controller, which stores the environment of jobs.
func (s *Slurm) call(ctx context.Context, stdin, name string, args ...string) ([]byte, error) {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Stdin = strings.NewReader(stdin)
	for _, v := range os.Environ() {
		if !secret(v) {
			cmd.Env = append(cmd.Env, v)
		}
	}
	cmd.Env = append(cmd.Env, "TZ=UTC", "SLURM_TIME_FORMAT=standard")
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		if text := strings.Join(strings.Fields(stderr.String()), " "); text != "" {
			return nil, fmt.Errorf("%s: %s", name, text)
		}
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return stdout.Bytes(), nil
}

// secret reports whether v, which has the form NAME=value, sets a variable of the store.
func secret(v string) bool { return strings.HasPrefix(v, "AWS_") || strings.HasPrefix(v, "VAPO_") }

// StoreEnv returns the variables that a job needs to reach the store.
func StoreEnv(environ []string) []string {
	env := slices.DeleteFunc(slices.Clone(environ), func(v string) bool {
		return !secret(v) || strings.HasPrefix(v, contract.ParentFD+"=")
	})
	slices.Sort(env)
	return env
}

// writeFiles writes the files that all jobs of a run share.
func (s *Slurm) writeFiles(dir string) error {
	var env strings.Builder
	for _, v := range s.Env {
		name, value, _ := strings.Cut(v, "=")
		fmt.Fprintf(&env, "export %s=%s\n", name, quote(value))
	}
	// The file has its final mode from the start, so that nobody else can read it at any time.
	file, err := os.OpenFile(filepath.Join(dir, runner.StoreEnvFile), os.O_CREATE|os.O_WRONLY|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = file.WriteString(env.String())
	return errors.Join(err, file.Close(), program.WriteFile(RecipeFile(dir), func(w io.Writer) error {
		_, err := w.Write(s.Source)
		return err
	}))
}
