package dataset

import (
	"cmp"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
)

// split divides the rows and standardises them.
func (t *table) split(o CSVOptions) (train, test *Points, err error) {
	d := len(t.columns)
	n := len(t.rows) / d
	if n < 3 {
		return nil, nil, fileError(t.path, "rows", "3 or more, for a training and a test split", "%d (%d left out)", n, t.dropped.N)
	}
	trainRows, testRows := Split(n, o.TestFraction, o.Seed, "dataset/csv/test")
	for _, s := range []struct {
		name string
		rows *[]int
		want int
	}{{"train", &trainRows, o.Train}, {"test", &testRows, o.Test}} {
		if s.want > len(*s.rows) {
			return nil, nil, &TooFewError{Split: s.name, Want: s.want, Have: len(*s.rows)}
		}
		if s.want > 0 {
			*s.rows = (*s.rows)[:s.want]
		}
	}
	columns, err := t.standard(trainRows)
	if err != nil {
		return nil, nil, err
	}
	classes := classesOf(t.labels)
	number := map[string]int64{}
	for i, c := range classes {
		number[c] = int64(i)
	}
	points := func(split string, rows []int) *Points {
		p := &Points{Name: "csv", Split: split, N: len(rows), D: d, Columns: columns, Classes: classes}
		for _, r := range rows {
			for j, c := range columns {
				p.X = append(p.X, float32((t.rows[r*d+j]-c.Mean)/c.Std))
			}
			if classes != nil {
				p.Labels = append(p.Labels, number[t.labels[r]])
			}
		}
		return p
	}
	train, test = points("train", trainRows), points("test", testRows)
	for _, p := range []*Points{train, test} {
		if err := p.finite(); err != nil { // a test value far beyond the training ones
			return nil, nil, fmt.Errorf("%s, %s split: %w", t.path, p.Split, err)
		}
	}
	return train, test, nil
}

// standard returns mean and standard deviation of each column over rows, in two passes.
func (t *table) standard(rows []int) ([]Column, error) {
	d := len(t.columns)
	columns := make([]Column, d)
	for j := range columns {
		c := &columns[j]
		c.Name = t.columns[j]
		low, high := math.Inf(1), math.Inf(-1)
		for _, r := range rows {
			v := t.rows[r*d+j]
			low, high = min(low, v), max(high, v)
			c.Mean += v
		}
		c.Mean /= float64(len(rows))
		for _, r := range rows {
			e := t.rows[r*d+j] - c.Mean
			c.Std += float64(e * e)
		}
		c.Std = math.Sqrt(c.Std / float64(len(rows)))
		if low == high || !(c.Std > 0) {
			return nil, chosen("choose the --columns without it", t.path, "column "+c.Name, "values that differ", "%g in all %d training rows", low, len(rows))
		}
	}
	return columns, nil
}

// classesOf returns the different labels: by value where all are integers, else by name; nil without labels.
func classesOf(labels []string) []string {
	if labels == nil {
		return nil
	}
	set := map[string]bool{}
	for _, l := range labels {
		set[l] = true
	}
	classes := slices.Sorted(maps.Keys(set))
	values := map[string]int64{}
	for _, c := range classes {
		v, err := strconv.ParseInt(c, 10, 64)
		if err != nil {
			return classes
		}
		values[c] = v
	}
	slices.SortStableFunc(classes, func(a, b string) int { return cmp.Compare(values[a], values[b]) })
	return classes
}
