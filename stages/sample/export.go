package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"slices"

	"vapo/lib/dataset"
	"vapo/lib/failure"
	"vapo/lib/program"
	"vapo/lib/stage"
)

// exportCmd writes samples for other evaluators, which read NumPy archives.
type exportCmd struct {
	Samples string `arg:"" name:"samples" help:"Samples, or any data set: a path, ref:name or sha256:…"`
	File    string `arg:"" name:"file" help:"NumPy archive (.npz) to write." type:"path"`
	RGB     bool   `help:"Write grey images with three equal channels."`
	Force   bool   `help:"Overwrite an existing file."`
}

// exported is the JSON line that the command prints.
type exported struct {
	File   string `json:"file"`
	N      int    `json:"n"`
	Shape  []int  `json:"shape"` // shape of arr_0
	SHA256 string `json:"sha256"`
}

// Run writes the archive and prints a JSON line.
func (c *exportCmd) Run(ctx context.Context, con *stage.Console) error {
	if _, err := os.Stat(c.File); err == nil && !c.Force {
		return failure.New(failure.Usage, "--force overwrites it", "%s already exists", c.File)
	}
	path, err := con.Resolve(ctx, c.Samples)
	if err != nil {
		return err
	}
	set, err := dataset.Read(path)
	if err != nil {
		return failure.New(failure.Input, "give the samples output of sample, or any data set", "%s: %w", c.Samples, err)
	}
	shape := []int{set.Len()}
	switch s := set.(type) {
	case *dataset.Images:
		if s.C == 1 && c.RGB {
			s = asRGB(s)
			set = s
		} else if s.C == 1 {
			con.Log.Warn("the images have one channel; evaluators built on Inception expect three: see --rgb")
		}
		shape = append(shape, s.H, s.W, s.C)
	case *dataset.Points:
		shape = append(shape, s.D)
	}
	sum := sha256.New()
	write := func(w io.Writer) error { return dataset.WriteNPZ(io.MultiWriter(w, sum), set) }
	if err := program.WriteFile(c.File, write); err != nil {
		return fmt.Errorf("export: %w", err)
	}
	return con.Print(exported{c.File, set.Len(), shape, hex.EncodeToString(sum.Sum(nil))})
}

// asRGB returns grey images with three equal channels.
func asRGB(s *dataset.Images) *dataset.Images {
	out := *s
	out.C = 3
	out.Pixels = make([]uint8, 0, 3*len(s.Pixels))
	for i := range s.N {
		out.Pixels = append(out.Pixels, slices.Repeat(s.Image(i), 3)...)
	}
	return &out
}
