package main

import (
	"bytes"
	"context"
	"slices"
	"strconv"
	"time"

	"vapo/lib/contract"
	"vapo/lib/dataset"
	"vapo/lib/sampling"
	"vapo/lib/stage"
	"vapo/lib/tensorfile"
)

// partsOf cuts samples [First, First+N) into the parts that shards draw. A part ends where a block of the sampler ends,
// because blocks are evaluated whole. A sample depends on its index but not on the run that draws it, so the parts
// together are what one run would draw.
func partsOf(p *params, block int) []interval {
	size := block
	if p.Solver == "rk45" {
		// The next sample takes the place of a finished one in the block. Towards the end of a part there is no next sample
		// and places stay empty, so a part has several blocks to waste less time.
		size *= 4
	}
	var list []interval
	for from, end := p.First, p.First+p.N; from < end; {
		to := min(from-from%size+size, end)
		list = append(list, interval{from, to})
		from = to
	}
	return list
}

// runShard draws the parts of one shard and saves them.
func runShard(ctx context.Context, job *stage.Job, p *params, shard contract.Shard) error {
	m, s, err := openSampler(ctx, job, p)
	if err != nil {
		return err
	}
	parts, err := job.Parts(ctx)
	if err != nil {
		return err
	}
	var mine []interval
	total := 0
	for i, r := range partsOf(p, s.Block) {
		if shard.Owns(i) {
			mine = append(mine, r)
			total += r.len()
		}
	}
	d := &drawer{job: job, model: m, sampler: s, params: p, parts: parts, progress: job.Progress(int64(total), "samples"),
		total: total, began: time.Now()}
	for _, r := range mine {
		if _, _, err := d.draw(ctx, r, make([]float32, r.len()*m.config.Dim())); err != nil {
			return err
		}
	}
	d.progress.Done()
	return nil
}

// key returns the key of a part: that of the run that would draw these samples alone.
func (d *drawer) key(r interval) (string, error) {
	return d.job.PartKey(map[string]any{"n": int64(r.len()), "first": int64(r.from)})
}

// Metadata of a part: what its samples cost.
const (
	metaEvaluations    = "vapo.evaluations"
	metaMaxEvaluations = "vapo.max_evaluations"
	metaSeconds        = "vapo.seconds"
)

// encode encodes samples x, in the network's units, as a part. Images are stored as they will be written, in 8 bits.
func (d *drawer) encode(x []float32, w sampling.Work, seconds float64) ([]byte, error) {
	t := sampling.Set(d.model.config, x, w.Samples).Table()
	t.Meta[metaEvaluations], t.Meta[metaMaxEvaluations] = strconv.Itoa(w.Total), strconv.Itoa(w.Max)
	t.Meta[metaSeconds] = strconv.FormatFloat(seconds, 'g', -1, 64)
	var b bytes.Buffer
	err := tensorfile.Write(&b, t)
	return b.Bytes(), err
}

// decode decodes a part into x, in the network's units. If value is not a part with as many samples as x, decode leaves
// x unchanged and returns ok = false; the caller then draws the samples again.
func (d *drawer) decode(value []byte, x []float32) (w sampling.Work, seconds float64, ok bool) {
	t, err := tensorfile.Decode(bytes.NewReader(value), int64(len(value)))
	if err != nil {
		return w, 0, false
	}
	set, err := dataset.FromTable(t)
	if err != nil || set.Len()*d.model.config.Dim() != len(x) || !slices.Equal(set.Shape(), d.model.config.Shape) {
		return w, 0, false
	}
	total, err1 := strconv.Atoi(t.Meta[metaEvaluations])
	most, err2 := strconv.Atoi(t.Meta[metaMaxEvaluations])
	seconds, err3 := strconv.ParseFloat(t.Meta[metaSeconds], 64)
	if err1 != nil || err2 != nil || err3 != nil {
		return w, 0, false
	}
	for i := range set.Len() {
		set.Row(x[i*d.model.config.Dim():], i)
	}
	return sampling.Work{Total: total, Samples: set.Len(), Max: most}, seconds, true
}
