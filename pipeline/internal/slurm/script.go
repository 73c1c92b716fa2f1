package slurm

import (
	"fmt"
	"math"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"vapo/pipeline/internal/runner"
)

// These times apply when a job reaches its limit.
const (
	warning = 2 * time.Minute  // Slurm signals the script this long before the limit, or up to a minute earlier
	grace   = 90 * time.Second // the stage then has this long to save its state
	margin  = 5 * time.Minute  // from a step's timeout to its job's limit, so that the step fails with its own message
)

// maxRestarts bounds how often a job restarts itself at its time limit. Without a bound, a job whose stage saves no
// state would restart forever.
const maxRestarts = 100

// Command returns the options of sbatch and the script of jobs.
//
// The jobs are one job, or shards of one step, which become the tasks of an array. The options override those in the
// site's file.
func (s *Slurm) Command(jobs ...*runner.Job) (options []string, script string, err error) {
	j := jobs[0]
	options = append([]string{"--parsable", "--job-name=" + j.Name, "--comment=" + j.Dir}, dependency(j)...)
	options = append(options, arrayOptions(jobs)...)
	options = append(options, "--kill-on-invalid-dep=yes", "--requeue", "--open-mode=append", "--output="+output(j),
		fmt.Sprintf("--signal=B:USR1@%d", int(warning.Seconds())))
	described, err := runner.Described(j.Node)
	if err != nil {
		return nil, "", err
	}
	options = append(options, s.Resources(j)...)
	args := []string{"--bin", s.Bin, "exec", s.Recipe, ""}
	args = append(args, s.Args...)
	args = append(args, "--job", j.Dir, "--described", described, "--grace", grace.String())
	for i := range args {
		args[i] = quote(args[i])
	}
	args[4] = forTasks(j, j.Node.Name(), `"$SLURM_ARRAY_TASK_ID"`)
	script = fmt.Sprintf(body, s.Site.text, quote(filepath.Join(j.Dir, runner.StoreEnvFile)), quote(s.Program),
		strings.Join(args, " "), maxRestarts)
	return options, script, nil
}

// Resources returns the options of sbatch for the resources and the timeout of a job's step.
func (s *Slurm) Resources(j *runner.Job) (options []string) {
	want := j.Node.Step.Resources
	if want.Cores > 0 {
		options = append(options, "--cpus-per-task="+strconv.Itoa(want.Cores))
	}
	if want.Memory > 0 {
		options = append(options, fmt.Sprintf("--mem=%dM", (want.Memory+1<<20-1)>>20))
	}
	if want.GPUs > 0 {
		options = append(options, fmt.Sprintf("--gres=gpu:%d", want.GPUs))
	}
	if limit := j.Node.Step.Timeout; limit > 0 {
		if limit += margin; s.Site.limit == 0 || limit < s.Site.limit {
			options = append(options, fmt.Sprintf("--time=%d", int(math.Ceil(limit.Minutes()))))
		}
	}
	return options
}

// body is the template of a job's script. Its values are the site's lines, the file with the store's variables, the
// program, the program's arguments, and the largest number of restarts.
//
// Shortly before the time limit, the script gets SIGUSR1; it restarts the job once the stage has saved its state.
// SIGTERM comes from scancel or from a preemption, after which Slurm decides whether the job restarts. The local
// directory keeps the runner's locks off the shared file system, where they may not work.
//
// The shell options that the site sets hold for its own lines only. With -e, or with a trap for errors, the script
// would end at the first signal. With -x or -v, it would print the credentials.
const body = `#!/bin/bash
%[1]s
set +eEuvxm +o pipefail
trap - ERR
. %[2]s || exit 2
local=$(mktemp -d "${TMPDIR:-/tmp}/vapo-job-XXXXXX") || exit 7
trap 'rm -rf "$local"' EXIT
%[3]s --dir "$local" %[4]s &
exec=$!
limit=
trap 'limit=reached; kill -TERM "$exec" 2>/dev/null' USR1
trap 'kill -TERM "$exec" 2>/dev/null' TERM INT
wait "$exec"
code=$?
while kill -0 "$exec" 2>/dev/null; do
  wait "$exec"
  code=$?
done
if [ -n "$limit" ] && [ "$code" = 143 ]; then
  if [ "${SLURM_RESTART_COUNT:-0}" -lt %[5]d ]; then
    scontrol requeue ` + thisJob + `
  else
    echo "not restarted again after %[5]d restarts: does the stage save its state?" >&2
  fi
fi
exit "$code"
`

// quote quotes a word for the shell.
func quote(word string) string { return "'" + strings.ReplaceAll(word, "'", `'\''`) + "'" }

// output returns the file for the output of a job's script, in sbatch's form: every task of an array has its own.
func output(j *runner.Job) string {
	if !j.Node.IsShard() {
		return pattern(j.Output())
	}
	file, _ := strings.CutSuffix(j.Output(), fmt.Sprintf("%d].out", j.Node.Shard.I))
	return pattern(file) + "%a].out"
}

// pattern escapes a path for sbatch, which expands % in the names of output files.
func pattern(path string) string { return strings.ReplaceAll(path, "%", "%%") }
