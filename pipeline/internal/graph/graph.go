// Package graph turns a recipe into a graph of steps and checks it. Every stage must exist, every parameter must have a
// name and type that its stage declares, every input must be connected to a source of the right media type, and the
// steps must not form a cycle. All checks happen before any step runs, because a misspelt parameter in the last step
// should not cost an hour.
//
// TestRecipeMistakes and TestShippedRecipes of package pipeline test this package with real recipes.
package graph

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"regexp"
	"slices"

	"golang.org/x/sync/errgroup"

	"vapo/lib/artifact"
	"vapo/lib/contract"
	"vapo/lib/failure"
	"vapo/pipeline/internal/catalog"
	"vapo/pipeline/internal/command"
	"vapo/pipeline/internal/recipe"
)

// Source is the origin of an input: an output of another step, a blob in the store, or a local file to import. A path
// is relative to the working directory.
type Source struct {
	artifact.Reference
	Pos      recipe.Pos
	Imported artifact.Digest // of a local file that the store already has; the file itself is not read again
}

// Node is one checked step, ready to run.
type Node struct {
	Step    *recipe.Step
	Stage   *catalog.Entry
	Params  map[string]any // every parameter, with its resolved value
	Sources map[string]Source
	Needs   []string // names of the steps whose outputs or scores this step uses, and of its shards
	// Mentions are the nodes whose values the condition of this step compares, by name.
	Mentions map[string]*Node
	// Shard is set if the node is one worker's share of a step; see withShards.
	Shard contract.Shard
	whole *Node // the node of the whole step, if this is a shard
}

// Name returns the step's name.
func (n *Node) Name() string { return n.Step.Name }

// Graph is a checked recipe. Nodes are sorted so that each comes after the nodes that it needs; otherwise they keep the
// order of the file.
type Graph struct {
	Recipe *recipe.Recipe
	Nodes  []*Node
}

// Node returns the node of the step with the given name.
func (g *Graph) Node(name string) (*Node, bool) {
	i := slices.IndexFunc(g.Nodes, func(n *Node) bool { return n.Name() == name })
	if i < 0 {
		return nil, false
	}
	return g.Nodes[i], true
}

// Instances returns the number of instances of a step of the recipe.
func (g *Graph) Instances(step string) int {
	return len(slices.DeleteFunc(slices.Clone(g.Nodes), func(n *Node) bool {
		return n.Step.Base != step || n.IsShard()
	}))
}

// Build connects and checks the steps of a recipe. It applies one kind of check to all steps before the next kind. The
// error is the first one, in file order, of the first kind of check that fails. If there are targets, the graph has
// only these steps and those that they need. The stage programs check last. They fail if a file that a parameter names
// is missing, so this check is limited to the steps of the graph and those that their conditions mention.
func Build(ctx context.Context, r *recipe.Recipe, c *catalog.Catalog, targets ...string) (*Graph, error) {
	nodes, err := expanded(r)
	if err != nil {
		return nil, err
	}
	return build(ctx, r, c, nodes, nodes, targets)
}

// BuildOnly is like Build, but checks no other steps than the target and those that it needs. A machine that runs one
// step of a recipe may lack the stage programs and the files of the other steps.
func BuildOnly(ctx context.Context, r *recipe.Recipe, c *catalog.Catalog, target string) (*Graph, error) {
	nodes, err := expanded(r)
	if err != nil {
		return nil, err
	}
	nodes, needed := neededFor(nodes, target)
	return build(ctx, r, c, nodes, needed, []string{target})
}

// expanded returns a node for each step and instance of a step.
func expanded(r *recipe.Recipe) ([]*Node, error) {
	steps, err := r.Expand()
	nodes := make([]*Node, len(steps))
	for i, s := range steps {
		nodes[i] = &Node{Step: s, Sources: map[string]Source{}, Mentions: map[string]*Node{}}
	}
	return nodes, err
}

// build builds the graph of nodes, of which it connects only some.
func build(
	ctx context.Context, r *recipe.Recipe, c *catalog.Catalog, nodes, connected []*Node, targets []string,
) (*Graph, error) {
	if err := each(ctx, nodes, func(ctx context.Context, n *Node) error { return n.describe(ctx, c) }); err != nil {
		return nil, err
	}
	for _, n := range connected {
		if err := n.connect(r, nodes); err != nil {
			return nil, err
		}
		if err := n.condition(r, nodes); err != nil {
			return nil, err
		}
		slices.Sort(n.Needs)
	}
	ordered, err := order(nodes)
	if err != nil {
		return nil, err
	}
	for _, n := range nodes {
		if n.Params, err = n.params(r); err != nil {
			return nil, err
		}
	}
	if ordered, err = withShards(ordered); err != nil {
		return nil, err
	}
	if ordered, err = selected(ordered, targets); err != nil {
		return nil, err
	}
	err = each(ctx, inFileOrder(nodes, withMentions(ordered)), func(ctx context.Context, n *Node) error {
		if n.Step.Command != nil {
			var err error
			n.Stage.Path, n.Params, err = command.Resolve(n.Step, r)
			return err
		}
		var err error
		n.Params, err = c.Check(ctx, n.Stage, n.Params)
		if err != nil {
			return fmt.Errorf("%s: step %s: %w", n.paramsPos(), n.Name(), err)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	for _, n := range ordered {
		if n.IsShard() {
			n.Params = n.whole.Params
		}
	}
	r.About = expand(r, nodes)
	return &Graph{Recipe: r, Nodes: ordered}, nil
}

var stepParam = regexp.MustCompile(`\{([a-z0-9_-]+)\.([a-z0-9-]+)\}`)

// expand returns the recipe's description. It replaces {step.param} with the value of the parameter, so that the
// description stays true with --set. A step without a node has only the values that the recipe gives.
func expand(r *recipe.Recipe, nodes []*Node) string {
	return stepParam.ReplaceAllStringFunc(r.About, func(text string) string {
		m := stepParam.FindStringSubmatch(text)
		i := slices.IndexFunc(nodes, func(n *Node) bool { return n.Name() == m[1] })
		if i >= 0 && nodes[i].Params[m[2]] != nil {
			return fmt.Sprint(nodes[i].Params[m[2]])
		}
		if s, ok := r.Step(m[1]); ok && i < 0 {
			for _, p := range s.Params {
				if p.Name == m[2] {
					return cmp.Or(p.Text, text)
				}
			}
		}
		return text
	})
}

// each calls f for all nodes concurrently. It returns the error of the first node, in file order, whose call failed.
func each(ctx context.Context, nodes []*Node, f func(context.Context, *Node) error) error {
	errs := make([]error, len(nodes))
	var group errgroup.Group
	group.SetLimit(8)
	for i, n := range nodes {
		group.Go(func() error { errs[i] = f(ctx, n); return nil })
	}
	_ = group.Wait() // the errors are in errs
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

func (n *Node) describe(ctx context.Context, c *catalog.Catalog) error {
	if n.Step.Command != nil {
		d, err := command.Describe(n.Step)
		n.Stage = &catalog.Entry{Description: d}
		return err
	}
	var err error
	n.Stage, err = c.Stage(ctx, n.Step.Stage)
	if errors.Is(err, os.ErrNotExist) {
		if len(c.Names()) == 0 {
			return failure.New(failure.Usage, "run make build, or name the directory with --bin",
				"no stage programs in %s", c.Dir())
		}
		all := append(c.Names(), recipe.CommandStage)
		return recipe.Error(n.Step.Pos, recipe.Suggest(n.Step.Stage, all, "the stages are"),
			"step %s: there is no stage %s", n.Name(), n.Step.Stage)
	}
	if err != nil {
		err = fmt.Errorf("%s: step %s: %w", n.Step.Pos, n.Name(), err)
	}
	return failure.Default(failure.Usage, "was the program built from this source? run make build", err)
}

// params converts the recipe's parameters to the types that the stage declares.
func (n *Node) params(r *recipe.Recipe) (map[string]any, error) {
	out := map[string]any{}
	if n.Step.Command != nil {
		return nil, nil // command.Resolve returns them
	}
	d := n.Stage.Description
	all := make([]string, len(d.Params))
	for i, p := range d.Params {
		all[i] = p.Name
	}
	for _, p := range n.Step.Params {
		declared, ok := d.Param(p.Name)
		if !ok {
			return nil, recipe.Error(p.Pos, recipe.Suggest(p.Name, all, "its parameters are"),
				"step %s: stage %s has no parameter %s", n.Name(), d.Stage, p.Name)
		}
		given := p.Value
		if declared.Type == "string" && p.Text != "" {
			given = p.Text // as on a command line, an unquoted 3 can be text
		}
		v, err := declared.Value(given)
		if err != nil {
			return nil, recipe.Error(p.Pos, declared.Help, "step %s: %w", n.Name(), err)
		}
		if path, ok := v.(string); ok && declared.Path && path != "" {
			v = located(r, p.Pos, path)
		}
		out[p.Name] = v
	}
	for _, p := range d.Params {
		if _, ok := out[p.Name]; p.Required && !ok {
			return nil, recipe.Error(n.Step.Pos, p.Help, "step %s: parameter %s of stage %s must be given", n.Name(), p.Name,
				d.Stage)
		}
	}
	return out, nil
}

// paramsPos returns the position to report for errors that concern all parameters.
func (n *Node) paramsPos() recipe.Pos {
	if len(n.Step.Params) > 0 {
		return n.Step.Params[0].Pos
	}
	return n.Step.Pos
}

func names(ports []contract.Port) []string {
	out := make([]string, len(ports))
	for i, p := range ports {
		out[i] = p.Name
	}
	return out
}
