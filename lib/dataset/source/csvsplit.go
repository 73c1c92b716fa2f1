package source

import (
	"cmp"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"

	"vapo/lib/dataset"
)

// split divides the rows into a training and a test split and standardises both.
func (t *table) split(opt CSVOptions) (train, test *dataset.Points, err error) {
	n := len(t.rows) / len(t.columns)
	if n < 3 {
		return nil, nil, fileError("add rows", t.path, "rows", "3 or more, for a training and a test split",
			"%d (%d left out)", n, t.dropped.N)
	}
	trainRows, testRows := split(n, opt.TestFraction, opt.Seed, "dataset/csv/test")
	for _, s := range []struct {
		name  string
		rows  *[]int
		limit int
	}{{"train", &trainRows, opt.Train}, {"test", &testRows, opt.Test}} {
		if s.limit > len(*s.rows) {
			return nil, nil, tooFewError(s.name, s.limit, len(*s.rows))
		}
		if s.limit > 0 {
			*s.rows = (*s.rows)[:s.limit]
		}
	}
	columns, err := t.moments(trainRows)
	if err != nil {
		return nil, nil, err
	}
	classes := classesOf(t.labels)
	if train, err = t.points("train", trainRows, columns, classes); err != nil {
		return nil, nil, err
	}
	test, err = t.points("test", testRows, columns, classes)
	return train, test, err
}

// points returns the given rows, standardised by the means and standard deviations in columns.
func (t *table) points(split string, rows []int, columns []dataset.Column, classes []string) (*dataset.Points, error) {
	d := len(columns)
	p := &dataset.Points{Name: "csv", Split: split, N: len(rows), D: d, Columns: columns, Classes: classes}
	index := map[string]int64{}
	for i, c := range classes {
		index[c] = int64(i)
	}
	for _, r := range rows {
		for j, c := range columns {
			v := float32((t.rows[r*d+j] - c.Mean) / c.Std)
			if math.IsInf(float64(v), 0) {
				return nil, columnError(t.path, "column "+c.Name,
					fmt.Sprintf("values near those of the training rows (mean %g, standard deviation %g)", c.Mean, c.Std),
					"%g in the %s split", t.rows[r*d+j], split)
			}
			p.X = append(p.X, v)
		}
		if classes != nil {
			p.Labels = append(p.Labels, index[t.labels[r]])
		}
	}
	return p, nil
}

// moments returns the mean and standard deviation of each column over rows, in two passes.
func (t *table) moments(rows []int) ([]dataset.Column, error) {
	d := len(t.columns)
	columns := make([]dataset.Column, d)
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
		if low < high && c.Std == 0 {
			return nil, fileError("multiply the column by a constant, or leave it out with --columns", t.path,
				"column "+c.Name, "values whose standard deviation can be represented",
				"values from %g to %g in the training rows, for which it rounds to 0", low, high)
		}
		if low == high {
			return nil, fileError("leave it out with --columns", t.path, "column "+c.Name, "values that differ",
				"%g in all %d training rows", low, len(rows))
		}
	}
	return columns, nil
}

// classesOf returns the distinct labels, or nil if there are no labels. It sorts them by value if all are integers, and
// by name otherwise.
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
