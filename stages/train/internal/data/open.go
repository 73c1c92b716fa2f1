// Package data opens the training samples and draws the batches of a run. Samples are either held in memory or
// streamed; the batches are the same, because each depends only on the seed and the step. The next batch is drawn while
// the engine computes the current one.
package data

import (
	"context"
	"fmt"

	"vapo/lib/dataloader"
	"vapo/lib/dataset"
	"vapo/lib/failure"
	"vapo/lib/npz"
	"vapo/lib/potential"
	"vapo/lib/program"
	"vapo/lib/stage"
)

// Options control how the input data is read.
type Options struct {
	Seed       uint64 // determines the order of the samples
	Labels     bool   // the labels are needed
	Whole      bool   // all samples must be in memory
	CacheBytes int64  // limit of the local disk cache for data streamed from the store
}

// Source provides the training samples in the order in which they are used.
type Source struct {
	dataset.Set         // if streamed, it has the shape and other properties of the set, but no samples
	labels      []int64 // of all samples; nil if unknown, or if streamed and not needed
	samples     dataloader.Samples
	stream      *dataloader.Stream // nil if the samples are in memory
	input       *stage.Reader      // the input that stream reads; nil if the samples are in memory
}

// Limits set the sizes of blocks and windows, and thus the order of the samples. InMemory is the size in bytes up to
// which an input is held in memory. Only tests change these two variables.
var (
	Limits   = dataloader.Default
	InMemory = int64(dataloader.Default.WindowBytes)
)

// Open opens the input data. The data is held in memory if it is at most InMemory bytes, if it is a NumPy file, or if
// o.Whole is set; otherwise it is streamed.
func Open(ctx context.Context, job *stage.Job, o Options) (*Source, error) {
	if o.Whole || job.InputSize("data") <= InMemory {
		return whole(ctx, job, o)
	}
	in, err := job.OpenInput(ctx, "data", o.CacheBytes)
	if err != nil {
		return nil, err
	}
	if npz.Begins(in) { // only tensor files are streamed: NumPy archives may be compressed, without random access
		in.Close()
		return whole(ctx, job, o)
	}
	lo := dataloader.Options{Seed: o.Seed, Limits: Limits, CacheBytes: o.CacheBytes, Dir: job.Scratch()}
	if in.Local {
		lo.CacheBytes = 0
	}
	s, err := dataloader.OpenStream(ctx, in, in.Size, lo)
	if err != nil {
		in.Close()
		return nil, invalid("data", err)
	}
	src := &Source{Set: s.Set(), samples: s, stream: s, input: in}
	if o.Labels {
		if src.labels, err = s.Labels(); err != nil {
			src.Close()
			return nil, invalid("data", err)
		}
	}
	job.Log().Info("the data is streamed", "samples", s.Len(), "bytes", in.Size,
		"window_bytes", s.WindowBytes(), "local", in.Local)
	return src, nil
}

func whole(ctx context.Context, job *stage.Job, o Options) (*Source, error) {
	need, have := job.InputSize("data"), program.MemoryLimit()
	if have > 0 && need > have {
		return nil, failure.New(failure.Resources,
			"prepare fewer samples; only potentials can be trained on data larger than memory, given as a tensor file",
			"the input data must fit in memory: it needs %d MiB, this process may use %d MiB", need>>20, have>>20)
	}
	set, err := Read(ctx, job, "data")
	if err != nil {
		return nil, err
	}
	return &Source{Set: set, labels: dataset.LabelsOf(set), samples: dataloader.NewMemory(set, o.Seed, Limits)}, nil
}

// Read reads an input into memory.
func Read(ctx context.Context, job *stage.Job, name string) (dataset.Set, error) {
	path, err := job.Input(ctx, name)
	if err != nil {
		return nil, err
	}
	set, err := dataset.Read(path)
	if err != nil {
		return nil, invalid(name, err)
	}
	if set.Len() == 0 {
		return nil, failure.New(failure.Input, "", "input %s has no samples", name)
	}
	return set, nil
}

// invalid adds the name of an input to an error about its content.
func invalid(name string, err error) error {
	return failure.Default(failure.Input, "give an output of prep", fmt.Errorf("input %s: %w", name, err))
}

// Images returns set as images. It returns an input error if set holds points; model names the network that needs
// images.
func Images(set dataset.Set, model string) (*dataset.Images, error) {
	im, ok := set.(*dataset.Images)
	if !ok {
		return nil, failure.New(failure.Input, "use --model mlp for points",
			"a %s needs images, the data has samples of shape %v", model, set.Shape())
	}
	return im, nil
}

// Len is the number of samples.
func (s *Source) Len() int { return s.samples.Len() }

// Head returns the first n samples, or all of them if there are fewer.
func (s *Source) Head(n int) (dataset.Set, error) {
	if s.stream == nil {
		return s.Set.Head(n), nil
	}
	set, err := s.stream.Head(n)
	if err != nil {
		return nil, invalid("data", err)
	}
	return set, nil
}

// Labels returns the label of each sample and the number of classes, at least 2: the number of class names or the
// largest label plus one, whichever is greater. user names what needs the labels, for error messages.
func (s *Source) Labels(user string) (labels []int64, classes int, err error) {
	if len(s.labels) != s.Len() {
		return nil, 0, failure.New(failure.Input, "prepare a labelled data set",
			"input data: %d samples have %d labels, %s needs one each", s.Len(), len(s.labels), user)
	}
	classes = max(2, len(dataset.ClassesOf(s.Set)))
	for i, l := range s.labels {
		if l < 0 || l >= potential.MaxClasses {
			return nil, 0, failure.New(failure.Input, "labels must be class indices that start at 0",
				"input data: sample %d has label %d, expected 0 to %d", i, l, potential.MaxClasses-1)
		}
		classes = max(classes, int(l)+1)
	}
	if classes > potential.MaxClasses {
		return nil, 0, failure.New(failure.Input, "prepare the data with fewer classes",
			"input data names %d classes, expected at most %d", classes, potential.MaxClasses)
	}
	return s.labels, classes, nil
}

// CheckClasses returns an error if the input test names its classes differently from the training data, so that its
// labels mean other classes. One of the two sets may name further classes at the end, or none at all.
func (s *Source) CheckClasses(test dataset.Set) error {
	names, others := dataset.ClassesOf(s.Set), dataset.ClassesOf(test)
	for i := range min(len(names), len(others)) {
		if names[i] != others[i] {
			return failure.New(failure.Input, TestHint, "input test: class %d is %q, expected %q, as in the input data",
				i, others[i], names[i])
		}
	}
	return nil
}

// TestHint is the hint of errors about an input test that does not match the training data.
const TestHint = "give the test output of the prep step that made the data"

// Record writes to the manifest how much data was read from the input and how much from the cache.
func (s *Source) Record(job *stage.Job) {
	if s.stream == nil {
		return
	}
	st := s.stream.Stats()
	job.Set("data_blocks_read", st.ReadBlocks)
	job.Set("data_blocks_cached", st.CacheBlocks)
	job.Set("data_cache_bytes", st.CacheBytes)
	job.Set("data_window_bytes", s.stream.WindowBytes())
}

// Close stops reading. Cached files are in the job's scratch directory and are removed with it.
func (s *Source) Close() {
	_ = s.samples.Close()
	if s.input != nil {
		_ = s.input.Close()
	}
}
