// Command argolint checks files as `argo lint --offline FILE...` does, with the same two functions of Argo Workflows:
// its strict decoder, and its validation of a workflow.
//
// Debian has no argo, and building the whole program, with its server and all its stores, takes several times as long.
// This module is separate so that Argo and Kubernetes stay out of the project's go.mod. It also pins Argo's controller,
// which make soak runs.
package main

import (
	"context"
	"fmt"
	"io"
	"os"

	"github.com/sirupsen/logrus"

	"github.com/argoproj/argo-workflows/v3/pkg/apis/workflow/v1alpha1"
	"github.com/argoproj/argo-workflows/v3/workflow/common"
	"github.com/argoproj/argo-workflows/v3/workflow/validate"
)

func main() {
	logrus.SetOutput(io.Discard)
	code := 0
	for _, path := range os.Args[1:] {
		if err := lint(path); err != nil {
			fmt.Fprintf(os.Stderr, "%s: %v\n", path, err)
			code = 1
		}
	}
	os.Exit(code)
}

func lint(path string) error {
	data, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	objects := common.ParseObjects(data, true)
	if len(objects) == 0 {
		return fmt.Errorf("no objects")
	}
	for _, parsed := range objects {
		if parsed.Err != nil {
			return parsed.Err
		}
		var err error
		switch o := parsed.Object.(type) {
		case *v1alpha1.WorkflowTemplate:
			err = validate.ValidateWorkflowTemplate(nil, nil, o, validate.ValidateOpts{Lint: true})
		case *v1alpha1.CronWorkflow:
			err = validate.ValidateCronWorkflow(context.Background(), nil, nil, o)
		default:
			err = fmt.Errorf("neither a WorkflowTemplate nor a CronWorkflow")
		}
		if err != nil {
			return err
		}
	}
	return nil
}
