package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"time"

	"vapo/lib/artifact"
	"vapo/lib/failure"
	"vapo/lib/feature"
	"vapo/lib/stage"
)

// publishedURL is where the published weights are to be had.
const publishedURL = "https://github.com/mseitzer/pytorch-fid/releases/download/fid_weights/" + feature.PublishedWeights

// maxWeights bounds a download in bytes; the published file has less than half of that.
const maxWeights = 256 << 20

// fetchWeightsCmd downloads the published weights.
type fetchWeightsCmd struct {
	Out string `help:"File to write; if not given, one of the published name in the current directory." placeholder:"FILE" type:"path"`
	URL string `name:"url" help:"Address to download from in place of the publisher's, say a mirror's. Only a published file is accepted." placeholder:"URL"`
	Ref string `help:"Name to give the weights in the store, where VAPO_STORE names one." default:"weights/inception"`

	published map[string]string // by digest; nil is feature.Published
	limit     int64             // 0 is maxWeights
	pause     time.Duration     // before the first of several tries; 0 is a second
	silence   time.Duration     // that ends a try; 0 is maxSilence
}

// Run implements the command.
func (cmd *fetchWeightsCmd) Run(ctx context.Context, c *stage.Console) error {
	if err := checkWeightsRef(cmd.Ref); err != nil {
		return err
	}
	if cmd.URL == "" {
		cmd.URL = publishedURL
	}
	if cmd.Out == "" {
		cmd.Out = feature.PublishedWeights
	}
	if u, err := url.Parse(cmd.URL); err != nil || u.User != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return failure.New(failure.Usage, "", "--url must begin with https:// or http:// and hold no password")
	}
	if cmd.published == nil {
		cmd.published = feature.Published
	}
	line, err := cmd.existing()
	if err != nil {
		return err
	}
	if line == nil {
		if line, err = cmd.download(ctx, c); err != nil {
			return err
		}
	} else {
		c.Log.Info("the file is here already", "path", cmd.Out)
	}
	if _, err := line.examine(cmd.Out); err != nil {
		return failure.New(failure.Input, "", "weights %s: %w", cmd.Out, err)
	}
	if os.Getenv("VAPO_STORE") != "" {
		store, err := c.Store(ctx)
		if err != nil {
			return err
		}
		if err := putWeights(ctx, store, cmd.Out, cmd.Ref, line, true); err != nil {
			return err
		}
	}
	return line.print(c)
}

// existing is the line for a file that is there and a published one, or nil where there is none. Another file is not
// written over.
func (cmd *fetchWeightsCmd) existing() (*weightsLine, error) {
	if _, err := os.Stat(cmd.Out); errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	digest, _, err := artifact.FileDigest(cmd.Out)
	if err != nil {
		return nil, fmt.Errorf("--out: %w", err)
	}
	sum := digest.Hex()
	if cmd.published[sum] == "" {
		return nil, failure.New(failure.Usage, "remove it, or name another file by --out",
			"%s is there already, and its sha256 %s is not that of a published file", cmd.Out, sum)
	}
	return &weightsLine{File: cmd.Out, FileDigest: sum, Published: cmd.published[sum]}, nil
}

// download gets the file, verifies it and gives it its name.
func (cmd *fetchWeightsCmd) download(ctx context.Context, c *stage.Console) (*weightsLine, error) {
	d := &download{url: cmd.URL, part: cmd.Out + ".part", limit: cmd.limit, pause: cmd.pause, silence: cmd.silence, log: c.Log}
	var bar *stage.Progress
	d.progress = func(done, total int64) {
		if bar == nil {
			bar = c.Progress(total, "bytes")
		}
		bar.Set(done)
	}
	defer func() {
		if bar != nil {
			bar.Done()
		}
	}()
	if d.limit == 0 {
		d.limit = maxWeights
	}
	if d.pause == 0 {
		d.pause = time.Second
	}
	if d.silence == 0 {
		d.silence = maxSilence
	}
	unlock, err := d.lock()
	if err != nil {
		return nil, err
	}
	defer unlock()
	if err := d.get(ctx); err != nil {
		return nil, errors.Join(err, d.discardEmpty())
	}
	digest, _, err := artifact.FileDigest(d.part)
	if err != nil {
		return nil, err
	}
	sum := digest.Hex()
	if cmd.published[sum] == "" {
		if err := d.discard(); err != nil {
			return nil, err
		}
		return nil, failure.New(failure.Integrity, "what came was removed; try again, or another --url",
			"%s gave bytes of sha256 %s, which is not that of a published file (%s)", cmd.URL, sum, feature.PublishedWeights)
	}
	if err := d.finish(cmd.Out); err != nil {
		return nil, err
	}
	return &weightsLine{File: cmd.Out, FileDigest: sum, Published: cmd.published[sum]}, nil
}
