// Command toy is the smallest stage with everything in it; tests drive it.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"time"

	"vapo/lib/stage"
)

type params struct {
	Steps   int             `help:"How many steps." default:"3" unit:"steps"`
	Rate    float64         `help:"Size of a step." default:"0.1"`
	Mode    string          `help:"What to do." default:"ok" enum:"ok,fail"`
	Fast    bool            `help:"Skip the rest."`
	Shape   json.RawMessage `help:"Structured." default:"[1,2]"`
	Delay   float64         `help:"Wait." default:"0" unit:"s" keyed:"false"`
	Backend string          `help:"Engine." default:"auto" enum:"auto,a,b"`
}

type echo struct {
	Words []string `arg:"" optional:""`
}

func (e *echo) Run(ctx context.Context, c *stage.Console) error {
	fmt.Fprintln(c.Stdout, e.Words)
	return nil
}

func main() {
	os.Exit(stage.Main(stage.Stage[params]{
		Name: "toy", About: "Toy does toys.", Version: 1,
		Inputs:  []stage.Port{{Name: "data", Media: stage.MediaJSON, Help: "Data.", Optional: true}},
		Outputs: []stage.Port{{Name: "out", Media: stage.MediaJSON, Help: "Result."}},
		Auto:    map[string]func(*params) string{"backend": func(*params) string { return "a" }},
		Run: func(ctx context.Context, job *stage.Job, p *params) error {
			pr := job.Progress(int64(p.Steps), "steps")
			for i := range p.Steps {
				pr.Set(int64(i+1), "loss", 1/float64(i+1))
				select {
				case <-ctx.Done():
					return context.Cause(ctx)
				case <-time.After(time.Duration(p.Delay * 1e9)):
				}
			}
			pr.Done()
			return job.Output(ctx, "out", func(w io.Writer) error { _, err := fmt.Fprintln(w, p.Rate); return err })
		},
		Commands: []stage.Command{{Name: "echo", Help: "Echo words.", Cmd: &echo{}}},
	}, os.Args[1:], os.Stdout, os.Stderr))
}
