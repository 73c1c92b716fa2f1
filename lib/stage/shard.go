package stage

import (
	"context"
	"maps"

	"vapo/lib/contract"
)

// shardCmd is the command that computes one shard.
type shardCmd[P any] struct {
	Shard contract.Shard `arg:"" help:"Share to compute, such as 2/4."`
	Input inputFlags     `help:"Input NAME: sha256:…, ref:name or a path. Give it once per input." placeholder:"NAME=REF"`
	Out   string         `help:"Without VAPO_STORE: save the parts in DIR." placeholder:"DIR" type:"path"`
	P     P              `embed:"" group:"Parameters:"`
}

// PartKey returns the key of a part: the key of the action that differs from this run's in the given parameters.
func (j *Job) PartKey(params map[string]any) (string, error) {
	all := maps.Clone(j.manifest.Params)
	maps.Copy(all, params)
	return j.desc.Action(all, j.manifest.Inputs).Key()
}

// Sharded reports whether the run takes the parts that the command shard has saved.
func (j *Job) Sharded() bool { return j.sharded }

// runShard computes one shard of a run.
func runShard[P any](
	ctx context.Context, spec *Stage[P], cmd *shardCmd[P], given map[string]bool, scr *screen,
) error {
	job, p, err := start(ctx, spec, &runCmd[P]{Input: cmd.Input, Out: cmd.Out, P: cmd.P}, given, false, true, scr)
	if err != nil {
		return err
	}
	defer job.close()
	return spec.Shard(ctx, job, p, cmd.Shard)
}
