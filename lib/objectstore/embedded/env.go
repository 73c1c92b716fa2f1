package embedded

import (
	"strings"

	"vapo/lib/objectstore"
)

// Env holds the settings that a program needs to use a gateway.
type Env struct {
	Endpoint  string `json:"endpoint"` // http://127.0.0.1:port
	AccessKey string `json:"access_key"`
	SecretKey string `json:"secret_key"`
	Region    string `json:"region"`
	Store     string `json:"store"`   // s3://bucket
	Gateway   string `json:"gateway"` // see objectstore.Config.Gateway
}

// variables lists the settings in the order in which they are printed. It includes empty values, which override
// settings for another store that a child process would otherwise inherit.
func (e Env) variables() [][2]string {
	return [][2]string{
		{"AWS_ENDPOINT_URL", e.Endpoint},
		{"AWS_ACCESS_KEY_ID", e.AccessKey},
		{"AWS_SECRET_ACCESS_KEY", e.SecretKey},
		{"AWS_REGION", e.Region},
		{"VAPO_STORE", e.Store},
		{"VAPO_GATEWAY", e.Gateway},
		{"AWS_ENDPOINT_URL_S3", ""},
		{"AWS_SESSION_TOKEN", ""},
	}
}

// Environ returns the settings as NAME=value, to append to a child's environment.
func (e Env) Environ() []string {
	var out []string
	for _, v := range e.variables() {
		out = append(out, v[0]+"="+v[1])
	}
	return out
}

// Shell returns the settings as POSIX shell commands, for eval.
func (e Env) Shell() string {
	var b strings.Builder
	for _, v := range e.variables() {
		if v[1] == "" {
			b.WriteString("unset " + v[0] + "\n")
			continue
		}
		b.WriteString("export " + v[0] + "='" + strings.ReplaceAll(v[1], "'", `'\''`) + "'\n")
	}
	return b.String()
}

// Config returns the settings as a configuration for objectstore.Open.
func (e Env) Config() (objectstore.Config, error) {
	m := map[string]string{}
	for _, v := range e.variables() {
		m[v[0]] = v[1]
	}
	return objectstore.FromEnv(func(name string) string { return m[name] })
}
