package argo

import (
	"regexp"
	"strconv"
	"strings"

	"github.com/goccy/go-yaml"
)

// text is a line of text from the user.
type text string

// plain matches texts that goccy/go-yaml writes as every reader of YAML understands them. It writes others without
// quotes, such as 1e3, "? 3" and y, that Kubernetes reads as a number, a mapping and a truth value.
var plain = regexp.MustCompile(`^(--)?[A-Za-z][A-Za-z0-9_./:=-]*[A-Za-z0-9]$|^\{\{[a-z.]+\}\}$`)

func (s text) MarshalYAML() ([]byte, error) {
	if plain.MatchString(string(s)) {
		return yaml.Marshal(string(s))
	}
	return []byte(strconv.Quote(string(s))), nil
}

// literal escapes s so that Kubernetes passes it on unchanged: in arguments and variables, Kubernetes replaces $$ by $,
// and $(NAME) by the value of a variable.
func literal(s string) text { return text(strings.ReplaceAll(s, "$", "$$")) }

// These types are the parts of Argo's and Kubernetes' objects that an export uses, with the same names of fields.

type object struct {
	APIVersion string   `yaml:"apiVersion"`
	Kind       string   `yaml:"kind"`
	Metadata   metadata `yaml:"metadata"`
	Spec       any      `yaml:"spec"` // spec or cronSpec
}

type metadata struct {
	Name text `yaml:"name"`
}

// cronSpec needs Argo 3.6; before, a CronWorkflow had only one schedule.
type cronSpec struct {
	Schedules                  []text `yaml:"schedules"`
	ConcurrencyPolicy          string `yaml:"concurrencyPolicy"`
	SuccessfulJobsHistoryLimit int    `yaml:"successfulJobsHistoryLimit"`
	FailedJobsHistoryLimit     int    `yaml:"failedJobsHistoryLimit"`
	WorkflowSpec               spec   `yaml:"workflowSpec"`
}

type spec struct {
	Entrypoint   string     `yaml:"entrypoint"`
	Arguments    arguments  `yaml:"arguments"`
	PodSpecPatch string     `yaml:"podSpecPatch"`
	Volumes      []volume   `yaml:"volumes"`
	Templates    []template `yaml:"templates"`
}

type arguments struct {
	Parameters []parameter `yaml:"parameters"`
}

type parameter struct {
	Name  string `yaml:"name"`
	Value any    `yaml:"value"` // text, or a string of several lines
}

type named struct {
	Name text `yaml:"name"`
}

type volume struct {
	Name     string   `yaml:"name"`
	EmptyDir struct{} `yaml:"emptyDir"`
}

// template is the graph of tasks, or what the pods of a step have in common.
type template struct {
	Name                  text           `yaml:"name"`
	DAG                   *dag           `yaml:"dag,omitempty"`
	Inputs                *inputs        `yaml:"inputs,omitempty"`
	ActiveDeadlineSeconds int64          `yaml:"activeDeadlineSeconds,omitempty"`
	RetryStrategy         *retryStrategy `yaml:"retryStrategy,omitempty"`
	Container             *container     `yaml:"container,omitempty"`
}

type dag struct {
	Tasks []task `yaml:"tasks"`
}

type task struct {
	Name         text      `yaml:"name"`
	Template     text      `yaml:"template"`
	Dependencies []text    `yaml:"dependencies,omitempty"`
	Arguments    arguments `yaml:"arguments"`
}

type inputs struct {
	Parameters []named `yaml:"parameters"`
}

type retryStrategy struct {
	Limit       int     `yaml:"limit"`
	RetryPolicy string  `yaml:"retryPolicy"`
	Expression  string  `yaml:"expression"`
	Backoff     backoff `yaml:"backoff"`
}

type backoff struct {
	Duration string `yaml:"duration"`
	Factor   int    `yaml:"factor"`
}

type container struct {
	Image        string      `yaml:"image"`
	Command      []string    `yaml:"command"`
	Args         []text      `yaml:"args"`
	Env          []parameter `yaml:"env"`
	EnvFrom      []envFrom   `yaml:"envFrom"`
	WorkingDir   string      `yaml:"workingDir"`
	VolumeMounts []mount     `yaml:"volumeMounts"`
	Resources    *resources  `yaml:"resources,omitempty"`
}

type envFrom struct {
	SecretRef named `yaml:"secretRef"`
}

type mount struct {
	Name      string `yaml:"name"`
	MountPath string `yaml:"mountPath"`
}

type resources struct {
	Requests amounts `yaml:"requests"`
	Limits   amounts `yaml:"limits"`
}

type amounts struct {
	CPU    int    `yaml:"cpu,omitempty"`
	Memory string `yaml:"memory,omitempty"`
	GPUs   int    `yaml:"nvidia.com/gpu,omitempty"`
}
