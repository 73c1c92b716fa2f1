package main

import (
	"fmt"
	"math"
	"strconv"

	"vapo/lib/dataset"
	"vapo/lib/failure"
	"vapo/lib/potential"
)

// Values of --class that are not the index of a class.
const (
	noClass   = "none" // unconditional samples
	eachClass = "each" // the classes in turn
)

const noClasses = "train with --conditional, or omit --class and --guidance"

// checkClass validates --class and --guidance as far as possible without the network.
func checkClass(class string, guidance float64) error {
	if class != noClass && class != eachClass {
		if n, err := strconv.Atoi(class); err != nil || n < 0 || n >= potential.MaxClasses {
			return fmt.Errorf("class is %q, expected none, each, or the index of a class from 0", class)
		}
	}
	if v := float32(guidance); math.IsNaN(float64(v)) || math.IsInf(float64(v), 0) {
		return fmt.Errorf("guidance is %v, expected a finite number", guidance)
	}
	if class == noClass && guidance != 1 {
		return fmt.Errorf("guidance is %v, but there is no class to guide towards: add --class", guidance)
	}
	return nil
}

// label returns the function that maps the index of a sample to its class, or nil for unconditional samples.
func (m *model) label(class string) (func(sample int) int, error) {
	if class == noClass {
		return nil, nil
	}
	classes := m.config.Classes
	if classes == 0 {
		return nil, failure.New(failure.Input, noClasses, "--class is %s, but the network was trained without classes", class)
	}
	if class == eachClass {
		return func(sample int) int { return sample % classes }, nil
	}
	n, err := strconv.Atoi(class)
	if err != nil || n >= classes {
		return nil, failure.New(failure.Usage, "", "--class is %s, but the network has classes 0 to %d", class, classes-1)
	}
	return func(int) int { return n }, nil
}

// withLabels adds the classes of the samples to a set, unless label is nil. Sample i of the set has the index
// number(i).
func withLabels(set dataset.Set, label func(sample int) int, number func(i int) int) dataset.Set {
	if label == nil {
		return set
	}
	labels := make([]int64, set.Len())
	for i := range labels {
		labels[i] = int64(label(number(i)))
	}
	switch s := set.(type) {
	case *dataset.Images:
		s.Labels = labels
	case *dataset.Points:
		s.Labels = labels
	}
	return set
}
