package main

import (
	"fmt"
	"math"
	"strconv"

	"vapo/lib/dataset"
	"vapo/lib/failure"
	"vapo/lib/potential"
)

// Values of --class beside the number of a class.
const (
	noClass   = "none" // nothing is told
	eachClass = "each" // one after the other
)

const noClasses = "train with --conditional, or leave --class and --guidance out"

// checkClass says what is wrong with --class and --guidance whatever the network is.
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
		return fmt.Errorf("guidance is %v, but no class is told that it could guide to: add --class", guidance)
	}
	return nil
}

// label is the class of a sample by its number; nil where none is told. With each it is the number modulo the classes.
func (m *model) label(class string) (func(sample int) int, error) {
	if class == noClass {
		return nil, nil
	}
	known := m.config.Classes
	if known == 0 {
		return nil, failure.New(failure.Input, noClasses, "--class is %s, but the network was trained without classes", class)
	}
	if class == eachClass {
		return func(sample int) int { return sample % known }, nil
	}
	n, err := strconv.Atoi(class)
	if err != nil || n >= known {
		return nil, failure.New(failure.Usage, "", "--class is %s, the network knows the classes 0 to %d", class, known-1)
	}
	return func(int) int { return n }, nil
}

// withLabels writes into a set of what classes its samples were drawn, where label is not nil; sample i has number(i).
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
