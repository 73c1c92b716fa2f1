package source

import (
	"bufio"
	"bytes"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"vapo/lib/dataset"
	"vapo/lib/failure"
)

// CSVOptions are the options of LoadCSV.
type CSVOptions struct {
	Path         string
	Columns      []string // names of the columns to read, in this order; nil: all but Label
	Label        string   // name of the label column; "": no labels
	TestFraction float64  // share of rows that becomes the test split
	Seed         uint64   // seed of the random test split
	DropMissing  bool     // leave out and count rows with a cell that is missing or not a number
	Train, Test  int      // number of rows to keep of each split, from the first; 0: all
}

// LoadedCSV is the result of LoadCSV.
type LoadedCSV struct {
	Train, Test *dataset.Points
	Files       []File
	Digest      string
	Dropped     Tally // rows left out
}

const (
	maxLabels    = 10000 // a column with more distinct values is not a label
	maxMagnitude = 1e150 // keeps sums of squares finite
)

const csvHint = "give a CSV file (plain or .gz) with a header line as path"

// missing lists, in lower case, the texts of cells that stand for a missing value.
var missing = []string{"", "na", "n/a", "nan", "null", "none", "?"}

// LoadCSV reads a CSV file (RFC 4180, with a header line, with or without gzip compression) as points. It standardises
// each column by the mean and standard deviation of the training rows and stores them in the Columns of the points. The
// standard deviation is computed in float64 and divides by N. Labels are numbered in the order of their names, or of
// their values if all are integers. Cells that are missing or not finite numbers are errors unless DropMissing is set.
// Columns that are constant over the training rows are errors.
func LoadCSV(opt CSVOptions) (*LoadedCSV, error) {
	l, err := loadCSV(opt)
	return l, inSource("csv", err)
}

func loadCSV(opt CSVOptions) (*LoadedCSV, error) {
	if err := present(opt.Path, csvHint); err != nil {
		return nil, err
	}
	if info, err := os.Stat(opt.Path); err != nil || !info.Mode().IsRegular() {
		return nil, errors.Join(err, fileError(opt.Path, "file type", "a CSV file", "something else"))
	}
	f, err := openHashed(opt.Path)
	if err != nil {
		return nil, err
	}
	t, err := decodeTable(f, opt)
	if err != nil {
		f.file.Close()
		return nil, err
	}
	file, err := f.finish()
	if err != nil {
		return nil, err
	}
	file.Name = archiveName
	l := &LoadedCSV{Files: []File{file}, Digest: digestOf([]File{file}), Dropped: t.dropped}
	l.Train, l.Test, err = t.split(opt)
	return l, err
}

// table holds the values of a table before they are standardised.
type table struct {
	path    string
	columns []string
	rows    []float64 // [n, len(columns)]
	labels  []string  // [n], nil without a label column
	dropped Tally
}

// decodeTable reads a table, which may be compressed.
func decodeTable(r io.Reader, opt CSVOptions) (*table, error) {
	plain, _, err := decompress(r)
	if err != nil {
		return nil, damaged(opt.Path, err)
	}
	bounded := &io.LimitedReader{R: plain, N: maxDecoded}
	t, err := decodeCSV(bounded, opt)
	if bounded.N <= 0 {
		return nil, fileError(opt.Path, "table", fmt.Sprintf("at most %d bytes uncompressed", maxDecoded), "more")
	}
	return t, err
}

func decodeCSV(r io.Reader, opt CSVOptions) (*table, error) {
	in := bufio.NewReader(r)
	if bom, err := in.Peek(3); err == nil && bytes.Equal(bom, []byte("\ufeff")) {
		in.Discard(3) // Excel writes this byte order mark
	}
	lines := csv.NewReader(in)
	lines.ReuseRecord = true
	header, err := lines.Read()
	if err != nil {
		return nil, csvError(opt.Path, err, "a header line")
	}
	header = slices.Clone(header)
	t := &table{path: opt.Path}
	from, label, err := t.choose(header, opt)
	if err != nil {
		return nil, err
	}
	names := map[string]string{} // one shared string per distinct label
	for {
		record, err := lines.Read()
		if errors.Is(err, io.EOF) {
			return t, nil
		}
		if err != nil {
			return nil, csvError(opt.Path, err, "a row")
		}
		n := len(t.rows)
		if bad, reason := t.append(record, from, label); reason != "" {
			t.rows = t.rows[:n]
			line, char := lines.FieldPos(bad)
			where := fmt.Sprintf("line %d, column %s (character %d)", line, header[bad], char)
			if !opt.DropMissing {
				return nil, cellError(opt.Path, where, reason)
			}
			t.dropped.add(where + ": " + reason)
			continue
		}
		if label < 0 {
			continue
		}
		name, known := names[strings.TrimSpace(record[label])]
		if !known {
			if len(names) == maxLabels {
				line, char := lines.FieldPos(label)
				where := fmt.Sprintf("line %d, column %s (character %d)", line, opt.Label, char)
				return nil, cellError(opt.Path, where, fmt.Sprintf("more than %d different labels", maxLabels))
			}
			name = strings.Clone(strings.TrimSpace(record[label]))
			names[name] = name
		}
		t.labels = append(t.labels, name)
	}
}

// append adds the values of a row. If a cell cannot be used, it returns the position of the cell and the reason.
func (t *table) append(record []string, from []int, label int) (bad int, reason string) {
	for _, i := range from {
		v, reason := number(record[i])
		if reason != "" {
			return i, reason
		}
		t.rows = append(t.rows, v)
	}
	if label >= 0 && isMissing(record[label]) {
		return label, "the label is missing"
	}
	return 0, ""
}

func isMissing(cell string) bool {
	return slices.Contains(missing, strings.ToLower(strings.TrimSpace(cell)))
}

// number parses a cell. If the cell holds no usable number, reason says why.
func number(cell string) (v float64, reason string) {
	cell = strings.TrimSpace(cell)
	if isMissing(cell) {
		return 0, fmt.Sprintf("the cell is missing (%q)", cell)
	}
	v, err := strconv.ParseFloat(cell, 64)
	if err != nil || !(math.Abs(v) <= maxMagnitude) {
		return 0, fmt.Sprintf("%.100q is not a number of at most %g", cell, maxMagnitude)
	}
	return v, ""
}

// cellError reports a cell that cannot be used.
func cellError(path, where, reason string) error {
	const hint = "mend that cell, choose other --columns, or give --drop-missing"
	return failure.New(failure.Input, hint, "%s: %s: %s", path, where, reason)
}

// columnError reports a column that cannot be used.
func columnError(path, what, want, format string, args ...any) error {
	return optionError("choose other --columns or --label", path, what, want, format, args...)
}

func csvError(path string, err error, what string) error {
	var pe *csv.ParseError
	switch {
	case errors.As(err, &pe):
		where := fmt.Sprintf("line %d, character %d", pe.Line, max(pe.Column, 1))
		return fileError(path, where, what+" as in RFC 4180", "%v", pe.Err)
	case errors.Is(err, io.EOF):
		return fileError(path, "content", what, "nothing")
	}
	return damaged(path, err)
}

// choose trims the names in the header. It returns the positions of the columns to read and the position of the label
// column, or -1 if there is no label.
func (t *table) choose(header []string, opt CSVOptions) (from []int, label int, err error) {
	at := map[string]int{}
	for i, name := range header {
		name = strings.TrimSpace(name)
		header[i] = name
		if _, twice := at[name]; twice {
			return nil, 0, fileError(t.path, "header", "different names", "%q twice", name)
		}
		at[name] = i
	}
	find := func(name string) (int, error) {
		i, ok := at[name]
		if !ok {
			return 0, columnError(t.path, "header", fmt.Sprintf("a column %q", name), "%.1000q", header)
		}
		return i, nil
	}
	label = -1
	if opt.Label != "" {
		if label, err = find(opt.Label); err != nil {
			return nil, 0, err
		}
	}
	t.columns = opt.Columns
	if t.columns == nil {
		for i, name := range header {
			if i != label {
				t.columns = append(t.columns, name)
			}
		}
	}
	for _, name := range t.columns {
		i, err := find(name)
		if err != nil {
			return nil, 0, err
		}
		switch {
		case i == label:
			return nil, 0, columnError(t.path, "columns", "others than the label", "%q", name)
		case slices.Contains(from, i):
			return nil, 0, columnError(t.path, "columns", "each one once", "%q twice", name)
		case name == "" || !utf8.ValidString(name):
			return nil, 0, fileError(t.path, fmt.Sprintf("name of column %d", i+1),
				"one in UTF-8 (or choose among the columns)", "%q", name)
		}
		from = append(from, i)
	}
	if len(from) == 0 {
		return nil, 0, columnError(t.path, "columns", "one or more of numbers", "none")
	}
	return from, label, nil
}
