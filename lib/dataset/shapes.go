package dataset

import (
	"context"
	"fmt"
	"math"

	"vapo/lib/random"
)

// ShapeClasses are the labels of source shapes.
var ShapeClasses = []string{"disc", "square", "ring"}

// MaxShapes bounds a split of source shapes.
const MaxShapes = 1 << 32

// Shapes are images drawn from a seed, one shape each on a plain ground, in two splits: data of any amount, which nothing
// needs to hold. Image k is a function of seed, split and k alone. size is their edge; channels 1 or 3.
func Shapes(seed uint64, size, channels, nTrain, nTest int) (train, test *Stream, err error) {
	if size < 4 || size > MaxEdge || channels != 1 && channels != 3 {
		return nil, nil, fmt.Errorf("dataset shapes: %d channels of %dx%d pixels, expected 1 or 3 of 4 to %d", channels, size, size, MaxEdge)
	}
	if nTrain > MaxShapes || nTest > MaxShapes {
		return nil, nil, fmt.Errorf("dataset shapes: %d and %d images, expected at most %d", nTrain, nTest, MaxShapes)
	}
	split := func(name string, n int) *Stream {
		like := Images{Name: "shapes", Split: name, C: channels, H: size, W: size, Labels: []int64{}, Classes: ShapeClasses}
		type shape struct {
			pixels []uint8
			label  int64
		}
		return &Stream{Like: like, Most: n, Each: func(ctx context.Context, yield func(*Images) error) error {
			b := newBatcher(like, yield)
			err := ordered(ctx, func(give func(int) error) error {
				for k := range n {
					if err := give(k); err != nil {
						return err
					}
				}
				return nil
			}, func(k int) shape {
				pixels := make([]uint8, channels*size*size)
				label := drawShape(pixels, size, channels, random.New(seed, "dataset/shapes/"+name, uint64(k)))
				return shape{pixels, label}
			}, func(s shape) error { return b.add(s.pixels, s.label) })
			if err != nil {
				return err
			}
			return b.flush()
		}}
	}
	return split("train", nTrain), split("test", nTest), nil
}

// drawShape draws a shape with edges one pixel soft to pixels [channels, size, size] and returns its label. Products are
// rounded before they are added, so that no processor fuses them: the same bits everywhere.
func drawShape(pixels []uint8, size, channels int, src *random.Source) int64 {
	label := src.IntN(len(ShapeClasses))
	edge := float64(size)
	radius := float64(edge * (0.15 + float64(0.2*src.Uniform64())))
	var centre [2]float64
	for i := range centre {
		centre[i] = radius + float64((edge-float64(2*radius))*src.Uniform64())
	}
	var ground, ink [3]float64
	for c := range channels {
		ground[c], ink[c] = float64(src.IntN(256)), float64(src.IntN(256))
	}
	for y := range size {
		for x := range size {
			dx, dy := float64(x)+0.5-centre[0], float64(y)+0.5-centre[1]
			away := math.Sqrt(float64(dx*dx)+float64(dy*dy)) - radius // from the shape's edge, outwards
			switch ShapeClasses[label] {
			case "square":
				away = max(math.Abs(dx), math.Abs(dy)) - radius
			case "ring":
				away = max(away, float64(0.5*radius)-(away+radius))
			}
			share := min(max(0.5-away, 0), 1)
			for c := range channels {
				pixels[(c*size+y)*size+x] = uint8(math.Floor(ground[c] + float64(share*(ink[c]-ground[c])) + 0.5))
			}
		}
	}
	return int64(label)
}
