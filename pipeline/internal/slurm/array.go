package slurm

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"vapo/pipeline/internal/runner"
)

// The shards of a step are submitted together, as the tasks of one job array: shard 3 of job 12 has the ID 12_3. They
// have the same name and the same script, which takes the shard from the index of its task.

// thisJob is how a job's script writes the ID of its own job. In a task of an array, SLURM_JOB_ID alone does not always
// identify the task, because for one of the tasks it is also the ID of the whole array.
const thisJob = `"${SLURM_ARRAY_JOB_ID:-$SLURM_JOB_ID}${SLURM_ARRAY_TASK_ID:+_$SLURM_ARRAY_TASK_ID}"`

// together returns the jobs that are submitted with jobs[0]: the other shards of its step that have no job yet.
func together(queue []entry, jobs []*runner.Job) []*runner.Job {
	group := jobs[:1]
	if !jobs[0].Node.IsShard() {
		return group
	}
	for _, j := range jobs[1:] {
		if j.Name == jobs[0].Name && j.ID == "" && !find(queue, j) {
			group = append(group[:len(group):len(group)], j)
		}
	}
	return group
}

// taskID returns the ID of the task that runs a shard in the array id. If j is not a shard, it returns id.
func taskID(id string, j *runner.Job) string {
	if !j.Node.IsShard() {
		return id
	}
	return id + "_" + strconv.Itoa(j.Node.Shard.I)
}

// arrayOptions returns the option that submits shards as the tasks of an array. It returns none for a single job.
func arrayOptions(jobs []*runner.Job) []string {
	if !jobs[0].Node.IsShard() {
		return nil
	}
	tasks := make([]string, len(jobs))
	for i, j := range jobs {
		tasks[i] = strconv.Itoa(j.Node.Shard.I)
	}
	return []string{"--array=" + strings.Join(tasks, ",")}
}

// forTasks returns name as a word of a script. It replaces the number of the shard at the end of the name by task, a
// shell expression for the number of the script's own task.
func forTasks(j *runner.Job, name, task string) string {
	if !j.Node.IsShard() {
		return quote(name)
	}
	return quote(strings.TrimSuffix(name, fmt.Sprintf("%d]", j.Node.Shard.I))) + task + quote("]")
}

// dependency returns the option that makes a job start after the jobs that it needs have succeeded. A job that is not a
// task also waits for other jobs with its name, because two commands may have submitted it from different directories.
// The tasks of an array all have the same name, so they rely on leases instead.
func dependency(j *runner.Job) []string {
	var ids []string
	for _, n := range j.Needs {
		id := n.ID
		if n.Node.IsShard() && !n.Found { // all tasks of this array belong to the needed step: name the whole array
			id, _, _ = strings.Cut(id, "_")
		}
		if !slices.Contains(ids, id) {
			ids = append(ids, id)
		}
	}
	var list []string
	if len(ids) > 0 {
		list = append(list, "afterok:"+strings.Join(ids, ":"))
	}
	if !j.Node.IsShard() {
		list = append(list, "singleton")
	}
	if len(list) == 0 {
		return nil
	}
	return []string{"--dependency=" + strings.Join(list, ",")}
}
