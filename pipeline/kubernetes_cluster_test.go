//go:build unix

package main

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// kubernetesCluster is a Kubernetes API with its database and the controller of Argo Workflows, in a temporary
// directory. Instead of nodes it has a kubelet of its own, which runs the command of a pod's main container as a
// process on this machine, with the variables that the container would have.
type kubernetesCluster struct {
	t      *testing.T
	dir    string
	bin    string // directory of the programs that an image would contain
	url    string
	client *http.Client

	mu       sync.Mutex
	attempts map[string]int // pods started, by task
	// treat, if set, is called for each pod before its process starts, with the number of the attempt, from 1. It returns
	// what happens to the pod, or "".
	treat func(task string, attempt int) fate
}

// fate is what happens to a pod besides running to its end.
type fate string

const (
	lost    fate = "lost"    // it disappears, as with its node
	stopped fate = "stopped" // it gets SIGTERM soon after it starts
)

const apiToken = "test"

// startKubernetes starts a cluster, which ends with the test.
func startKubernetes(t *testing.T, bin string) *kubernetesCluster {
	t.Helper()
	for _, program := range []string{"etcd", "kube-apiserver", "workflow-controller"} {
		if _, err := exec.LookPath(program); err != nil {
			t.Fatalf("%v (make soak-tools installs it)", err)
		}
	}
	c := &kubernetesCluster{t: t, dir: t.TempDir(), bin: bin, attempts: map[string]int{}, client: &http.Client{
		Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}, // its own certificate
	}}
	etcd, peer := fmt.Sprintf("http://127.0.0.1:%d", freePort(t)), fmt.Sprintf("http://127.0.0.1:%d", freePort(t))
	port := freePort(t)
	c.url = fmt.Sprintf("https://127.0.0.1:%d", port)
	c.write("tokens.csv", apiToken+",admin,1,system:masters\n")
	c.write("accounts.pem", privateKey(t))
	c.write("kubeconfig", fmt.Sprintf(`{"apiVersion": "v1", "kind": "Config", "current-context": "c",
"clusters": [{"name": "c", "cluster": {"server": %q, "insecure-skip-tls-verify": true}}],
"users": [{"name": "u", "user": {"token": %q}}],
"contexts": [{"name": "c", "context": {"cluster": "c", "user": "u", "namespace": "default"}}]}`, c.url, apiToken))

	c.start("etcd", "--data-dir="+c.path("etcd"), "--listen-client-urls="+etcd, "--advertise-client-urls="+etcd,
		"--listen-peer-urls="+peer, "--initial-advertise-peer-urls="+peer, "--initial-cluster=default="+peer)
	c.start("kube-apiserver", "--etcd-servers="+etcd, "--bind-address=127.0.0.1", fmt.Sprintf("--secure-port=%d", port),
		"--cert-dir="+c.path("certs"), "--token-auth-file="+c.path("tokens.csv"), "--authorization-mode=RBAC",
		"--service-account-issuer=https://test", "--service-account-key-file="+c.path("accounts.pem"),
		"--service-account-signing-key-file="+c.path("accounts.pem"), "--service-cluster-ip-range=10.0.0.0/24",
		"--disable-admission-plugins=ServiceAccount",
		// Debian's etcd lacks what these need: without it, watches stall.
		"--feature-gates=WatchList=false,SizeBasedListCostEstimate=false")
	c.eventually("the API is ready", func() bool {
		code, _ := c.call("GET", "/readyz", "", nil)
		return code == http.StatusOK
	})
	for kind, plural := range map[string]string{
		"Workflow": "workflows", "WorkflowTemplate": "workflowtemplates", "CronWorkflow": "cronworkflows",
		"WorkflowTaskSet": "workflowtasksets", "WorkflowTaskResult": "workflowtaskresults",
		"WorkflowArtifactGCTask": "workflowartifactgctasks", "ClusterWorkflowTemplate": "clusterworkflowtemplates",
	} {
		scope := "Namespaced"
		if kind == "ClusterWorkflowTemplate" {
			scope = "Cluster"
		}
		c.create("/apis/apiextensions.k8s.io/v1/customresourcedefinitions", fmt.Sprintf(`{
"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition", "metadata": {"name": "%[2]s.argoproj.io"},
"spec": {"group": "argoproj.io", "scope": %[3]q, "names": {"kind": %[1]q, "plural": %[2]q}, "versions": [{
"name": "v1alpha1", "served": true, "storage": true,
"schema": {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": true}}}]}}`,
			kind, plural, scope))
	}
	c.eventually("Argo's kinds exist", func() bool {
		code, _ := c.call("GET", argoAPI+"workflows", "", nil)
		return code == http.StatusOK
	})
	c.create(coreAPI+"configmaps", `{"metadata": {"name": "workflow-controller-configmap"},
"data": {"config": "metricsConfig: {enabled: false}"}}`)
	c.start("workflow-controller", "--kubeconfig="+c.path("kubeconfig"), "--namespaced", "--executor-image=argoexec",
		"--loglevel=info")
	stop, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		c.kubelet(stop)
	}()
	t.Cleanup(func() { close(stop); <-done })
	return c
}

const (
	coreAPI = "/api/v1/namespaces/default/"
	argoAPI = "/apis/argoproj.io/v1alpha1/namespaces/default/"
)

func privateKey(t *testing.T) string {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: der}))
}

func (c *kubernetesCluster) path(name string) string { return filepath.Join(c.dir, name) }

func (c *kubernetesCluster) write(name, text string) {
	c.t.Helper()
	if err := os.WriteFile(c.path(name), []byte(text), 0o600); err != nil {
		c.t.Fatal(err)
	}
}

// start starts a program that ends with the test, which then shows the end of its log if it has failed.
func (c *kubernetesCluster) start(program string, args ...string) {
	c.t.Helper()
	cmd := exec.Command(program, args...)
	// The controller is alone. It looks at a workflow again after 1 s, and misses a pod after 1 s, both instead of 10 s.
	cmd.Env = append(os.Environ(), "LEADER_ELECTION_DISABLE=true", "DEFAULT_REQUEUE_TIME=1s",
		"RECENTLY_STARTED_POD_DURATION=1s")
	log, err := os.Create(c.path(program + ".log"))
	if err != nil {
		c.t.Fatal(err)
	}
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		c.t.Fatal(err)
	}
	c.t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		_ = log.Close()
		if data, _ := os.ReadFile(log.Name()); c.t.Failed() {
			c.t.Logf("end of %s:\n%s", filepath.Base(log.Name()), data[max(0, len(data)-4000):])
		}
	})
}

// call calls the API and decodes the answer into out, if that is not nil. The code is 0 if there is no answer.
func (c *kubernetesCluster) call(method, path, body string, out any) (code int, answer string) {
	req, err := http.NewRequest(method, c.url+path, strings.NewReader(body))
	if err != nil {
		return 0, err.Error()
	}
	req.Header.Set("Authorization", "Bearer "+apiToken)
	req.Header.Set("Content-Type", "application/json")
	if method == "PATCH" {
		req.Header.Set("Content-Type", "application/merge-patch+json")
	}
	resp, err := c.client.Do(req)
	if err != nil {
		return 0, err.Error()
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	if err == nil && out != nil && resp.StatusCode < 300 {
		err = json.Unmarshal(data, out)
	}
	if err != nil {
		return 0, err.Error()
	}
	return resp.StatusCode, string(data)
}

func (c *kubernetesCluster) create(path, body string) {
	c.t.Helper()
	if code, answer := c.call("POST", path, body, nil); code != http.StatusCreated {
		c.t.Fatalf("creating an object in %s: %d %s", path, code, answer)
	}
}

func (c *kubernetesCluster) eventually(what string, f func() bool) {
	c.t.Helper()
	for deadline := time.Now().Add(4 * time.Minute); time.Now().Before(deadline); time.Sleep(100 * time.Millisecond) {
		if f() {
			return
		}
	}
	c.t.Fatalf("timeout: %s", what)
}

// podObject has the fields of a pod that the kubelet uses.
type podObject struct {
	Metadata struct {
		Name, UID   string
		Annotations map[string]string
	}
	Spec   struct{ Containers []containerObject }
	Status struct{ Phase string }
}

type containerObject struct {
	Name          string
	Command, Args []string
	Env           []struct{ Name, Value string }
	EnvFrom       []struct{ SecretRef struct{ Name string } }
}

// kubelet runs every pod that appears, until the channel is closed. It then waits for those that run.
func (c *kubernetesCluster) kubelet(stop chan struct{}) {
	var running sync.WaitGroup
	defer running.Wait()
	seen := map[string]bool{}
	for {
		select {
		case <-stop:
			return
		case <-time.After(200 * time.Millisecond):
		}
		var pods struct{ Items []podObject }
		c.call("GET", coreAPI+"pods", "", &pods)
		for _, p := range pods.Items {
			if p.Status.Phase == "Pending" && !seen[p.Metadata.UID] {
				seen[p.Metadata.UID] = true
				running.Go(func() { c.runPod(p, stop) })
			}
		}
	}
}

// runPod runs the main container of a pod and reports how it ends.
func (c *kubernetesCluster) runPod(p podObject, stop chan struct{}) {
	// The node of the second attempt at task t of workflow w is called w.t(1).
	_, task, _ := strings.Cut(p.Metadata.Annotations["workflows.argoproj.io/node-name"], ".")
	task, _, _ = strings.Cut(task, "(")
	c.mu.Lock()
	c.attempts[task]++
	var treated fate
	if c.treat != nil {
		treated = c.treat(task, c.attempts[task])
	}
	c.mu.Unlock()
	status := coreAPI + "pods/" + p.Metadata.Name + "/status"
	c.call("PATCH", status, `{"status": {"phase": "Running"}}`, nil)
	if treated == lost {
		time.Sleep(2 * time.Second) // the controller sees that the pod runs
		c.call("DELETE", coreAPI+"pods/"+p.Metadata.Name+"?gracePeriodSeconds=0", "", nil)
		return
	}
	i := slices.IndexFunc(p.Spec.Containers, func(c containerObject) bool { return c.Name == "main" })
	code, output := c.execute(p.Spec.Containers[i], treated, stop)
	phase := "Succeeded"
	if code != 0 {
		phase = "Failed"
		c.t.Logf("pod %s: exit code %d\n%s", p.Metadata.Name, code, output)
	}
	const ended = `{"name": %q, "image": "x", "imageID": "x", "ready": false, "restartCount": 0,
"state": {"terminated": {"exitCode": %d}}}`
	c.call("PATCH", status, fmt.Sprintf(`{"status": {"phase": %q, "containerStatuses": [%s, %s]}}`, phase,
		fmt.Sprintf(ended, "main", code), fmt.Sprintf(ended, "wait", 0)), nil)
}

// execute runs the command of a container in a directory that stands for /tmp of its pod.
func (c *kubernetesCluster) execute(main containerObject, treated fate, stop chan struct{}) (code int, output string) {
	dir, err := os.MkdirTemp(c.dir, "pod-")
	if err != nil {
		return -1, err.Error()
	}
	// Before the word -- comes Argo's executor, which starts the command and forwards signals.
	command := append(main.Command[slices.Index(main.Command, "--")+1:], main.Args...)
	vars := map[string]string{"TMPDIR": dir}
	for _, f := range main.EnvFrom {
		var secret struct{ Data map[string]string }
		c.call("GET", coreAPI+"secrets/"+f.SecretRef.Name, "", &secret)
		for name, value := range secret.Data {
			text, _ := base64.StdEncoding.DecodeString(value) // the API has encoded it
			vars[name] = string(text)
		}
	}
	for _, v := range main.Env {
		vars[v.Name] = expanded(v.Value, vars)
	}
	for i := range command {
		command[i] = expanded(command[i], vars)
	}
	cmd := exec.Command(filepath.Join(c.bin, command[0]), command[1:]...)
	cmd.Dir = dir
	for name, value := range vars {
		cmd.Env = append(cmd.Env, name+"="+value)
	}
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		return -1, err.Error()
	}
	ended := make(chan struct{})
	defer close(ended)
	var soon <-chan time.Time
	if treated == stopped {
		soon = time.After(2 * time.Second)
	}
	go func() {
		select {
		case <-ended:
			return
		case <-stop:
		case <-soon:
		}
		_ = cmd.Process.Signal(syscall.SIGTERM) // it may just have ended
	}()
	_ = cmd.Wait() // the exit code says it
	return cmd.ProcessState.ExitCode(), out.String()
}
