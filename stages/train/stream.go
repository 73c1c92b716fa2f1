package main

import (
	"context"
	"errors"

	"vapo/lib/dataloader"
	"vapo/lib/dataset"
	"vapo/lib/failure"
	"vapo/lib/npz"
	"vapo/lib/program"
	"vapo/lib/stage"
	"vapo/lib/tensorfile"
)

// data are the training samples in their order.
type data struct {
	dataset.Set // with its samples where they are in memory; otherwise without, and what is known of it as a whole
	samples     dataloader.Samples
	stream      *dataloader.Stream // nil where they are in memory
	input       *stage.Reader      // what it reads
}

// limits define the order of the samples, and inMemory is the input, in bytes, up to which they are held in memory; only
// tests change them.
var (
	limits   = dataloader.Default
	inMemory = int64(dataloader.Default.WindowBytes)
)

// openData opens the input data for a potential, which needs one batch at a time: in memory where they are one window,
// and streamed where they are more. The samples and their order are the same.
func openData(ctx context.Context, job *stage.Job, p *params) (*data, error) {
	if job.InputSize("data") <= inMemory {
		return wholeData(ctx, job, p)
	}
	in, err := job.OpenInput(ctx, "data", p.DataCache)
	if err != nil {
		return nil, err
	}
	if npz.Begins(in) {
		in.Close()
		return wholeData(ctx, job, p) // a compressed stream, in which nothing can be found
	}
	o := dataloader.Options{Seed: p.Seed, Limits: limits, CacheBytes: p.DataCache, Dir: job.Scratch()}
	if in.Local {
		o.CacheBytes = 0
	}
	s, err := dataloader.OpenStream(ctx, in, in.Size, o)
	if err != nil {
		in.Close()
		return nil, badData("data", err)
	}
	set := s.Set()
	if p.Conditional {
		if set, err = labelled(s); err != nil {
			return nil, badData("data", errors.Join(err, s.Close(), in.Close()))
		}
	}
	job.Log().Info("the data are read as they are needed", "samples", s.Len(), "bytes", in.Size, "window_bytes", s.WindowBytes(), "local", in.Local)
	return &data{Set: set, samples: s, stream: s, input: in}, nil
}

// head returns the first n samples, all where there are fewer.
func (d *data) head(n int) (dataset.Set, error) {
	if d.stream == nil {
		return d.Set.Head(n), nil
	}
	set, err := d.stream.Head(n)
	if err != nil {
		return nil, badData("data", err)
	}
	return set, nil
}

// labelled returns the set of a stream with the labels of its samples, eight bytes each, and nothing else of them.
func labelled(s *dataloader.Stream) (dataset.Set, error) {
	labels, err := s.Labels()
	if err != nil {
		return nil, err
	}
	if im, ok := s.Set().(*dataset.Images); ok {
		set := *im
		set.N, set.Labels = s.Len(), labels
		return &set, nil
	}
	set := *s.Set().(*dataset.Points)
	set.N, set.Labels = s.Len(), labels
	return &set, nil
}

// wholeData reads the input data into memory.
func wholeData(ctx context.Context, job *stage.Job, p *params) (*data, error) {
	if err := fits(job, "data"); err != nil {
		return nil, err
	}
	set, err := readSet(ctx, job, "data")
	if err != nil {
		return nil, err
	}
	return &data{Set: set, samples: dataloader.NewMemory(set, p.Seed, limits)}, nil
}

// fits says whether an input can be read whole.
func fits(job *stage.Job, name string) error {
	need, have := job.InputSize(name), program.MemoryLimit()
	if have > 0 && need > have {
		return failure.New(failure.Resources, "prepare fewer samples; potentials alone are trained on data larger than memory, given as a tensor file",
			"input %s is read into memory whole and takes %d MiB, this process may have %d MiB", name, need>>20, have>>20)
	}
	return nil
}

// badData says what is wrong with an input.
func badData(name string, err error) error {
	var format *tensorfile.FormatError
	var table *dataset.TableError
	switch {
	case errors.As(err, &format):
		return failure.New(failure.Input, "give an output of prep", "input %s: %w", name, err)
	case errors.As(err, &table):
		return failure.New(failure.Input, "", "input %s: %w", name, err)
	}
	return err
}

// record says how the data were read.
func (d *data) record(job *stage.Job) {
	if d.stream == nil {
		return
	}
	st := d.stream.Stats()
	job.Set("data_blocks_read", st.ReadBlocks)
	job.Set("data_blocks_cached", st.CacheBlocks)
	job.Set("data_cache_bytes", st.CacheBytes)
	job.Set("data_window_bytes", d.stream.WindowBytes())
}

// close ends reading; what is left behind goes with the job's temporary directory.
func (d *data) close() {
	_ = d.samples.Close()
	if d.input != nil {
		_ = d.input.Close()
	}
}
