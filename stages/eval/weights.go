package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"

	"vapo/lib/artifact"
	"vapo/lib/download"
	"vapo/lib/failure"
	"vapo/lib/feature"
	"vapo/lib/stage"
)

// weightsCmd puts Inception's weights into the store. Recipes can then refer to them by name, and scores by digest.
type weightsCmd struct {
	Import importWeightsCmd `cmd:"" help:"Check a file of Inception's weights and put it into the store."`
	Fetch  fetchWeightsCmd  `cmd:"" help:"Download the published weights and, if there is a store, import them."`
}

// publishedDigest is the SHA-256 of the published weights. It is a variable so that tests can replace it.
var publishedDigest = feature.PublishedDigest

// importWeightsCmd imports a file in any format that feature.OpenWeights reads.
type importWeightsCmd struct {
	File       string `arg:"" help:"A .pth or .safetensors file: a path, ref:name or sha256:…"`
	Ref        string `help:"Name to give the weights in the store." default:"weights/inception"`
	Unverified bool   `help:"Accept weights that are not the published file; their scores are not comparable."`
}

// weightsResult is the JSON line that the commands print.
type weightsResult struct {
	File       string `json:"file,omitempty"` // only from fetch: the file written
	FileDigest string `json:"file_sha256"`
	Digest     string `json:"digest,omitempty"` // of the stored blob
	Ref        string `json:"ref,omitempty"`
	Published  string `json:"published"` // name of the published file if the weights are that file, otherwise empty
	Unverified bool   `json:"unverified,omitempty"`
	Taps       []int  `json:"taps"`
	Size       int64  `json:"size"` // bytes
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
	result, err := examineWeights(path, cmd.Unverified)
	if err != nil {
		return fmt.Errorf("weights %s: %w", cmd.File, err)
	}
	result.Unverified = result.Published == ""
	store, err := c.Store(ctx)
	if err != nil {
		return err
	}
	if result.Unverified {
		c.Log.Warn("these weights are not the published file: their scores are not comparable with others",
			"file_sha256", result.FileDigest)
	}
	if err := putWeights(ctx, store, path, cmd.Ref, result); err != nil {
		return err
	}
	return c.Print(result)
}

func checkWeightsRef(ref string) error {
	if err := artifact.CheckRef(ref); err != nil {
		return failure.New(failure.Usage, "", "--ref: %w", err)
	}
	return nil
}

// examineWeights validates a weights file. A file other than the published one is an error, unless unverified is set.
func examineWeights(path string, unverified bool) (*weightsResult, error) {
	digest, size, err := artifact.FileDigest(path)
	if err != nil {
		return nil, failure.New(failure.Input, "", "%w", err)
	}
	result := &weightsResult{FileDigest: digest.Hex(), Size: size}
	if result.FileDigest == publishedDigest {
		result.Published = feature.PublishedWeights
	} else if !unverified {
		return nil, failure.New(failure.Input,
			"eval weights fetch gets the published file; eval weights import --unverified imports this one",
			"its sha256 %s is not that of the published file (%s)", result.FileDigest, feature.PublishedWeights)
	}
	src, err := feature.OpenWeights(path)
	if err != nil {
		return nil, err
	}
	contents, err := feature.Examine(src)
	if err != nil {
		return nil, err
	}
	if result.Taps = contents.Taps; len(result.Taps) == 0 {
		return nil, failure.New(failure.Input, "name the tensors as in "+feature.PublishedWeights,
			"these weights serve no tap of Inception: %s is missing", contents.Missing[0])
	}
	return result, nil
}

// putWeights stores a file, names it ref, and adds digest and name to result. It returns an error if the stored file
// does not have the digest of the file that was examined.
func putWeights(ctx context.Context, store *artifact.Store, path, ref string, result *weightsResult) error {
	digest, _, err := store.PutFile(ctx, path, nil)
	if err != nil {
		return err
	}
	if digest.Hex() != result.FileDigest {
		return failure.New(failure.Integrity, "run again when no other program writes to the file",
			"%s changed while it was imported: sha256 %s was checked, %s stored", path, result.FileDigest, digest.Hex())
	}
	if err := store.SetRef(ctx, ref, digest); err != nil {
		return err
	}
	result.Digest, result.Ref = string(digest), ref
	return nil
}

const (
	publishedURL = "https://github.com/mseitzer/pytorch-fid/releases/download/fid_weights/" + feature.PublishedWeights
	// maxWeights limits the size of a download in bytes. The published file is less than half as large.
	maxWeights = 256 << 20
)

// fetchWeightsCmd downloads the published weights.
type fetchWeightsCmd struct {
	Out string `help:"File to write; default: the published name in the working directory." placeholder:"FILE" type:"path"`
	URL string `name:"url" help:"URL of the published file, for example on a mirror." placeholder:"URL"`
	Ref string `help:"Name to give the weights in the store, if there is one." default:"weights/inception"`
}

// Run implements the command.
func (cmd *fetchWeightsCmd) Run(ctx context.Context, c *stage.Console) error {
	if err := checkWeightsRef(cmd.Ref); err != nil {
		return err
	}
	address, out := cmp.Or(cmd.URL, publishedURL), cmp.Or(cmd.Out, feature.PublishedWeights)
	u, err := url.Parse(address)
	if err != nil || u.User != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return failure.New(failure.Usage, "", "--url must begin with https:// or http:// and contain no password")
	}
	if _, err := os.Stat(out); errors.Is(err, fs.ErrNotExist) {
		if err := downloadWeights(ctx, c, address, out); err != nil {
			return err
		}
	} else if digest, _, err := artifact.FileDigest(out); err != nil {
		return fmt.Errorf("--out: %w", err)
	} else if digest.Hex() != publishedDigest {
		return failure.New(failure.Usage, "remove it, or name another file with --out",
			"%s exists already, and its sha256 %s is not that of the published file", out, digest.Hex())
	} else {
		c.Log.Info("the file exists already", "path", out)
	}
	result, err := examineWeights(out, false)
	if err != nil {
		return fmt.Errorf("weights %s: %w", out, err)
	}
	result.File = out
	if c.HasStore() {
		store, err := c.Store(ctx)
		if err != nil {
			return err
		}
		if err := putWeights(ctx, store, out, cmd.Ref, result); err != nil {
			return err
		}
	}
	return c.Print(result)
}

func downloadWeights(ctx context.Context, c *stage.Console, address, out string) error {
	progress, end := stage.Download(c.Progress)
	f := download.File{
		URL: address, Path: out, Digest: "sha256:" + publishedDigest, MaxBytes: maxWeights, Log: c.Log,
		Progress: progress,
	}
	err := f.Get(ctx)
	end()
	if err != nil {
		return fmt.Errorf("published weights %s: %w", feature.PublishedWeights, err)
	}
	return nil
}
