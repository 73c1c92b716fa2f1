package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"regexp"

	"vapo/lib/contract"
	"vapo/lib/dataset"
	"vapo/lib/stage"
)

// Sizes of synthetic splits where none is asked for.
const (
	syntheticTrain = 50000
	syntheticTest  = 10000
)

// maxValues bounds what a synthetic split may hold: 4 GiB of float32.
const maxValues = 1 << 30

// noDigest is the source digest of what is drawn and not read.
const noDigest = "none"

type params struct {
	Source string `help:"What to prepare: a published data set, images and tables of your own (images, celeba, csv), or what is drawn (the others)." default:"fashion-mnist" enum:"fashion-mnist,mnist,cifar10,images,celeba,csv,8gaussians,two-moons,rings,mixture,shapes"`
	// The path is not part of the key, what lies there is: the digest.
	Path         string          `help:"Directory (cifar10: or .tar.gz, .tar archive) with the source's files; empty: where they are usually installed. images, celeba: a folder, .zip, .tar or .tar.gz archive of image files; csv: a .csv or .csv.gz file." keyed:"false"`
	SourceDigest string          `help:"Digest of the source's files; another one is an integrity error. auto: take them as they are." default:"auto"`
	Verify       bool            `help:"Compare files with the checksums of the published data set (celeba: names and number of the images)." default:"true" negatable:""`
	NTrain       int             `name:"n-train" help:"Training samples, from the first; 0: all (drawn sources: 50000)." default:"0" unit:"samples" min:"0"`
	NTest        int             `name:"n-test" help:"Test samples, from the first; 0: all (drawn sources: 10000)." default:"0" unit:"samples" min:"0"`
	Components   json.RawMessage `help:"Components of source mixture: [{\"weight\": 1, \"mean\": [0, 0], \"std\": 0.1}, …]." default:"null" only:"source=mixture"`
	Std          float64         `help:"Standard deviation of the noise of 8gaussians, two-moons and rings." default:"0.15" only:"source=8gaussians|two-moons|rings"`
	Seed         uint64          `help:"Seed of what is drawn, the splits of images and csv among it." default:"0"`
	Size         int             `help:"Edge of the images made, which are resized with antialiasing; 0: 64 for celeba, 32 for shapes, and images stay as they are, all of one size." default:"0" unit:"pixels" min:"0" max:"512" only:"source=images|celeba|shapes"`
	Crop         int             `help:"Edge of the square cut from the middle before that; 0: 140 for celeba, for images with a size the largest there is." default:"0" unit:"pixels" min:"0" only:"source=images|celeba"`
	Resize       string          `help:"Filter of the resize, as Pillow has it; bilinear is that of torchvision's Resize." default:"bilinear" enum:"bilinear,bicubic,lanczos" only:"source=images|celeba"`
	Channels     int             `help:"Channels of images, celeba and shapes: 3, or 1 for grey; 0: 3." default:"0" only:"source=images|celeba|shapes"`
	Labels       string          `help:"Labels of images: none, or directory, the first one of their paths." default:"none" enum:"none,directory" only:"source=images"`
	SkipBroken   bool            `help:"Leave out images that are damaged, transparent or smaller than the crop, and count them; otherwise the first one ends the run." only:"source=images|celeba"`
	Columns      string          `help:"Columns of a csv that are taken, separated by commas; empty: all but the label." only:"source=csv"`
	Label        string          `help:"Column of a csv with labels; empty: none." only:"source=csv"`
	TestFraction float64         `name:"test-fraction" help:"Share of images or rows of a csv that becomes the test split; 0: a tenth." default:"0" only:"source=images|csv"`
	DropMissing  bool            `name:"drop-missing" help:"Leave out rows of a csv with a cell that is missing or no number, and count them; otherwise the first one ends the run." only:"source=csv"`
}

var spec = stage.Stage[params]{
	Name:    "prep",
	About:   "Read or draw a data set, check it and write its training and test split as tensor files.",
	Version: 1,
	Outputs: []contract.Port{
		{Name: "train", Media: contract.MediaArrow, Help: "training split"},
		{Name: "test", Media: contract.MediaArrow, Help: "test split"},
		{Name: "preview", Media: contract.MediaPNG, Help: "the first training samples, as a picture"},
		{Name: "summary", Media: contract.MediaJSON, Help: "counts, moments, checksums of the source files"},
		{Name: "valid", Media: contract.MediaArrow, Help: "validation split of celeba", Optional: true},
	},
	Resolve: resolve,
	Run:     run,
	Commands: []stage.Command{
		{Name: "table", Help: "Write points, or samples like them, as a CSV file in the units of the table they came from.", Cmd: &tableCmd{}},
	},
}

var digestForm = regexp.MustCompile(`^sha256:[0-9a-f]{64}$`)

// resolve validates the parameters and makes the content of the source's files part of the cache key.
func resolve(p *params, _ stage.Given) error {
	if err := checkOwn(p); err != nil {
		return err
	}
	if p.SourceDigest == "auto" && !dataset.IsRead(p.Source) {
		p.SourceDigest = noDigest
	}
	if p.Source == "shapes" {
		return checkShapes(p)
	}
	if !dataset.IsRead(p.Source) {
		return checkSynthetic(p)
	}
	if p.SourceDigest == "auto" {
		var err error
		if p.SourceDigest, err = dataset.Digest(p.Source, p.Path); err != nil {
			return coded(err)
		}
	}
	if !digestForm.MatchString(p.SourceDigest) {
		return fmt.Errorf("source-digest is %q; it must be auto or sha256: and 64 hexadecimal digits", p.SourceDigest)
	}
	if !dataset.IsPublished(p.Source) {
		return nil
	}
	_, err := dataset.Locate(p.Source, p.Path)
	return coded(err)
}

func checkSynthetic(p *params) error {
	if p.Path != "" {
		return fmt.Errorf("source %s is drawn, not read; it takes no path", p.Source)
	}
	if p.SourceDigest != noDigest {
		return fmt.Errorf("source %s is drawn, not read; its source-digest is auto or %s", p.Source, noDigest)
	}
	components, err := parseComponents(p)
	if err != nil {
		return err
	}
	train, _, err := dataset.Synthetic(p.Source, p.Std, components, p.Seed, 0, 0)
	if err != nil {
		return err
	}
	for _, n := range []int{p.NTrain, p.NTest} {
		if n > maxValues/train.D {
			return fmt.Errorf("%d samples of %d dimensions; at most %d values are drawn", n, train.D, maxValues)
		}
	}
	return nil
}

func given(raw json.RawMessage) bool { return len(raw) > 0 && string(raw) != "null" }

func parseComponents(p *params) ([]dataset.Component, error) {
	if !given(p.Components) {
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
