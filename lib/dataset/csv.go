package dataset

import (
	"bufio"
	"bytes"
	"compress/gzip"
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
)

// Column is a coordinate of points that came from a table: x = (value - Mean) / Std.
type Column struct {
	Name string  `json:"name"`
	Mean float64 `json:"mean"`
	Std  float64 `json:"std"`
}

// CSVOptions say what is made of a table.
type CSVOptions struct {
	Path         string
	Columns      []string // names of the columns taken, in this order; nil: all but Label
	Label        string   // name of the column of labels; "": none
	TestFraction float64  // share of rows that becomes the test split
	Seed         uint64   // of that split
	DropMissing  bool     // leave out rows with a cell that is missing or no number, and count them
	Train, Test  int      // rows from the first of these splits; 0: all
}

// CellError says that a cell of a table cannot be used.
type CellError struct {
	Path   string
	Line   int
	Column int    // of characters in the line, from 1
	Name   string // of the table's column
	Reason string
}

func (e *CellError) Error() string {
	return fmt.Sprintf("%s: line %d, column %s (character %d): %s", e.Path, e.Line, e.Name, e.Column, e.Reason)
}

// LoadedTable is a table as it was read.
type LoadedTable struct {
	Train, Test *Points
	Files       []File
	Digest      string
	Dropped     int    // rows left out
	First       string // why the first of them was
}

// maxLabels bounds the classes of a table: a column with more values is no label.
const maxLabels = 10000

// maxMagnitude keeps sums of squares of a table's values finite.
const maxMagnitude = 1e150

const csvHint = "give a CSV file (plain or .gz) with a header line as path"

// missing are the cells that say that nothing is known, in lower case.
var missing = []string{"", "na", "n/a", "nan", "null", "none", "?"}

// LoadCSV reads a CSV file (RFC 4180, with a header line, compressed by gzip or not) as points: numeric columns, standardised by
// mean and standard deviation of the training rows (those of the result, in float64, divided by N). The columns' names, means and
// standard deviations are in the points' Columns. Labels are numbered in the order of their names, or of their values
// where all are integers. Cells that are missing or no finite number are a *CellError; columns that are constant over the
// training rows a *FileError.
func LoadCSV(o CSVOptions) (*LoadedTable, error) {
	l, err := loadCSV(o)
	if err != nil {
		return nil, fmt.Errorf("dataset: %w", err)
	}
	return l, nil
}

func loadCSV(o CSVOptions) (*LoadedTable, error) {
	if err := present("csv", o.Path, csvHint); err != nil {
		return nil, err
	}
	if info, err := os.Stat(o.Path); err != nil || !info.Mode().IsRegular() {
		return nil, errors.Join(err, fileError(o.Path, "file type", "a CSV file", "something else"))
	}
	f, err := openHashed(o.Path)
	if err != nil {
		return nil, err
	}
	t, err := decodeTableFile(f, o)
	if err != nil {
		f.file.Close()
		return nil, err
	}
	file, err := f.finish()
	if err != nil {
		return nil, err
	}
	file.Name = archiveName
	l := &LoadedTable{Files: []File{file}, Digest: digestOf([]File{file}), Dropped: t.dropped.N, First: t.dropped.First}
	l.Train, l.Test, err = t.split(o)
	return l, err
}

func decodeTableFile(r io.Reader, o CSVOptions) (*table, error) {
	in := bufio.NewReaderSize(r, 1<<16)
	var plain io.Reader = in
	if head, err := in.Peek(2); err == nil && head[0] == 0x1f && head[1] == 0x8b {
		z, err := gzip.NewReader(in)
		if err != nil {
			return nil, damaged(o.Path, err)
		}
		defer z.Close()
		plain = z
	}
	bounded := &io.LimitedReader{R: plain, N: maxDecoded}
	t, err := decodeCSV(o, bounded)
	if bounded.N <= 0 {
		return nil, fileError(o.Path, "table", fmt.Sprintf("at most %d bytes uncompressed", maxDecoded), "more")
	}
	return t, err
}

// table is a table's numbers before they are standardised.
type table struct {
	path    string
	columns []string
	rows    []float64 // [n, len(columns)]
	labels  []string  // [n], nil without a label column
	dropped Tally
}

// decodeCSV reads a table. Errors are a *FileError, a *CellError or those of r.
func decodeCSV(o CSVOptions, r io.Reader) (*table, error) {
	in := bufio.NewReader(r)
	if bom, err := in.Peek(3); err == nil && bytes.Equal(bom, []byte("\ufeff")) {
		in.Discard(3) // Excel writes it
	}
	lines := csv.NewReader(in)
	lines.ReuseRecord = true
	header, err := lines.Read()
	if err != nil {
		return nil, csvError(o.Path, err, "a header line")
	}
	t := &table{path: o.Path}
	from, label, err := t.choose(slices.Clone(header), o)
	if err != nil {
		return nil, err
	}
	names := map[string]string{} // one string for each label
	row := make([]float64, len(from))
	for {
		record, err := lines.Read()
		if errors.Is(err, io.EOF) {
			return t, nil
		}
		if err != nil {
			return nil, csvError(o.Path, err, "a row")
		}
		var bad *CellError
		cell := func(i int, name, reason string) {
			line, column := lines.FieldPos(i)
			bad = &CellError{o.Path, line, column, name, reason}
		}
		for k, i := range from {
			reason := ""
			if row[k], reason = number(record[i]); reason != "" {
				cell(i, t.columns[k], reason)
				break
			}
		}
		if label >= 0 && bad == nil && slices.Contains(missing, strings.ToLower(strings.TrimSpace(record[label]))) {
			cell(label, o.Label, "the label is missing")
		}
		if bad != nil {
			if !o.DropMissing {
				return nil, bad
			}
			t.dropped.add(fmt.Sprintf("line %d, column %s (character %d): %s", bad.Line, bad.Name, bad.Column, bad.Reason))
			continue
		}
		t.rows = append(t.rows, row...)
		if label >= 0 {
			name := strings.TrimSpace(record[label])
			if _, ok := names[name]; !ok {
				if len(names) == maxLabels {
					line, column := lines.FieldPos(label)
					return nil, &CellError{o.Path, line, column, o.Label, fmt.Sprintf("more than %d different labels", maxLabels)}
				}
				name = strings.Clone(name)
				names[name] = name
			}
			t.labels = append(t.labels, names[name])
		}
	}
}

// number returns the number in a cell, or what is wrong with it.
func number(cell string) (v float64, reason string) {
	cell = strings.TrimSpace(cell)
	if slices.Contains(missing, strings.ToLower(cell)) {
		return 0, fmt.Sprintf("the cell is missing (%q)", cell)
	}
	v, err := strconv.ParseFloat(cell, 64)
	if err != nil || !(math.Abs(v) <= maxMagnitude) {
		return 0, fmt.Sprintf("%.100q is not a number of at most %g", cell, maxMagnitude)
	}
	return v, ""
}

func csvError(path string, err error, what string) error {
	var pe *csv.ParseError
	switch {
	case errors.As(err, &pe):
		return fileError(path, fmt.Sprintf("line %d, character %d", pe.Line, max(pe.Column, 1)), what+" as RFC 4180 has it", "%v", pe.Err)
	case errors.Is(err, io.EOF):
		return fileError(path, "content", what, "nothing")
	}
	return damaged(path, err)
}

// choose returns the positions of the columns that are taken, and that of the label, or -1.
func (t *table) choose(header []string, o CSVOptions) (from []int, label int, err error) {
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
			return 0, chosen("choose other --columns or --label", t.path, "header", fmt.Sprintf("a column %q", name), "%.1000q", header)
		}
		return i, nil
	}
	label = -1
	if o.Label != "" {
		if label, err = find(o.Label); err != nil {
			return nil, 0, err
		}
	}
	t.columns = o.Columns
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
			return nil, 0, chosen("choose other --columns or --label", t.path, "columns", "others than the label", "%q", name)
		case slices.Contains(from, i):
			return nil, 0, chosen("choose other --columns or --label", t.path, "columns", "each one once", "%q twice", name)
		case name == "" || !utf8.ValidString(name):
			return nil, 0, fileError(t.path, fmt.Sprintf("name of column %d", i+1), "one in UTF-8 (or choose among the columns)", "%q", name)
		}
		from = append(from, i)
	}
	if len(from) == 0 {
		return nil, 0, chosen("choose other --columns or --label", t.path, "columns", "one or more of numbers", "none")
	}
	return from, label, nil
}
