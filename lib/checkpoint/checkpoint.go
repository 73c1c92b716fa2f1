// Package checkpoint reads and writes trained networks: named float32 tensors with the network's configuration and the
// training step.
//
// The first part of a tensor's name is its group. param/ holds the weights. ema/ holds their exponential moving
// average, which is used for sampling; ema.1/, ema.2/, ... hold further averages with other half-lives. adam.m/ and
// adam.v/ hold the optimiser's moments, which are needed to resume. Snapshots of averages, such as std:0.05@4000/, are
// described in package average. A checkpoint is a tensorfile with one row and one column per tensor, so any Arrow
// implementation can open it. The bytes depend only on the content: a run that was killed and resumed ends with a
// checkpoint of the same digest as an uninterrupted run.
package checkpoint

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"

	"vapo/lib/tensorfile"
)

// Name prefixes of the groups.
const (
	Param = "param/"
	EMA   = "ema/"
	AdamM = "adam.m/"
	AdamV = "adam.v/"
)

// Average returns the prefix of the k-th moving average of the weights: ema/ for the main average (k = 0), then ema.1/,
// ema.2/, ...
func Average(k int) string {
	if k == 0 {
		return EMA
	}
	return fmt.Sprintf("ema.%d/", k)
}

// Kinds of checkpoints.
const (
	Potential  = "potential"
	Classifier = "classifier"
)

// Named is one tensor.
type Named struct {
	Name  string // group prefix and name: "param/dense0/w"
	Shape []int  // empty for a scalar
	Data  []float32
}

// Checkpoint is the state of a network.
type Checkpoint struct {
	Kind    string          // Potential or Classifier
	Config  json.RawMessage // configuration of the network, as its package writes it
	Step    int64           // optimiser steps taken
	Tensors []Named         // in any order; written sorted by name
	Extra   map[string]json.RawMessage
}

const (
	metaFormat = "vapo"
	metaKind   = "kind"
	metaConfig = "config"
	metaStep   = "step"
	metaExtra  = "extra." // followed by the name of the value
	format     = "checkpoint/1"
)

// Write writes the checkpoint. Tensors and extra values are sorted by name and JSON is compacted.
func Write(w io.Writer, c *Checkpoint) error {
	if err := c.validate(); err != nil {
		return fmt.Errorf("checkpoint: write: %w", err)
	}
	t := &tensorfile.Table{Rows: 1, Meta: map[string]string{
		metaFormat: format,
		metaKind:   c.Kind,
		metaStep:   strconv.FormatInt(c.Step, 10),
	}}
	if err := setJSON(t.Meta, metaConfig, c.Config); err != nil {
		return err
	}
	for name, v := range c.Extra {
		if err := setJSON(t.Meta, metaExtra+name, v); err != nil {
			return err
		}
	}
	for _, n := range sorted(c.Tensors) {
		t.Columns = append(t.Columns, tensorfile.Column{Name: n.Name, Shape: n.Shape, Data: n.Data})
	}
	if err := tensorfile.Write(w, t); err != nil {
		return fmt.Errorf("checkpoint: %w", err)
	}
	return nil
}

func setJSON(meta map[string]string, key string, v json.RawMessage) error {
	var b bytes.Buffer
	if err := json.Compact(&b, v); err != nil {
		return fmt.Errorf("checkpoint: write: %s is not JSON: %w", key, err)
	}
	meta[key] = b.String()
	return nil
}

func sorted(tensors []Named) []Named {
	return slices.SortedFunc(slices.Values(tensors), func(a, b Named) int { return strings.Compare(a.Name, b.Name) })
}

func (c *Checkpoint) validate() error {
	if c.Kind == "" {
		return errors.New("no kind")
	}
	if c.Step < 0 {
		return fmt.Errorf("step %d, expected 0 or more", c.Step)
	}
	if len(c.Tensors) == 0 {
		return errors.New("no tensors")
	}
	for _, n := range c.Tensors {
		if n.Name == "" {
			return errors.New("a tensor has no name")
		}
	}
	return nil // tensorfile checks shapes and duplicate names
}

// Read reads the checkpoint at path. If the file is not a tensor file, the error is a *tensorfile.FormatError.
func Read(path string) (*Checkpoint, error) {
	t, err := tensorfile.Read(path)
	if err != nil {
		return nil, err
	}
	c, err := fromTable(t)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return c, nil
}

// fromTable converts a table to a checkpoint that shares its memory.
func fromTable(t *tensorfile.Table) (*Checkpoint, error) {
	if got := t.Meta[metaFormat]; got != format {
		return nil, notCheckpoint("metadata %q is %q, expected %q", metaFormat, got, format)
	}
	if t.Rows != 1 {
		return nil, notCheckpoint("it has %d rows, expected 1", t.Rows)
	}
	c := &Checkpoint{Kind: t.Meta[metaKind], Config: json.RawMessage(t.Meta[metaConfig])}
	step, err := strconv.ParseInt(t.Meta[metaStep], 10, 64)
	if err != nil || step < 0 {
		return nil, notCheckpoint("metadata %q is %q, expected a whole number of 0 or more", metaStep, t.Meta[metaStep])
	}
	c.Step = step
	if c.Kind == "" {
		return nil, notCheckpoint("it has no kind")
	}
	if !json.Valid(c.Config) {
		return nil, notCheckpoint("its configuration is not JSON")
	}
	for k, v := range t.Meta {
		name, ok := strings.CutPrefix(k, metaExtra)
		if !ok {
			continue
		}
		if !json.Valid([]byte(v)) {
			return nil, notCheckpoint("metadata %q is not JSON", k)
		}
		if c.Extra == nil {
			c.Extra = map[string]json.RawMessage{}
		}
		c.Extra[name] = json.RawMessage(v)
	}
	for i := range t.Columns {
		col := &t.Columns[i]
		data, err := tensorfile.Values[float32](col)
		if err != nil {
			return nil, notCheckpoint("%w", err)
		}
		c.Tensors = append(c.Tensors, Named{Name: col.Name, Shape: col.Shape, Data: data})
	}
	return c, nil
}

func notCheckpoint(format string, args ...any) error {
	return fmt.Errorf("not a checkpoint: "+format, args...)
}

// Group returns the tensors whose names begin with prefix, for example "ema/". The keys are the names without the
// prefix. The tensors share the checkpoint's memory.
func (c *Checkpoint) Group(prefix string) map[string]Named {
	g := map[string]Named{}
	for _, n := range c.Tensors {
		if rest, ok := strings.CutPrefix(n.Name, prefix); ok {
			g[rest] = n
		}
	}
	return g
}

// Has reports whether the group has at least one tensor.
func (c *Checkpoint) Has(prefix string) bool {
	return slices.ContainsFunc(c.Tensors, func(n Named) bool { return strings.HasPrefix(n.Name, prefix) })
}

// Weights returns the data of a group's tensors by name without the prefix. It compares their shapes with the shapes
// that a network expects. The error names the first tensor, in alphabetical order, that is missing or has another
// shape. A tensor that the network does not have is also an error, because then the weights do not belong to this
// configuration.
func (c *Checkpoint) Weights(prefix string, shapes map[string][]int) (map[string][]float32, error) {
	group := c.Group(prefix)
	out := make(map[string][]float32, len(shapes))
	for _, name := range slices.Sorted(maps.Keys(shapes)) {
		n, ok := group[name]
		if !ok {
			return nil, fmt.Errorf("checkpoint has no tensor %q", prefix+name)
		}
		if !slices.Equal(n.Shape, shapes[name]) {
			return nil, fmt.Errorf("tensor %q: expected shape %v, got %v", prefix+name, shapes[name], n.Shape)
		}
		out[name] = n.Data
	}
	for _, name := range slices.Sorted(maps.Keys(group)) {
		if _, ok := shapes[name]; !ok {
			return nil, fmt.Errorf("tensor %q is not part of the configured network", prefix+name)
		}
	}
	return out, nil
}

// NonFinite returns the name of the first tensor, in alphabetical order, that contains a NaN or an infinity.
func (c *Checkpoint) NonFinite() (name string, found bool) {
	for _, n := range sorted(c.Tensors) {
		for _, v := range n.Data {
			if f := float64(v); math.IsNaN(f) || math.IsInf(f, 0) {
				return n.Name, true
			}
		}
	}
	return "", false
}
