// Package preview draws sets for people to look at, as PNG files: images in grids and labelled tables, points as
// scatter plots, histograms and paths. Equal arguments give equal bytes.
package preview

import (
	"fmt"
	"image"
	"image/png"
	"io"

	"vapo/lib/dataset"
)

// Limits and layout of the pictures that Set draws.
const (
	setImages  = 100
	setColumns = 10
	setScale   = 2
	setPoints  = 5000
)

// Set draws the first samples of a set: images as a grid, points as a scatter plot of their first two coordinates, or
// as a histogram if they have only one.
func Set(w io.Writer, set dataset.Set) error {
	switch s := set.(type) {
	case *dataset.Images:
		return Grid(w, s.Head(setImages).(*dataset.Images), setColumns, setScale)
	case *dataset.Points:
		return scatter(w, s)
	}
	return fmt.Errorf("preview: cannot draw a %T", set)
}

func encode(w io.Writer, img image.Image, level png.CompressionLevel) error {
	if err := (&png.Encoder{CompressionLevel: level}).Encode(w, img); err != nil {
		return fmt.Errorf("preview: encode: %w", err)
	}
	return nil
}
