package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"

	"vapo/lib/artifact"
	"vapo/lib/failure"
	"vapo/lib/feature"
	"vapo/lib/stage"
)

// weightsCmd brings Inception's weights into the store, so that steps name them by a ref and every number by a digest.
type weightsCmd struct {
	Import importWeightsCmd `cmd:"" help:"Check a file of Inception's weights and put it into the store."`
	Fetch  fetchWeightsCmd  `cmd:"" help:"Download the published weights and, where there is a store, import them."`
}

// importWeightsCmd takes a file of any of the formats that feature.OpenWeights reads.
type importWeightsCmd struct {
	File         string `arg:"" help:"Inception's weights: a PyTorch file (.pth), a safetensors file or a checkpoint. A path, ref:name or sha256:…"`
	Ref          string `help:"Name to give the weights in the store." default:"weights/inception"`
	Unverified   bool   `help:"Import weights that are not a published file. Scores with them compare with no others."`
	AsCheckpoint bool   `help:"Store the layers as a checkpoint of vapo's own in place of the file. It has a digest of its own."`

	published map[string]string // by digest; nil is feature.Published
}

// weightsLine is the JSON line.
type weightsLine struct {
	File       string `json:"file,omitempty"` // where fetch has put it
	FileDigest string `json:"file_sha256"`
	Digest     string `json:"digest,omitempty"` // of what the store holds, the file unless it was converted
	Ref        string `json:"ref,omitempty"`
	Published  string `json:"published"` // name of the published file; empty for any other
	Unverified bool   `json:"unverified,omitempty"`
	Taps       []int  `json:"taps"`
	Size       int64  `json:"size"` // of what the store holds, or of the file
}

func (l *weightsLine) print(c *stage.Console) error {
	enc := json.NewEncoder(c.Stdout)
	enc.SetEscapeHTML(false)
	return enc.Encode(l)
}

// Run implements the command.
func (cmd *importWeightsCmd) Run(ctx context.Context, c *stage.Console) error {
	if err := checkWeightsRef(cmd.Ref); err != nil {
		return err
	}
	path, err := c.Resolve(ctx, cmd.File)
	if err != nil {
		return err
	}
	line, src, err := cmd.verify(path)
	if err != nil {
		return err
	}
	store, err := c.Store(ctx)
	if err != nil {
		return err
	}
	if line.Unverified {
		c.Log.Warn("these weights are not a published file: scores with them compare with no others", "file_sha256", line.FileDigest)
	}
	if cmd.AsCheckpoint {
		path, err = cmd.convert(src)
		if err != nil {
			return err
		}
		defer os.Remove(path)
	}
	if err := putWeights(ctx, store, path, cmd.Ref, line, !cmd.AsCheckpoint); err != nil {
		return err
	}
	return line.print(c)
}

func checkWeightsRef(ref string) error {
	if err := artifact.CheckRef(ref); err != nil {
		return failure.New(failure.Usage, "", "--ref: %w", err)
	}
	return nil
}

// verify compares the file with the published ones and looks at what it holds.
func (cmd *importWeightsCmd) verify(path string) (*weightsLine, feature.WeightSource, error) {
	digest, _, err := artifact.FileDigest(path)
	if err != nil {
		return nil, nil, failure.New(failure.Input, "", "weights: %w", err)
	}
	published := cmd.published
	if published == nil {
		published = feature.Published
	}
	line := &weightsLine{FileDigest: digest.Hex()}
	line.Published = published[line.FileDigest]
	line.Unverified = line.Published == ""
	if line.Unverified && !cmd.Unverified {
		return nil, nil, failure.New(failure.Input, "eval weights fetch gets the published file; --unverified imports this one all the same",
			"weights %s: its sha256 %s is not that of a published file (%s)", cmd.File, line.FileDigest, feature.PublishedWeights)
	}
	src, err := line.examine(path)
	if err != nil {
		return nil, nil, failure.New(failure.Input, "weights are a PyTorch file, a safetensors file or a checkpoint, with the names of "+feature.PublishedWeights,
			"weights %s: %w", cmd.File, err)
	}
	return line, src, nil
}

// examine looks at the tensors and notes which taps they serve.
func (l *weightsLine) examine(path string) (feature.WeightSource, error) {
	src, err := feature.OpenWeights(path)
	if err != nil {
		return nil, err
	}
	h, err := feature.Examine(src)
	if err != nil {
		return nil, err
	}
	if len(h.Served) == 0 {
		return nil, fmt.Errorf("they serve no tap of Inception: %s is missing", h.Missing[0])
	}
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	l.Taps, l.Size = h.Served, info.Size()
	return src, nil
}

// convert writes the weights as a checkpoint to a temporary file, which is the caller's to remove.
func (cmd *importWeightsCmd) convert(src feature.WeightSource) (string, error) {
	f, err := os.CreateTemp("", "vapo-weights-*")
	if err != nil {
		return "", err
	}
	if err := errors.Join(feature.WriteWeights(f, src), f.Close()); err != nil {
		os.Remove(f.Name())
		return "", fmt.Errorf("weights %s as a checkpoint: %w", cmd.File, err)
	}
	return f.Name(), nil
}

// putWeights stores a file under a ref and notes where. If it is said to be the one that was verified, it must be.
func putWeights(ctx context.Context, store *artifact.Store, path, ref string, line *weightsLine, same bool) error {
	digest, size, err := store.PutFile(ctx, path)
	if err != nil {
		return err
	}
	if same && digest.Hex() != line.FileDigest {
		return failure.New(failure.Integrity, "run again when nothing writes to the file",
			"%s changed while it was imported: sha256 %s was checked, %s stored", path, line.FileDigest, digest.Hex())
	}
	if err := store.SetRef(ctx, ref, digest); err != nil {
		return err
	}
	line.Digest, line.Ref, line.Size = string(digest), ref, size
	return nil
}
