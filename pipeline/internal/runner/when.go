package runner

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"strings"

	"vapo/lib/artifact"
	"vapo/lib/failure"
	"vapo/pipeline/internal/condition"
	"vapo/pipeline/internal/graph"
)

// maxScore is the largest size of a score that is read, in bytes.
const maxScore = 1 << 20

// verdict is what is known about the condition of a step.
type verdict struct {
	skip    string // why the step does not run; "" if it does or if that is unknown
	unknown string // a comparison whose score does not exist yet, or ""
}

// judge evaluates the condition of a step with the scores among made.
func (r *Runner) judge(ctx context.Context, n *graph.Node, made outputs) (v verdict, err error) {
	for _, term := range n.Step.When {
		for _, name := range term.Steps {
			of := n.Mentions[name]
			var x any
			if term.Name == condition.Value {
				port, _ := graph.Score(of.Stage.Description) // package graph has checked that the stage has a score
				out, ok := made[name][port.Name]
				if !ok {
					v.unknown = term.Text
					continue
				}
				if x, err = r.score(ctx, artifact.Digest(out.Digest)); err != nil {
					return v, located(term.Pos, fmt.Errorf("step %s: when: the score of step %s: %w", n.Name(), name, err))
				}
			} else {
				x = of.Params[term.Name]
			}
			holds, err := term.Holds(x)
			if err != nil {
				return v, failure.New(failure.Input, "", "%s: step %s: when: step %s: %w", term.Pos, n.Name(), name, err)
			}
			if !holds {
				v.skip = fmt.Sprintf("%s does not hold: %s.%s is %v", term.Text, name, term.Name, x)
				return v, nil
			}
		}
	}
	return v, nil
}

// score returns the value of a score in the store.
func (r *Runner) score(ctx context.Context, digest artifact.Digest) (float64, error) {
	blob, err := r.Store.Open(ctx, digest)
	if err != nil {
		return 0, err
	}
	defer blob.Close()
	data, err := io.ReadAll(io.LimitReader(blob, maxScore+1))
	if err != nil {
		return 0, err
	}
	var score struct{ Value *float64 }
	if len(data) > maxScore || json.Unmarshal(data, &score) != nil || score.Value == nil {
		return 0, failure.New(failure.Input, "a score is a JSON object with a number in the field value",
			"it has no value: %.60q", strings.TrimSpace(string(data[:min(len(data), 60)])))
	}
	return *score.Value, nil
}
