package main

import (
	"context"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"vapo/lib/contract"
	"vapo/lib/enginename"
	"vapo/lib/failure"
	"vapo/pipeline/internal/graph"
	"vapo/pipeline/internal/recipe"
	"vapo/pipeline/internal/runner"
	"vapo/pipeline/internal/slurm"
)

// onSlurm is the value of --executor for jobs of a Slurm cluster.
const onSlurm = "slurm"

// executor holds the flags that choose where the steps of a recipe run.
type executor struct {
	Executor string `help:"Where steps run: local, or slurm for jobs of a cluster." enum:"local,slurm" default:"local"`
	Ship     bool   `help:"With --executor slurm: copy the programs, so that jobs in the queue keep theirs."`
	Slurm    string `help:"File of #SBATCH lines and shell commands for every job." placeholder:"FILE" type:"path"`
}

// check refuses --slurm and --ship without --executor slurm.
func (e executor) check() error {
	for name, given := range map[string]bool{"--slurm": e.Slurm != "", "--ship": e.Ship} {
		if given && e.Executor != onSlurm {
			return failure.New(failure.Usage, "add --executor slurm", "%s needs --executor slurm", name)
		}
	}
	return nil
}

// compatible refuses flags that cannot be combined.
func (c *runCmd) compatible() error {
	cluster := c.Executor == onSlurm
	if c.Detach && !cluster {
		return failure.New(failure.Usage, "add --executor slurm", "--detach needs --executor slurm")
	}
	for _, flag := range []struct {
		name string
		set  bool
	}{{"--fresh", c.Fresh}, {"--no-wait", c.NoWait}, {"--jobs", c.Jobs != 1}} {
		if cluster && flag.set {
			return failure.New(failure.Usage, "omit "+flag.name, "%s does not work with --executor slurm", flag.name)
		}
	}
	return c.executor.check()
}

// cluster returns the scheduler for the jobs of a recipe.
func (a *app) cluster(f *recipeFlags, e executor, g *graph.Graph, store *openStore) (*slurm.Slurm, error) {
	if os.Getenv("VAPO_STORE") == "" {
		return nil, failure.New(failure.Usage, "set VAPO_STORE=s3://bucket/prefix and the AWS_* variables of a server that "+
			"all nodes reach", "--executor slurm: the nodes of a cluster cannot use the embedded store")
	}
	site, err := slurm.ReadSite(e.Slurm)
	if err != nil {
		return nil, err
	}
	s := &slurm.Slurm{Site: site, Source: g.Recipe.Source, Env: slurm.StoreEnv(store.env), Args: a.execArgs(f, g)}
	for _, err := range []error{
		absolute(&s.Recipe, func() (string, error) { return f.Recipe, nil }),
		absolute(&s.Program, os.Executable),
		absolute(&s.Bin, a.bin),
		absolute(&s.Lock, func() (string, error) { return filepath.Join(a.local(), "slurm.lock"), nil }),
	} {
		if err != nil {
			return nil, err
		}
	}
	s.Say = a.warn
	if e.Ship {
		s.Ship = append(s.Ship, s.Program)
		for _, n := range g.Nodes {
			for _, used := range append(slices.Collect(maps.Values(n.Mentions)), n) {
				if used.Step.Command == nil && !slices.Contains(s.Ship, used.Stage.Path) {
					s.Ship = append(s.Ship, used.Stage.Path)
				}
			}
		}
		copies := func() (string, error) { return filepath.Join(a.local(), "programs"), nil }
		if err := absolute(&s.Copies, copies); err != nil {
			return nil, err
		}
	}
	return s, nil
}

// absolute sets target to the absolute form of a path, because jobs run in other directories.
func absolute(target *string, path func() (string, error)) error {
	p, err := path()
	if err == nil {
		*target, err = filepath.Abs(p)
	}
	return err
}

// execArgs returns the arguments with which exec runs a step of the recipe elsewhere as it would run here.
func (a *app) execArgs(f *recipeFlags, g *graph.Graph) []string {
	args := a.pinned(g)
	for _, set := range f.Set {
		args = append(args, "--set", set)
	}
	for _, input := range f.Input {
		args = append(args, "--input", input)
	}
	return args
}

// pinned returns arguments that set the engine of every step that leaves the choice to the machine. Otherwise the nodes
// might choose other engines than this machine, and the keys of the steps would differ from those that were planned.
func (a *app) pinned(g *graph.Graph) (args []string) {
	seen := map[string]bool{} // steps of the recipe, whose instances share their engine
	for _, n := range g.Nodes {
		engine, ok := n.Params[contract.EngineParam].(string)
		named := slices.ContainsFunc(n.Step.Params, func(p recipe.Param) bool {
			return p.Name == contract.EngineParam && p.Value != string(enginename.Auto)
		})
		if !ok || named || n.Step.Command != nil || seen[n.Step.Base] {
			continue
		}
		seen[n.Step.Base] = true
		args = append(args, "--set", fmt.Sprintf("%s.%s=%s", n.Step.Base, contract.EngineParam, engine))
		if n.Step.Resources.GPUs > 0 && !strings.HasPrefix(engine, "xla") {
			a.warn(fmt.Sprintf("step %s asks for a GPU, but its engine is %s, which is what auto means on this machine: "+
				"name its engine in the recipe", n.Name(), engine))
		}
	}
	return args
}

// planJobs adds to steps the job of each step that is not cached.
func (c *planCmd) planJobs(
	ctx context.Context, a *app, g *graph.Graph, store *openStore, decisions []*runner.Decision, steps []stepPlan,
) error {
	cluster, err := a.cluster(&c.recipeFlags, c.executor, g, store)
	if err != nil {
		return err
	}
	jobs, err := a.runner(store, nil).JobsFor(decisions)
	if err != nil {
		return err
	}
	found, err := cluster.Find(ctx, jobs)
	if err != nil {
		return err
	}
	for _, j := range jobs {
		p := &jobPlan{Name: j.Name, Job: j.ID, State: found[j].Text}
		if !j.Found {
			p.Options = cluster.Resources(j)
		}
		for _, n := range j.Needs {
			if !slices.Contains(p.After, n.Name) {
				p.After = append(p.After, n.Name)
			}
		}
		if i := slices.IndexFunc(steps, func(s stepPlan) bool { return s.Step == j.Node.Name() }); i >= 0 {
			steps[i].Job = p
		}
	}
	return nil
}

func (p *jobPlan) String() string {
	if p.Job != "" {
		return fmt.Sprintf("job %s, in the queue as %s (%s)", p.Name, p.Job, p.State)
	}
	text := strings.Join(append([]string{"job " + p.Name}, p.Options...), " ")
	if len(p.After) > 0 {
		text += ", after " + strings.Join(p.After, ", ")
	}
	return text
}

// runJob runs a step as a job of a cluster. It records how the step ends in a file, for the command that submitted the
// job.
func (c *execCmd) runJob(ctx context.Context, a *app, run *runCmd, opt runner.Options) error {
	opt.JobDir, opt.Place = c.Job, slurm.Place()
	run.Job = c.Job
	run.check = func(g *graph.Graph) error {
		n, _ := g.Node(c.Step) // the graph contains c.Step, its target
		described, err := runner.Described(n)
		if err == nil && described != c.Described {
			err = failure.New(failure.Usage, "keep the programs in a directory that all machines share, see --bin, and "+
				"submit again after a build", "stage %s at %s is not the program for which the job was submitted", n.Stage.Stage,
				n.Stage.Path)
		}
		return err
	}
	record, err := a.runRecipe(ctx, run, opt)
	if record == nil && err != nil && failure.ClassOf(err) != failure.Terminated {
		if saveErr := runner.SaveJobFailure(c.Job, c.Step, opt.Place, err); saveErr != nil {
			fmt.Fprintf(a.stderr, "warning: %v\n", saveErr)
		}
	}
	return err
}
