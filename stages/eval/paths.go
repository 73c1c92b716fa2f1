package main

import (
	"context"
	"math"

	"vapo/lib/dataset"
	"vapo/lib/failure"
	"vapo/lib/stage"
)

// pathScore measures how evenly images change along the paths that sample draws between pairs of noise vectors. A path
// is smooth if no two neighbours on it are far apart. Distances are Euclidean, between features, and relative to the
// distance between the ends of the same path. On a straight line of k equal steps in feature space, the mean and the
// largest step are 1/k. Perceptual path length (Karras et al., arXiv 1812.04948, section 4.1) is the same idea for
// infinitely small steps.
type pathScore struct {
	pathSteps
	Paths  int `json:"paths"`
	Points int `json:"points"` // images on each path, both ends included
	// Blended holds the same values for paths that have the same ends and blend the pixels of these ends in between.
	Blended pathSteps `json:"blended_pixels"`
}

// pathSteps are means over the paths.
type pathSteps struct {
	Mean    float64 `json:"mean_step"`    // the mean step of a path
	Largest float64 `json:"largest_step"` // the largest step of a path
}

const pathsHint = "give the paths output of sample --interpolate, and the number of images per path as --path-points"

// scorePaths measures paths with the given number of images each.
func (c *scorer) scorePaths(
	ctx context.Context, job *stage.Job, images *dataset.Images, points int,
) (*pathScore, error) {
	total := 2 * images.N // with the blended ones
	defer watch(c.extractor, job.Progress(int64(total), "images on paths"), total)()
	s := &pathScore{Paths: images.N / points, Points: points}
	var err error
	if s.pathSteps, err = c.steps(ctx, images, points); err != nil {
		return nil, err
	}
	s.Blended, err = c.steps(ctx, blend(images, points), points)
	return s, err
}

// readPaths reads the input "paths", whose rows are the images of one path after the other. It returns nil without this
// input.
func (c *scorer) readPaths(ctx context.Context, job *stage.Job, points int) (*dataset.Images, error) {
	if !job.HasInput("paths") {
		return nil, nil
	}
	set, _, err := readInput(ctx, job, "paths")
	if err != nil {
		return nil, err
	}
	if set == nil || set.loaded == nil || c.extractor == nil {
		return nil, failure.New(failure.Input, pathsHint, "input paths needs images and a feature network")
	}
	images := set.loaded
	if images.N%points != 0 {
		return nil, failure.New(failure.Input, pathsHint,
			"input paths holds %d images, which is not a multiple of the %d images on each path", images.N, points)
	}
	return images, nil
}

// steps measures paths with the given number of images each.
func (c *scorer) steps(ctx context.Context, images *dataset.Images, points int) (pathSteps, error) {
	set := loadedSet("input paths", images)
	if err := set.extract(ctx, c.extractor); err != nil {
		return pathSteps{}, err
	}
	width := set.features.Width
	row := func(i int) []float32 { return set.features.Data[i*width : (i+1)*width] }
	var s pathSteps
	paths := images.N / points
	for first := 0; first < images.N; first += points {
		length := distance(row(first), row(first+points-1))
		if length == 0 {
			return s, failure.New(failure.Input, pathsHint, "the ends of path %d of the input paths have the same features",
				first/points)
		}
		var largest float64
		for i := first + 1; i < first+points; i++ {
			step := distance(row(i-1), row(i)) / length
			s.Mean += step / float64((points-1)*paths)
			largest = max(largest, step)
		}
		s.Largest += largest / float64(paths)
	}
	return s, nil
}

// distance returns |a - b|.
func distance(a, b []float32) float64 {
	var sum float64
	for i := range a {
		d := float64(a[i]) - float64(b[i])
		sum += float64(d * d)
	}
	return math.Sqrt(sum)
}

// blend replaces the images between the ends of each path with pixelwise blends of the ends.
func blend(images *dataset.Images, points int) *dataset.Images {
	out := *images
	size := images.C * images.H * images.W
	out.Pixels = make([]uint8, len(images.Pixels))
	for i := range images.N {
		first := i - i%points
		a, b := images.Image(first), images.Image(first+points-1)
		f := float64(i%points) / float64(points-1)
		for k := range size {
			v := float64(a[k]) + float64(f*(float64(b[k])-float64(a[k])))
			out.Pixels[i*size+k] = uint8(math.RoundToEven(v))
		}
	}
	return &out
}
