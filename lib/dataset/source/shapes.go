package source

import (
	"context"
	"fmt"
	"math"

	"vapo/lib/dataset"
	"vapo/lib/random"
)

// shapeClasses are the labels of the source "shapes".
var shapeClasses = []string{"disc", "square", "ring"}

// maxShapes is the maximum number of images in a split of the source "shapes".
const maxShapes = 1 << 32

// Shapes returns a training and a test split of images drawn from a seed, each with one shape on a plain background.
// Image k of a split does not depend on the number of images. size is the edge in pixels; channels is 1 or 3.
func Shapes(seed uint64, size, channels, nTrain, nTest int) (train, test *Stream, err error) {
	if size < 4 || size > MaxEdge || channels != 1 && channels != 3 {
		return nil, nil, fmt.Errorf("dataset shapes: %d channels of %dx%d pixels, "+
			"expected 1 or 3 channels and edges of 4 to %d", channels, size, size, MaxEdge)
	}
	if nTrain > maxShapes || nTest > maxShapes {
		return nil, nil, fmt.Errorf("dataset shapes: %d training and %d test images, expected at most %d of each",
			nTrain, nTest, maxShapes)
	}
	return shapes(seed, "train", size, channels, nTrain), shapes(seed, "test", size, channels, nTest), nil
}

func shapes(seed uint64, split string, size, channels, n int) *Stream {
	like := dataset.Images{
		Name: "shapes", Split: split, C: channels, H: size, W: size, Labels: []int64{}, Classes: shapeClasses,
	}
	type shape struct {
		pixels []uint8
		label  int64
	}
	feed := func(give func(int) error) error {
		for k := range n {
			if err := give(k); err != nil {
				return err
			}
		}
		return nil
	}
	draw := func(k int) shape {
		pixels := make([]uint8, channels*size*size)
		label := drawShape(pixels, size, channels, random.New(seed, "dataset/shapes/"+split, uint64(k)))
		return shape{pixels, label}
	}
	return &Stream{Like: like, Max: n, Each: func(ctx context.Context, yield func(*dataset.Images) error) error {
		b := newBatcher(like, yield)
		if err := ordered(ctx, feed, draw, func(s shape) error { return b.add(s.pixels, s.label) }); err != nil {
			return err
		}
		return b.flush()
	}}
}

// drawShape draws an antialiased shape into pixels [channels, size, size] and returns its label. The float64
// conversions round each product before it is added, so that the compiler cannot fuse the multiplication and the
// addition, and the bits are the same on every machine.
func drawShape(pixels []uint8, size, channels int, src *random.Source) int64 {
	label := src.IntN(len(shapeClasses))
	edge := float64(size)
	radius := float64(edge * (0.15 + float64(0.2*src.Uniform64())))
	var centre [2]float64
	for i := range centre {
		centre[i] = radius + float64((edge-float64(2*radius))*src.Uniform64())
	}
	var background, colour [3]float64
	for c := range channels {
		background[c], colour[c] = float64(src.IntN(256)), float64(src.IntN(256))
	}
	for y := range size {
		for x := range size {
			dx, dy := float64(x)+0.5-centre[0], float64(y)+0.5-centre[1]
			distance := math.Sqrt(float64(dx*dx)+float64(dy*dy)) - radius // signed distance from the edge, positive outside
			switch shapeClasses[label] {
			case "square":
				distance = max(math.Abs(dx), math.Abs(dy)) - radius
			case "ring":
				distance = max(distance, float64(0.5*radius)-(distance+radius))
			}
			share := min(max(0.5-distance, 0), 1)
			for c := range channels {
				v := background[c] + float64(share*(colour[c]-background[c]))
				pixels[(c*size+y)*size+x] = uint8(math.Floor(v + 0.5))
			}
		}
	}
	return int64(label)
}
