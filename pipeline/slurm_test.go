//go:build unix

package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"vapo/lib/objectstore/embedded"
	"vapo/lib/objectstore/objectstoretest"
	"vapo/pipeline/internal/runner"
)

// TestSlurm runs recipes on a real cluster with two nodes. TestSlurmSoak has the cases that take longer.
func TestSlurm(t *testing.T) {
	t.Parallel()
	onCluster(t, time.Minute, map[string]func(*testing.T, *cluster){
		"Stages": testSlurmStages, "Retries": testSlurmRetries, "Failure": testSlurmFailure,
		"Credentials": testSlurmCredentials, "TwoAtOnce": testSlurmTwoAtOnce, "Detach": testSlurmDetach,
		"Sweep": testSlurmSweep, "Resources": testSlurmResources, "Ship": testSlurmShip,
		"Inputs": testSlurmInputs,
	})
}

// onCluster runs tests on a new cluster, one after the other, each in its own workplace with its own store. A node that
// does not answer for a time counts as dead.
func onCluster(t *testing.T, dead time.Duration, tests map[string]func(*testing.T, *cluster)) {
	objectstoretest.MinIOEnv(t) // skips the test without MinIO
	c := startSlurm(t, dead)
	for name, test := range tests {
		t.Run(name, func(t *testing.T) { test(t, newCluster(t, c)) })
	}
}

// cluster is a workplace on a machine of the cluster, with a store of its own. It counts the calls of Slurm's commands.
type cluster struct {
	*workplace
	slurm *slurmCluster
	store embedded.Env
}

func newCluster(t *testing.T, c *slurmCluster) *cluster {
	w := &cluster{newWorkplace(t), c, objectstoretest.MinIOEnv(t)}
	t.Cleanup(func() { // before the directory is removed
		eventually(t, "no job of the test is in the queue", func() bool {
			return !strings.Contains(c.Run("squeue", "--noheader", "--format=%k"), w.dir)
		})
	})
	w.env = append(append(w.env, c.Env()...), w.store.Environ()...)
	bin := filepath.Join(w.dir, "counting")
	if err := os.Mkdir(bin, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"sbatch", "squeue", "scancel", "scontrol"} {
		path, err := exec.LookPath(name)
		if err != nil {
			t.Fatal(err)
		}
		script := fmt.Sprintf("#!/bin/sh\necho %s >>'%s/calls'\nexec %s \"$@\"\n", name, w.dir, path)
		if err := os.WriteFile(filepath.Join(bin, name), []byte(script), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	w.env = append(w.env, "PATH="+bin+":"+os.Getenv("PATH"))
	w.write("slow.yaml", slow)
	w.write("small.yaml", small)
	return w
}

// calls returns how often the commands of the workplace have called a command of Slurm.
func (w *cluster) calls(name string) int {
	data, err := os.ReadFile(filepath.Join(w.dir, "calls"))
	if err != nil && !os.IsNotExist(err) {
		w.t.Fatal(err)
	}
	return strings.Count(string(data), name+"\n")
}

// onSlurmArgs returns the arguments of a run on the cluster.
func onSlurmArgs(more ...string) []string {
	return append([]string{"run", "slow.yaml", "--executor", "slurm"}, more...)
}

// start starts a command.
func (w *cluster) start(args ...string) (cmd *exec.Cmd, stderr *bytes.Buffer) {
	w.t.Helper()
	cmd, stderr = w.command(args...), new(bytes.Buffer)
	cmd.Stderr = stderr
	if err := cmd.Start(); err != nil {
		w.t.Fatal(err)
	}
	return cmd, stderr
}

// begin starts a run on the cluster and waits until its first step runs. That step must be slow.
func (w *cluster) begin(more ...string) (cmd *exec.Cmd, stderr *bytes.Buffer) {
	w.t.Helper()
	cmd, stderr = w.start(onSlurmArgs(more...)...)
	w.stageRuns()
	return cmd, stderr
}

// stageRuns waits until a stage runs, and does not only describe itself.
func (w *cluster) stageRuns() {
	w.t.Helper()
	eventually(w.t, "a stage runs", func() bool {
		return slices.ContainsFunc(w.processes("toy"), func(pid int) bool {
			args, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
			return err == nil && bytes.Contains(args, []byte("\x00--manifest\x00"))
		})
	})
}

// finish waits for a run that must succeed with the given digests.
func (w *cluster) finish(cmd *exec.Cmd, stderr *bytes.Buffer, want map[string]string) {
	w.t.Helper()
	if err := cmd.Wait(); err != nil {
		w.t.Fatalf("%v\n%s", err, stderr.String())
	}
	w.t.Log(stderr.String())
	if got := w.digests(); !maps.Equal(got, want) {
		w.t.Errorf("digests differ:\n%v\n%v", got, want)
	}
}

// place returns where a step of the latest run ran.
func (w *workplace) place(step string) runner.Placement {
	w.t.Helper()
	var status runStatus
	if err := json.Unmarshal([]byte(w.must("status", "--json")), &status); err != nil {
		w.t.Fatal(err)
	}
	i := slices.IndexFunc(status.Steps, func(s stepStatus) bool { return s.Step == step })
	if i < 0 || status.Steps[i].Place == nil {
		w.t.Fatalf("status does not say where %s ran: %+v", step, status.Steps)
	}
	return *status.Steps[i].Place
}

// small is a recipe with all four stages, which compute for seconds. Each of its trainings fills a node of the cluster.
const small = `name: small
steps:
  data: {stage: prep, params: {source: 8gaussians, n-train: 2000, n-test: 500}}
  matching:
    stage: train
    inputs: {data: data.train}
    params: {model: mlp, objective: matching, width: 32, batch: 64, steps: 1000, checkpoint-every: 20}
    resources: {cores: 2}
    retries: {limit: 3, backoff: 10ms}
  energy:
    stage: train
    inputs: {data: data.train}
    params: {model: mlp, objective: energy, width: 32, batch: 64, steps: 1000}
    resources: {cores: 2}
  samples: {stage: sample, inputs: {checkpoint: matching.checkpoint}, params: {n: 200}}
  score: {stage: eval, inputs: {samples: samples.samples, reference: data.test}}
`

// runSmall returns the arguments that run the recipe small.
func runSmall(t *testing.T, more ...string) []string {
	return append([]string{"--bin", buildStages(t), "run", "small.yaml"}, more...)
}

// smallLocally returns the digests of the recipe small without a cluster.
func smallLocally(t *testing.T, more ...string) map[string]string {
	t.Helper()
	w := newWorkplace(t)
	w.write("small.yaml", small)
	w.must(runSmall(t, more...)...)
	host, err := os.Hostname()
	if got := w.place("matching"); err != nil || got != (runner.Placement{Host: host}) {
		t.Errorf("a step ran on %+v; this is %s, %v", got, host, err)
	}
	return w.digests()
}

// testSlurmStages checks that the stages make the same results on a cluster as on one machine, that they use both
// nodes, that status says where each ran, and that nothing is submitted for cached steps.
func testSlurmStages(t *testing.T, w *cluster) {
	want := smallLocally(t)
	out := w.must("--bin", buildStages(t), "plan", "small.yaml", "--executor", "slurm")
	if !strings.Contains(out, "after vapo-matching-") {
		t.Errorf("plan:\n%s", out)
	}
	w.must(runSmall(t, "--executor", "slurm")...)
	if got := w.digests(); !maps.Equal(got, want) {
		t.Errorf("digests differ:\n%v\n%v", got, want)
	}
	hosts := map[string]bool{}
	for _, step := range []string{"data", "matching", "energy", "samples", "score"} {
		place := w.place(step)
		hosts[place.Host] = true
		if place.Job == "" || place.QueuedSeconds <= 0 {
			t.Errorf("%s ran in %+v", step, place)
		}
	}
	if !maps.Equal(hosts, map[string]bool{"n1": true, "n2": true}) {
		t.Errorf("the steps ran on %v, want both nodes", hosts)
	}
	last := w.place("score")
	line := regexp.MustCompile(`(?m)^score .* ` + last.Host + ` +` + last.Job + ` `)
	if table := w.must("status"); !line.MatchString(table) {
		t.Errorf("status does not show %+v:\n%s", last, table)
	}
	if page := read(t, w.latest("report.html")); !strings.Contains(page, "<td>"+last.Job+"</td>") {
		t.Errorf("the report does not show %+v", last)
	}
	submitted := w.calls("sbatch")
	res := w.run(runSmall(t, "--executor", "slurm")...)
	if again := w.calls("sbatch"); submitted != 5 || again != 5 || !strings.Contains(res.stderr, "\n5 cached in ") {
		t.Errorf("%d jobs, then %d: want 5 and none\n%s", submitted, again-submitted, res.stderr)
	}
	if left, _ := filepath.Glob(filepath.Join(w.dir, ".vapo/runs/*/store.env")); len(left) > 0 {
		t.Errorf("the credentials are still there: %v", left)
	}
}

// testSlurmRetries lets the store refuse the outputs of a training until the step has been tried twice.
func testSlurmRetries(t *testing.T, w *cluster) {
	logs := filepath.Join(w.dir, ".vapo/runs/*/matching.log")
	env := w.store
	env.Endpoint = objectstoretest.Faults{Before: func(out http.ResponseWriter, r *http.Request) bool {
		if r.Method != http.MethodPut || !strings.Contains(r.URL.Path, "/blobs/") {
			return false
		}
		log, err := filepath.Glob(logs)
		if err != nil || len(log) == 0 || strings.Contains(read(t, log[0]), "retry 2 of 3 in ") {
			return false
		}
		_, _ = io.Copy(io.Discard, r.Body)
		out.WriteHeader(http.StatusForbidden)
		fmt.Fprint(out, "<Error><Code>AccessDenied</Code><Message>Access Denied.</Message></Error>")
		return true
	}}.Proxy(t, env).Endpoint
	w.env = append(w.env, env.Environ()...)
	want := smallLocally(t, "matching")
	res := w.run(runSmall(t, "matching", "--executor", "slurm")...)
	if res.code != 0 || !strings.Contains(res.stderr, "after 2 retries") {
		t.Errorf("exit code %d\n%s", res.code, res.stderr)
	}
	log := read(t, w.latest("matching.log"))
	if n := strings.Count(log, ", after exit code 4 (store): "); n != 2 {
		t.Errorf("%d attempts failed with exit code 4, want 2:\n%s", n, log)
	}
	if got := w.digests(); !maps.Equal(got, want) {
		t.Errorf("digests differ:\n%v\n%v", got, want)
	}
}
