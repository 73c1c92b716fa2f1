//go:build unix

package main

import (
	"fmt"
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/goccy/go-yaml"
	"github.com/google/go-cmp/cmp"

	"vapo/lib/objectstore/objectstoretest"
)

// TestKubernetesSoak runs exported workflows with the real controller of Argo Workflows and the real API of Kubernetes,
// which take long to build.
func TestKubernetesSoak(t *testing.T) {
	if !objectstoretest.Soaking() {
		return
	}
	image := imageOf(t)
	c := startKubernetes(t, image)
	w := withExported(t)
	w.bin = image
	store := objectstoretest.EmbeddedEnv(t)
	w.env = append(w.env, store.Environ()...)
	env := map[string]string{}
	for _, v := range store.Environ() {
		name, value, _ := strings.Cut(v, "=")
		env[name] = value
	}
	c.create(coreAPI+"secrets", fmt.Sprintf(
		`{"metadata": {"name": "vapo-store"}, "stringData": {"AWS_ACCESS_KEY_ID": %q, "AWS_SECRET_ACCESS_KEY": %q}}`,
		env["AWS_ACCESS_KEY_ID"], env["AWS_SECRET_ACCESS_KEY"]))
	testWorkflowSame(t, c, w)
	testWorkflowRetries(t, c, w)
}

// apply creates the object in an export.
func (c *kubernetesCluster) apply(export string) {
	c.t.Helper()
	object, err := yaml.YAMLToJSON([]byte(export))
	if err != nil {
		c.t.Fatal(err)
	}
	plural := "workflowtemplates"
	if strings.Contains(export, "\nkind: CronWorkflow\n") {
		plural = "cronworkflows"
	}
	c.create(argoAPI+plural, string(object))
}

// workflowObject has the fields of a workflow that the tests use.
type workflowObject struct {
	Metadata struct {
		Name   string
		Labels map[string]string
	}
	Status struct {
		Phase string
		Nodes map[string]struct{ DisplayName, Type, Phase, Message string }
	}
}

// submit starts a workflow from a template, waits for its end, and returns it.
func (c *kubernetesCluster) submit(template string) (w workflowObject) {
	c.t.Helper()
	c.create(argoAPI+"workflows", fmt.Sprintf(`{"apiVersion": "argoproj.io/v1alpha1", "kind": "Workflow",
"metadata": {"name": "%[1]s-run"}, "spec": {"workflowTemplateRef": {"name": %[1]q}}}`, template))
	c.eventually("workflow "+template+" ends", func() bool {
		c.call("GET", argoAPI+"workflows/"+template+"-run", "", &w)
		return w.Status.Phase != "" && w.Status.Phase != "Running"
	})
	return w
}

// testWorkflowSame checks that a workflow computes what a run on this machine computes, and that a CronWorkflow starts
// and finds everything cached.
func testWorkflowSame(t *testing.T, c *kubernetesCluster, w *workplace) {
	local := newWorkplace(t)
	local.bin, local.dir = w.bin, w.dir
	w.write("pods.yaml", podRecipe)
	local.must("run", "pods.yaml")
	want := local.digests()

	c.apply(w.must("export", "argo", "pods.yaml"))
	if got := c.submit("pods"); got.Status.Phase != "Succeeded" {
		t.Fatalf("the workflow ended as %s:\n%+v", got.Status.Phase, got.Status.Nodes)
	}
	if status := w.must("status"); !strings.Contains(status, " of pods: done,") || strings.Contains(status, " cached ") {
		t.Errorf("the history has the workflow as:\n%s", status)
	}
	w.must("run", "pods.yaml")
	if status := w.must("status"); strings.Contains(status, " done ") {
		t.Errorf("after the workflow, a run finds:\n%s", status)
	}
	if got := w.digests(); !maps.Equal(got, want) {
		t.Errorf("digests %v, want %v", got, want)
	}

	c.apply(w.must("export", "argo", "pods.yaml", "--schedule", "* * * * *", "--name", "pods-cron"))
	began := time.Now()
	c.eventually("the CronWorkflow starts a workflow, which succeeds", func() bool {
		var list struct{ Items []workflowObject }
		c.call("GET", argoAPI+"workflows?labelSelector=workflows.argoproj.io/cron-workflow%3Dpods-cron", "", &list)
		return len(list.Items) > 0 && list.Items[0].Status.Phase == "Succeeded"
	})
	c.call("DELETE", argoAPI+"cronworkflows/pods-cron", "", nil) // it would start another workflow every minute
	t.Logf("the scheduled workflow had succeeded after %v", time.Since(began).Round(time.Second))
}

// testWorkflowRetries checks which attempts Argo repeats: those whose pod was lost or stopped, but not those that
// failed for a reason that would only repeat.
func testWorkflowRetries(t *testing.T, c *kubernetesCluster, w *workplace) {
	c.mu.Lock()
	c.treat = func(task string, attempt int) fate {
		if task == "slow" {
			return map[int]fate{1: lost, 2: stopped}[attempt]
		}
		return ""
	}
	c.mu.Unlock()
	w.write("retries.yaml", `name: retries
steps:
  slow: {stage: toy, params: {steps: 300, delay: 0.02}, retries: {limit: 3, backoff: 1s}}
  bad: {stage: toy, params: {fail: numeric}, inputs: {data: slow.out}, retries: {limit: 3, backoff: 1s}}
`)
	c.apply(w.must("export", "argo", "retries.yaml"))
	got := c.submit("retries")
	phases := map[string]string{}
	for _, n := range got.Status.Nodes {
		phases[n.DisplayName] = n.Phase
	}
	want := map[string]int{"slow": 3, "bad": 1}
	c.mu.Lock()
	defer c.mu.Unlock()
	attempts := map[string]int{"slow": c.attempts["slow"], "bad": c.attempts["bad"]}
	if diff := cmp.Diff(want, attempts); diff != "" || phases["slow"] != "Succeeded" || phases["bad"] != "Failed" {
		t.Errorf("phases %v, attempts (-want +got):\n%s", phases, diff)
	}
}
