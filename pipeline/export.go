package main

import (
	"cmp"
	"context"
	"os"
	"path/filepath"
	"strings"

	"vapo/lib/failure"
	"vapo/lib/objectstore"
	"vapo/lib/program"
	"vapo/pipeline/internal/argo"
	"vapo/pipeline/internal/graph"
	"vapo/pipeline/internal/recipe"
)

type exportCmd struct {
	Argo argoCmd `cmd:"" help:"Write a workflow for Argo Workflows, which runs the steps in a Kubernetes cluster."`
}

type argoCmd struct {
	recipeFlags
	targets
	Schedule string `help:"Write a CronWorkflow that starts at these times, such as '30 2 * * *'." placeholder:"CRON"`
	Name     string `help:"Name of the workflow (default: that of the recipe)." placeholder:"NAME"`
	Image    string `help:"Container image with the programs; parameter image of the workflow." default:"vapo"`
	Secret   string `help:"Secret whose keys are the variables AWS_*, for access to the store." default:"vapo-store"`
}

func (c *argoCmd) Run(ctx context.Context, a *app) error {
	g, err := c.load(ctx, a, c.Steps...)
	if err != nil {
		return err
	}
	o := argo.Options{
		Name: cmp.Or(c.Name, argo.DefaultName(g.Recipe.Name)), Schedule: c.Schedule, Image: c.Image, Secret: c.Secret,
		Args: a.execArgs(&c.recipeFlags, g),
	}
	if o.Recipe, o.Files, err = argo.Files(g); err != nil {
		return err
	}
	if os.Getenv("VAPO_STORE") == "" {
		return failure.New(failure.Usage, "set VAPO_STORE=s3://bucket/prefix and AWS_ENDPOINT_URL of a server that all pods "+
			"reach", "pods cannot use the embedded store")
	}
	store, err := objectstore.FromEnv(func(name string) string {
		if name == "AWS_ACCESS_KEY_ID" || name == "AWS_SECRET_ACCESS_KEY" {
			return "in the secret" // an export needs no keys
		}
		return os.Getenv(name)
	})
	if err != nil {
		return err
	}
	o.Store = "s3://" + strings.TrimSuffix(store.Bucket+"/"+store.Prefix, "/")
	o.Endpoint, o.Region = store.Endpoint, store.Region
	text, err := argo.Export(g, o)
	if err != nil {
		return err
	}
	_, err = a.stdout.Write(text)
	return err
}

// unpack makes f refer to the recipe among files, which it writes to a temporary directory.
func (f *recipeFlags) unpack(files string) (remove func(), err error) {
	dir, remove, err := program.Scratch()
	if err != nil {
		return nil, err
	}
	if err := argo.Unpack(files, dir); err != nil {
		remove()
		return nil, err
	}
	f.Recipe = filepath.Join(dir, f.Recipe)
	return remove, nil
}

// leaveRetries removes the retries of all steps, because the workflow itself starts a pod again after a failure.
func leaveRetries(g *graph.Graph) error {
	for _, n := range g.Nodes {
		n.Step.Retries = recipe.Retries{}
	}
	return nil
}
