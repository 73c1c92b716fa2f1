// Package argo writes a recipe as a workflow for Argo Workflows, which runs its steps as pods of a Kubernetes cluster.
// Argo decides when and where a step runs, and whether it is tried again. What to run, and whether it has to run at
// all, stays with the runner: a pod is `pipeline exec` of one step, like a job of Slurm, and ends at once if the store
// has the result.
//
// The workflow contains the recipe, see Files. It needs no other object in the cluster than a secret with the keys of
// the store, and can be kept in a repository and compared there.
//
// Note: the types here have only the fields that are used. Argo's own Go types would bring the whole Kubernetes client
// into go.mod; Argo's linter checks the result instead (TestExportLint of package pipeline).
//
// Note: storing the recipe as an object of the store was rejected. `store gc` would delete the object unless a ref kept
// it, and an export would need access to the store.
package argo

import (
	"fmt"
	"math"
	"regexp"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/goccy/go-yaml"
	"github.com/robfig/cron/v3"

	"vapo/lib/failure"
	"vapo/pipeline/internal/graph"
	"vapo/pipeline/internal/recipe"
	"vapo/pipeline/internal/runner"
)

// Options say how the steps of a recipe run as pods.
type Options struct {
	Name     string   // of the workflow
	Schedule string   // when a CronWorkflow starts; "": write a WorkflowTemplate
	Image    string   // contains the programs
	Secret   string   // name of a secret whose keys are environment variables
	Store    string   // s3://bucket/prefix
	Endpoint string   // address of the store's server
	Region   string   // of the store
	Recipe   string   // name of the recipe among the files
	Files    string   // the recipe and its files, as Files returns them
	Args     []string // further arguments of exec, such as --set
}

const (
	// grace is how long a stage may take to save its state when its pod is stopped, and podGrace how long the pod may.
	grace    = 90 * time.Second
	podGrace = 2 * time.Minute
	// margin is how much longer than the timeout of its step a pod may run. The step fails with its own message first,
	// even if the pod has to load its image.
	margin = 5 * time.Minute
)

// retryable selects the attempts after which Argo tries a step again: those with exit codes of failures that can pass,
// as on one machine, and pods that ended without an exit code (-1), for example because their node died.
const retryable = "asInt(lastRetry.exitCode) in [-1, 4, 7, 143]"

// Names in Kubernetes and Argo. The name of a workflow that a CronWorkflow starts has 11 more characters.
var objectName = regexp.MustCompile(`^[a-z0-9]([-a-z0-9]*[a-z0-9])?$`)

const (
	maxObjectName = 63
	maxCronName   = 52
	maxTaskName   = 128
)

const head = "# Written by pipeline export argo. Instead of editing this, export the recipe again.\n"

var style = []yaml.EncodeOption{yaml.IndentSequence(true), yaml.UseLiteralStyleIfMultiline(true)}

// Export returns the YAML of a WorkflowTemplate or, if there is a schedule, of a CronWorkflow.
func Export(g *graph.Graph, o Options) ([]byte, error) {
	if err := o.check(); err != nil {
		return nil, err
	}
	object := object{APIVersion: "argoproj.io/v1alpha1", Kind: "WorkflowTemplate", Metadata: metadata{text(o.Name)}}
	if spec := o.workflow(g); o.Schedule == "" {
		object.Spec = spec
	} else {
		object.Kind = "CronWorkflow"
		object.Spec = cronSpec{Schedules: []text{text(o.Schedule)}, ConcurrencyPolicy: "Forbid",
			SuccessfulJobsHistoryLimit: 3, FailedJobsHistoryLimit: 3, WorkflowSpec: spec}
	}
	document, err := yaml.MarshalWithOptions(object, style...)
	return append([]byte(head), document...), err
}

func (o Options) check() error {
	longest := maxObjectName
	if o.Schedule != "" {
		longest = maxCronName
		if err := checkSchedule(o.Schedule); err != nil {
			return err
		}
	}
	if !objectName.MatchString(o.Name) || len(o.Name) > longest {
		hint := fmt.Sprintf("choose a name with --name: at most %d lower-case letters, digits and -, with a letter or digit "+
			"at both ends", longest)
		return failure.New(failure.Usage, hint, "Kubernetes does not accept the name %q of the workflow", o.Name)
	}
	if !objectName.MatchString(o.Secret) || len(o.Secret) > maxObjectName {
		return failure.New(failure.Usage, "a name has lower-case letters, digits and -, for example vapo-store",
			"--secret: Kubernetes does not accept the name %q", o.Secret)
	}
	if strings.ContainsFunc(o.Image, unicode.IsSpace) {
		return failure.New(failure.Usage, "for example --image registry.example.org/vapo:1.0",
			"--image: %q is not the name of a container image", o.Image)
	}
	for _, arg := range append([]string{o.Image, o.Recipe, o.Store, o.Endpoint, o.Region}, o.Args...) {
		if strings.Contains(arg, "{{") || strings.ContainsFunc(arg, unicode.IsControl) || !utf8.ValidString(arg) {
			return failure.New(failure.Usage, "rename the file, or write the value into the recipe",
				"%q: a workflow cannot have {{ or characters such as line breaks there", arg)
		}
	}
	return nil
}

// checkSchedule parses a schedule with the parser that Argo uses. That parser crashes on a time zone without times.
func checkSchedule(schedule string) error {
	const hint = `for example --schedule "30 2 * * *": minute, hour, day of the month, month, day of the week`
	zone := strings.HasPrefix(schedule, "TZ=") || strings.HasPrefix(schedule, "CRON_TZ=")
	if zone && !strings.Contains(schedule, " ") {
		return failure.New(failure.Usage, hint, "--schedule: %q has a time zone but no times", schedule)
	}
	if _, err := cron.ParseStandard(schedule); err != nil {
		return failure.New(failure.Usage, hint, "--schedule: %w", err)
	}
	return nil
}

// DefaultName returns the name of a recipe in the form that Kubernetes accepts.
func DefaultName(recipe string) string {
	return strings.Trim(strings.ReplaceAll(recipe, "_", "-"), "-")
}

// workflow returns a graph of tasks, one for each step or instance of a step, and the templates that they use, one for
// each step of the recipe.
func (o Options) workflow(g *graph.Graph) spec {
	const entrypoint = "recipe"
	names := unique{entrypoint: true}
	templates := map[string]text{} // names of templates, by step of the recipe
	tasks := map[string]text{}     // names of tasks, by step
	taskNames := unique{}
	out := spec{
		Entrypoint: entrypoint,
		Arguments: arguments{[]parameter{{"image", text(o.Image)}, {"store", literal(o.Store)},
			{"endpoint", literal(o.Endpoint)}, {"region", literal(o.Region)}, {"files", o.Files}}},
		PodSpecPatch: fmt.Sprintf(`{"terminationGracePeriodSeconds": %.0f}`, podGrace.Seconds()),
		Volumes:      []volume{{Name: "tmp"}},
		Templates:    []template{{Name: entrypoint, DAG: &dag{}}},
	}
	for _, n := range g.Nodes {
		base := n.Step.Base
		if templates[base] == "" {
			templates[base] = names.add(base)
			out.Templates = append(out.Templates, o.template(templates[base], n.Step, len(g.Nodes)))
		}
		t := task{Name: taskNames.add(n.Name()), Template: templates[base],
			Arguments: arguments{[]parameter{{"step", text(n.Name())}}}}
		tasks[n.Name()] = t.Name
		for _, need := range n.Needs { // which come before n in the graph
			t.Dependencies = append(t.Dependencies, tasks[need])
		}
		out.Templates[0].DAG.Tasks = append(out.Templates[0].DAG.Tasks, t)
	}
	return out
}

// unique holds the names that are taken.
type unique map[string]bool

var notInNames = regexp.MustCompile(`[^A-Za-z0-9]+`)

// add returns a name that Argo accepts and that resembles another one.
func (u unique) add(like string) text {
	name := strings.Trim(notInNames.ReplaceAllString(like, "-"), "-")
	name = name[:min(len(name), maxTaskName-5)]
	for i, first := 2, name; u[name]; i++ {
		name = first + "-" + strconv.Itoa(i)
	}
	u[name] = true
	return text(name)
}

// workflowID is when a workflow was created, and its unique ID.
const workflowID = "{{workflow.creationTimestamp.RFC3339}}/{{workflow.uid}}"

// ParseID reads the workflow to which a pod belongs: workflowID, as Argo fills it in, and the number of steps.
func ParseID(text string) (*runner.Workflow, error) {
	parts := strings.Split(text, "/")
	if len(parts) == 3 {
		started, err := time.Parse(time.RFC3339, parts[0])
		steps, err2 := strconv.Atoi(parts[2])
		if err == nil && err2 == nil && uid.MatchString(parts[1]) {
			return &runner.Workflow{UID: parts[1], Started: started.UTC(), Steps: steps}, nil
		}
	}
	return nil, failure.New(failure.Usage, "pass the text that pipeline export has written, as Argo completes it",
		"--workflow: %q is not STARTED/UID/STEPS", text)
}

// uid matches the unique ID of an object in Kubernetes.
var uid = regexp.MustCompile(`^[0-9a-f]{8}-[0-9a-f-]{27}$`)

// template returns the template for the pods of a step, in a workflow with the given number of steps.
func (o Options) template(name text, s *recipe.Step, steps int) template {
	args := []text{"exec", literal(o.Recipe), "{{inputs.parameters.step}}", "--files", "{{workflow.parameters.files}}",
		"--grace", text(grace.String()), text(fmt.Sprintf("--workflow=%s/%d", workflowID, steps))}
	if strings.HasPrefix(o.Recipe, "-") { // not a flag
		args[1] = "./" + args[1]
	}
	for _, arg := range o.Args {
		args = append(args, literal(arg))
	}
	t := template{Name: name, Inputs: &inputs{[]named{{"step"}}}, Container: &container{
		Image:   "{{workflow.parameters.image}}",
		Command: []string{"pipeline"},
		Args:    args,
		Env: []parameter{{"VAPO_STORE", "{{workflow.parameters.store}}"},
			{"AWS_ENDPOINT_URL", "{{workflow.parameters.endpoint}}"}, {"AWS_REGION", "{{workflow.parameters.region}}"}},
		EnvFrom: []envFrom{{named{text(o.Secret)}}},
		// Programs keep local files in the working directory and in TMPDIR, whose default is /tmp.
		WorkingDir: "/tmp", VolumeMounts: []mount{{"tmp", "/tmp"}},
	}}
	want := amounts{CPU: s.Resources.Cores, Memory: quantity(s.Resources.Memory), GPUs: s.Resources.GPUs}
	if want != (amounts{}) {
		t.Container.Resources = &resources{want, want}
	}
	if s.Timeout > 0 {
		t.ActiveDeadlineSeconds = int64(math.Ceil((s.Timeout + margin).Seconds()))
	}
	if r := s.Retries; r.Limit > 0 {
		t.RetryStrategy = &retryStrategy{Limit: r.Limit, RetryPolicy: "Always", Expression: retryable,
			Backoff: backoff{r.Backoff.String(), 2}}
	}
	return t
}

// quantity returns a number of bytes as Kubernetes writes it.
func quantity(bytes int64) string {
	switch {
	case bytes == 0:
		return ""
	case bytes%(1<<30) == 0:
		return fmt.Sprintf("%dGi", bytes>>30)
	case bytes%(1<<20) == 0:
		return fmt.Sprintf("%dMi", bytes>>20)
	}
	return strconv.FormatInt(bytes, 10)
}
