package runner

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"time"

	"vapo/lib/artifact"
	"vapo/lib/failure"
	"vapo/lib/program"
	"vapo/pipeline/internal/graph"
)

// Scheduler hands steps to a batch system, which decides when and where they run. Each job runs `pipeline exec` of one
// step, so keys, caching, leases and retries are the same as on one machine.
type Scheduler interface {
	// Submit submits the jobs in order, except those that the batch system already has. It sets ID, Dir, Submitted and
	// Found of each job. dir is a directory for the jobs' files that all machines share.
	Submit(ctx context.Context, dir string, jobs []*Job) error
	// States returns the states of all jobs that the batch system knows, by ID.
	States(ctx context.Context) (map[string]JobState, error)
	Cancel(ctx context.Context, jobs []*Job) error
	// Close deletes the credentials in the directories of jobs, as soon as no job needs them any more. It does not wait.
	// over has the IDs of jobs that no longer need them, although the batch system may still list them as running.
	Close(ctx context.Context, dirs, over []string) error
}

// StoreEnvFile is the name of the file with the variables that jobs need to reach the store. It is in the directory of
// the run that submitted the jobs. Scheduler.Close deletes it.
const StoreEnvFile = "store.env"

// importedFile is the name of a file in the directory of a run. For each local file that is an input of a step, it has
// the digest with which the run has put the file into the store, by STEP.INPUT.
const importedFile = "imported"

// saveImported writes the digests of the local files that steps use. By the time that the jobs start, the files may
// have changed or be gone.
func (a *attempt) saveImported(ctx context.Context, dir string) error {
	digests := map[string]string{}
	for _, n := range a.graph.Nodes {
		for name, src := range n.Sources {
			if src.Path == "" || n.IsShard() {
				continue
			}
			var err error
			if digests[n.Name()+"."+name], err = a.file(ctx, src.Path, true); err != nil { // known from the upload
				return err
			}
		}
	}
	return program.WriteFile(filepath.Join(dir, importedFile), func(w io.Writer) error {
		return json.NewEncoder(w).Encode(digests)
	})
}

// Imported returns the digests of the local files that steps use in the jobs with this directory, by STEP.INPUT.
func Imported(dir string) (digests map[string]artifact.Digest, err error) {
	data, err := os.ReadFile(filepath.Join(dir, importedFile))
	if err == nil {
		err = json.Unmarshal(data, &digests)
	}
	if err != nil {
		return nil, failure.New(failure.Input, "submit the job again", "the digests of the job's input files: %w", err)
	}
	return digests, nil
}

// Job is a step that a batch system runs.
type Job struct {
	// Name contains a digest of what the job computes and of the store. Jobs with the same name do the same work, or are
	// the shards of one step.
	Name  string
	Node  *graph.Node
	Needs []*Job // the jobs whose outputs or scores the step uses

	ID        string // "" until the job is submitted
	Dir       string // for the files of the job
	Submitted time.Time
	Found     bool // another command submitted the job
}

// JobState is the state of a job in the batch system.
type JobState struct {
	Pending bool // it has not started, or waits to be restarted
	Ended   bool
	Text    string        // the batch system's name for the state
	Failure failure.Class // class of the failure, if the job ends without recording one
}

// recordFile returns the path of the file in which a job keeps the record of its run.
func recordFile(dir, step string) string { return filepath.Join(dir, step+".json") }

// Output returns the path of the file with the output of the job's script.
func (j *Job) Output() string { return filepath.Join(j.Dir, j.Node.Name()+".out") }

// JobsFor returns a job for every decision without a cached result, in the same order.
func (r *Runner) JobsFor(decisions []*Decision) ([]*Job, error) {
	return jobsFor(r.Store.String(), decisions)
}

func jobsFor(store string, decisions []*Decision) ([]*Job, error) {
	var jobs []*Job
	plans := map[string]string{} // digests of what the jobs do, by step
	for _, d := range decisions {
		if d.Skip != "" {
			continue
		}
		// A job in the queue must keep its name when a step that it needs gets a result. The name therefore never depends
		// on the digest of an input from a step, but on what that step's job does and on the name of the output.
		inputs := map[string]string{}
		for name, in := range d.Inputs {
			inputs[name] = in.Digest
			if src := d.Node.Sources[name]; src.Step != "" {
				inputs[name] = plans[src.Step] + "." + src.Output
			}
		}
		key, err := d.Node.Stage.Action(d.Node.Params, inputs).Key()
		if err != nil {
			return nil, fmt.Errorf("step %s: %w", d.Node.Name(), err)
		}
		sum := sha256.Sum256(fmt.Appendf(nil, "vapo.job/1\n%s\n%s%s", store, key, conditions(d.Node)))
		plan := hex.EncodeToString(sum[:])
		plans[d.Node.Name()] = plan
		if d.Hit != nil || d.done {
			continue
		}
		j := &Job{Node: d.Node}
		for _, need := range jobs {
			if slices.Contains(d.Node.Needs, need.Node.Name()) {
				j.Needs = append(j.Needs, need)
			}
		}
		j.Name = fmt.Sprintf("vapo-%s-%.16s", d.Node.Name(), plan)
		if whole := d.Node.Whole(); whole != d.Node {
			j.Name = fmt.Sprintf("vapo-%s-shards-%d-%.16s", whole.Name(), d.Node.Shard.N, plan)
		}
		jobs = append(jobs, j)
	}
	return jobs, nil
}

// conditions returns the conditions of a step, each on its own line.
func conditions(n *graph.Node) (text string) {
	for _, term := range n.Step.When {
		text += "\n" + term.Text
	}
	return text
}

// Described returns a digest of the description of a step's stage. A job is submitted with the digest, so that it fails
// if its machine has another version of the stage program.
func Described(n *graph.Node) (string, error) {
	d := n.Stage.Description
	d.Resolved, d.Pure = nil, false // depend on the machine
	data, err := json.Marshal(d)
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:8]), nil
}

// inJob says that this process runs one step as a job.
func (o Options) inJob() bool { return o.JobDir != "" }

// saveJob writes the record of a run to the file of the job, instead of to the history.
func saveJob(dir, step string, r *Run) error {
	data, err := r.encode()
	if err != nil {
		return err
	}
	return program.WriteFile(recordFile(dir, step), func(w io.Writer) error {
		_, err := w.Write(data)
		return err
	})
}

// SaveJobFailure writes the record of a job that failed before its run began.
func SaveJobFailure(dir, step string, at Placement, cause error) error {
	s := &Step{Name: step, State: Failed, Exit: failure.ClassOf(cause), Error: cause.Error(), Place: &at}
	s.Hint = failure.HintOf(cause)
	return saveJob(dir, step, &Run{State: Failed, Started: time.Now().UTC(), Exit: s.Exit, Steps: []*Step{s}})
}

// record returns the job's record of its step, and the time at which the job's run began. The record is nil if it is
// missing, incomplete or of another job, for example because the job has not started.
func (j *Job) record() (s *Step, began time.Time) {
	data, err := os.ReadFile(recordFile(j.Dir, j.Node.Name()))
	if err != nil {
		return nil, began
	}
	var r Run
	if json.Unmarshal(data, &r) != nil || slices.Contains(r.Steps, nil) {
		return nil, began
	}
	s, ok := r.Step(j.Node.Name())
	if !ok || s.Place == nil || s.Place.Job != j.ID {
		return nil, began
	}
	return s, r.Started
}

// planJobs looks up all steps. It finishes those whose result is cached and those that will not run, and returns jobs
// for the others. If a condition compares a score that does not exist yet, the job evaluates the condition.
func (a *attempt) planJobs(ctx context.Context) ([]*Job, error) {
	var all []*Decision
	for i, n := range a.graph.Nodes {
		s := a.run.Steps[i]
		if a.ready(n) == Skipped {
			a.skip(s, "")
			continue
		}
		skipped, err := a.skips(ctx, n, s)
		if err != nil {
			return nil, err
		}
		if skipped {
			a.Display.StepEnded(s, nil)
			continue
		}
		began := time.Now()
		d, err := a.lookUpStep(ctx, n, s)
		if err != nil {
			return nil, fmt.Errorf("step %s: %w", n.Name(), err)
		}
		a.mu.Lock()
		s.Seconds = time.Since(began).Seconds()
		a.mu.Unlock()
		if d == nil {
			a.Display.StepEnded(s, nil)
			all = append(all, &Decision{Node: n, Inputs: s.Inputs, done: true})
			continue
		}
		if d.Key == "" { // an input does not exist yet, so d.Action is not final
			a.mu.Lock()
			s.Action, s.Inputs = nil, maps.Clone(s.Inputs)
			a.mu.Unlock()
		}
		all = append(all, d)
	}
	return a.JobsFor(all)
}
