package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"regexp"
	"strings"

	"vapo/lib/contract"
	"vapo/lib/dataset"
	"vapo/lib/dataset/source"
	"vapo/lib/stage"
)

// Default numbers of samples of a drawn source.
const (
	drawnTrain = 50000
	drawnTest  = 10000
)

// maxValues is the maximum number of coordinates in a split of drawn points: 4 GiB of float32.
const maxValues = 1 << 30

// noDigest is the value of source-digest for a drawn source, which has no files.
const noDigest = "none"

type params struct {
	Source string `help:"Data set to prepare." default:"fashion-mnist" enum:"${sources}"`

	// The digest of the files is part of the key; their path is not.
	Path         string `help:"Path of the source's files; empty: find or download a published set." keyed:"false" path:""`
	SourceDigest string `help:"Digest that the source's files must have; auto: that of the files found." default:"auto"`
	Offline      bool   `help:"Fail instead of downloading a missing set; also set by VAPO_OFFLINE=1." keyed:"false"`
	Verify       bool   `help:"Compare files with the checksums of the published set." default:"true" negatable:""`

	NTrain int `help:"Use N training samples; 0: all (drawn sources: 50000)." default:"0" unit:"samples" min:"0"`
	NTest  int `help:"Use N test samples; 0: all (drawn sources: 10000)." default:"0" unit:"samples" min:"0"`

	Components json.RawMessage `help:"List of mixture components." default:"null" only:"source=mixture"`
	Std        float64         `help:"Noise standard deviation." default:"0.15" only:"source=8gaussians|two-moons|rings"`
	Seed       uint64          `help:"Seed of drawn sources, and of the order and split of images and csv." default:"0"`

	Size       int    `help:"${size}" default:"0" unit:"pixels" min:"0" max:"512" only:"${pictures}"`
	Crop       int    `help:"${crop}" default:"0" unit:"pixels" min:"0" only:"${photos}"`
	Resize     string `help:"Filter of the resize." default:"bilinear" enum:"bilinear,bicubic,lanczos" only:"${photos}"`
	Channels   int    `help:"Channels: 3, or 1 for grey; 0: 3." default:"0" only:"${pictures}"`
	Labels     string `help:"Label: first directory, or none." default:"none" enum:"none,directory" only:"source=images"`
	Names      string `name:"names-encoding" help:"Encoding of names that are not UTF-8: gbk …" only:"source=images"`
	ExifRotate bool   `help:"Turn photos upright as their Exif data say." only:"${photos}"`
	SkipBroken bool   `help:"Leave out images that are broken, transparent or too small." only:"${photos}"`

	Columns      string  `help:"Columns to read, separated by commas; empty: all but the label." only:"source=csv"`
	Label        string  `help:"Column with labels; empty: none." only:"source=csv"`
	TestFraction float64 `help:"Fraction for the test split; 0: a tenth." default:"0" only:"source=images|csv"`
	DropMissing  bool    `help:"Leave out rows with missing numbers, and count them." only:"source=csv"`
	NoHeader     bool    `help:"The first line holds data; the columns are called x1, x2, …" only:"source=csv"`
	Delimiter    string  `help:"Delimiter: a character, tab, space or auto." default:"auto" only:"source=csv"`
	Decimal      string  `help:"Decimal mark of numbers." default:"auto" enum:"auto,point,comma" only:"source=csv"`
	Encoding     string  `help:"Encoding of the table, if it is not UTF-8: latin1, utf-16le …" only:"source=csv"`
}

// Vars are the variables in the tags.
func (params) Vars() map[string]string {
	return map[string]string{
		"sources": strings.Join(source.Names(), ","), "photos": "source=images|celeba",
		"pictures": "source=images|celeba|shapes",
		"size":     "Edge of the output images; 0: not resized (celeba: 64, shapes: 32).",
		"crop":     "Edge of the centre crop; 0: largest square if resized, else no crop (celeba: 140).",
	}
}

var spec = stage.Stage[params]{
	Name:    "prep",
	About:   "Read or draw a data set, check it and write its training and test splits as tensor files.",
	Version: 3,
	Outputs: []contract.Port{
		{Name: "train", Media: contract.MediaArrow, Help: "training split"},
		{Name: "test", Media: contract.MediaArrow, Help: "test split"},
		{Name: "preview", Media: contract.MediaPNG, Help: "picture of the first training samples"},
		{Name: "summary", Media: contract.MediaJSON, Help: "counts, moments, checksums of the source files"},
		{Name: "valid", Media: contract.MediaArrow, Help: "validation split, if the source has one", Optional: true},
	},
	Resolve: resolve,
	Pure:    func(p *params) bool { return !source.IsRead(p.Source) },
	Run:     run,
	Commands: []stage.Command{
		{Name: "fetch", Cmd: &fetchCmd{}, Help: "Download a published set unless it is already there, and print its files."},
		{
			Name: "table", Cmd: &tableCmd{},
			Help: "Write points, or samples like them, as a CSV file in the units of the table they came from.",
		},
	},
}

var digestForm = regexp.MustCompile(`^sha256:[0-9a-f]{64}$`)

// resolve validates the parameters and makes the content of the source's files part of the cache key.
func resolve(p *params, _ stage.Given) error {
	if p.Crop > source.MaxEdge && p.Size == 0 {
		return fmt.Errorf("crop is %d without a size, but output images may have at most %d pixels per side",
			p.Crop, source.MaxEdge)
	}
	if p.Channels != 0 && p.Channels != 1 && p.Channels != 3 {
		return fmt.Errorf("channels is %d; it must be 3, or 1 for grey", p.Channels)
	}
	if !(p.TestFraction >= 0 && p.TestFraction < 1) {
		return fmt.Errorf("test-fraction is %v; it must be at least 0 and below 1", p.TestFraction)
	}
	if _, err := columns(p); err != nil {
		return fmt.Errorf("columns is %q: %w", p.Columns, err)
	}
	if _, err := source.Delimiter(p.Delimiter); err != nil {
		return err
	}
	if _, err := source.Encoding("encoding", p.Encoding); err != nil {
		return err
	}
	if _, err := source.Encoding("names-encoding", p.Names); err != nil {
		return err
	}
	if source.IsRead(p.Source) {
		return resolveFiles(p)
	}
	return resolveDrawn(p)
}

func resolveFiles(p *params) error {
	if p.SourceDigest == "auto" {
		var err error
		if p.SourceDigest, err = source.Digest(p.Source, p.Path); err != nil {
			return err
		}
	}
	if !digestForm.MatchString(p.SourceDigest) {
		return fmt.Errorf("source-digest is %q; it must be auto or sha256: and 64 hexadecimal digits", p.SourceDigest)
	}
	if !source.IsPublished(p.Source) {
		return nil
	}
	_, err := source.Locate(p.Source, p.Path)
	if p.fetches() && errors.Is(err, fs.ErrNotExist) {
		return nil // run downloads it
	}
	return err
}

// fetches reports whether run may download the source if it is missing.
func (p *params) fetches() bool {
	return source.IsPublished(p.Source) && p.Path == "" && !p.Offline && os.Getenv("VAPO_OFFLINE") != "1"
}

func resolveDrawn(p *params) error {
	if p.SourceDigest == "auto" {
		p.SourceDigest = noDigest
	}
	if p.SourceDigest != noDigest {
		return fmt.Errorf("source %s is drawn, not read; its source-digest must be auto or %s", p.Source, noDigest)
	}
	if p.Path != "" {
		return fmt.Errorf("source %s is drawn, not read; it takes no path", p.Source)
	}
	if p.Source == "shapes" {
		_, _, err := shapes(p)
		return err
	}
	components, err := parseComponents(p)
	if err != nil {
		return err
	}
	train, _, err := source.Points(p.Source, p.Std, components, p.Seed, 0, 0)
	if err != nil {
		return err
	}
	for _, n := range []int{p.NTrain, p.NTest} {
		if n > maxValues/train.D {
			return fmt.Errorf("%d samples of %d dimensions are too many: drawn points have at most %d values per split",
				n, train.D, maxValues)
		}
	}
	return nil
}

// parseComponents parses the components of a mixture. It returns nil if none are given.
func parseComponents(p *params) ([]dataset.Component, error) {
	if len(p.Components) == 0 || string(p.Components) == "null" {
		if p.Source == "mixture" {
			return nil, fmt.Errorf("source mixture needs components, a list of {weight, mean, std}")
		}
		return nil, nil
	}
	var components []dataset.Component
	dec := json.NewDecoder(bytes.NewReader(p.Components))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&components); err != nil {
		return nil, fmt.Errorf("components: %w", err)
	}
	return components, nil
}
