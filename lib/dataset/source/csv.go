package source

import (
	"archive/zip"
	"crypto/sha256"
	"encoding/csv"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"unicode/utf8"

	"golang.org/x/text/encoding"

	"vapo/lib/dataset"
	"vapo/lib/failure"
	"vapo/lib/program"
)

// CSVOptions are the options of LoadCSV.
type CSVOptions struct {
	Path         string
	Columns      []string          // names of the columns to read, in this order; nil: all but Label
	Label        string            // name of the label column; "": no labels
	NoHeader     bool              // the first line holds data; the columns are called x1, x2, ...
	Delimiter    rune              // between cells; Blanks: any number of spaces and tabs; 0: detected
	Decimal      rune              // the decimal mark, '.' or ','; 0: detected from the numbers
	Encoding     encoding.Encoding // of a file that is not UTF-8; nil: UTF-8, unless a byte order mark says otherwise
	TestFraction float64           // share of rows that becomes the test split; 0: a tenth
	Seed         uint64            // seed of the random test split
	DropMissing  bool              // leave out and count rows with a cell that is missing or not a number
	Train, Test  int               // number of rows to keep of each split, from the first; 0: all
}

// LoadedCSV is the result of LoadCSV.
type LoadedCSV struct {
	Train, Test *dataset.Points
	Files       []File
	Digest      string
	Delimiter   rune
	Dropped     Tally    // rows left out
	Warnings    []string // about the table as a whole
}

const maxLabels = 10000 // a column with more distinct values is not a label

const csvHint = "give a table as text (CSV), plain or compressed, as --path"

// LoadCSV reads a table (RFC 4180, or with another delimiter) as points. The file may be compressed, or be the only
// table in a zip file. LoadCSV standardises each column by the mean and standard deviation of the training rows and
// stores them in the Columns of the points. The standard deviation is computed in float64 and divides by N. Labels are
// numbered in the order of their names, or of their values if all are integers. Cells that are missing or not finite
// numbers are errors unless DropMissing is set. Columns that are constant over the training rows are errors.
func LoadCSV(opt CSVOptions) (*LoadedCSV, error) {
	l, err := loadCSV(opt)
	return l, inSource("csv", err)
}

func loadCSV(opt CSVOptions) (*LoadedCSV, error) {
	if err := checkTable(opt.Path); err != nil {
		return nil, err
	}
	f, err := os.Open(opt.Path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	before, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if err := program.StandIn(opt.Path); err != nil {
		return nil, failure.New(failure.Input, failure.HintOf(err), "%s: %w", opt.Path, err)
	}
	h := sha256.New()
	if _, err := io.Copy(h, io.NewSectionReader(f, 0, before.Size())); err != nil {
		return nil, err
	}
	t, err := decodeTable(f, before.Size(), opt)
	// The last line of a growing table may be incomplete. So if the file has changed, the change is reported instead of
	// any error from decoding.
	if after, statErr := f.Stat(); statErr != nil || after.Size() != before.Size() ||
		!after.ModTime().Equal(before.ModTime()) {
		return nil, errors.Join(statErr, fileError(changedHint, opt.Path, "file",
			"an unchanging table", "one that changed while it was read"))
	}
	if err != nil {
		return nil, err
	}
	file := File{Name: archiveName, Bytes: before.Size(), SHA256: hex.EncodeToString(h.Sum(nil))}
	l := &LoadedCSV{
		Files: []File{file}, Digest: digestOf([]File{file}), Dropped: t.dropped, Warnings: t.warnings,
		Delimiter: t.delimiter,
	}
	l.Train, l.Test, err = t.split(opt)
	return l, err
}

// checkTable returns an error if path is not a file. The table is read more than once, which a pipe does not allow.
func checkTable(path string) error {
	if err := present(path, csvHint); err != nil {
		return err
	}
	info, err := os.Stat(path)
	if err != nil {
		return failure.New(failure.Input, csvHint, "%w", err)
	}
	if !info.Mode().IsRegular() {
		return fileError(csvHint, path, "file type", "a CSV file", "something else (%v)", info.Mode().Type())
	}
	return nil
}

// table holds the values of a table before they are standardised.
type table struct {
	path      string
	columns   []string
	delimiter rune
	rows      []float64 // [n, len(columns)]
	labels    []string  // [n], nil without a label column
	dropped   Tally
	warnings  []string
	marks     marks
	hint      string // for errors about cells
}

// decodeTable reads a table of size bytes, which may be compressed.
func decodeTable(r io.ReaderAt, size int64, opt CSVOptions) (*table, error) {
	plain, _, err := decompress(io.NewSectionReader(r, 0, size))
	if err != nil {
		return nil, damaged(opt.Path, err)
	}
	head := make([]byte, 8)
	n, _ := r.ReadAt(head, 0) // if the file cannot be read, decoding it fails below
	if formatOf(head[:n]) == "zip" {
		if plain, err = onlyTable(r, size, opt.Path); err != nil {
			return nil, err
		}
	}
	bounded := &io.LimitedReader{R: plain, N: maxDecoded}
	t, err := decodeCSV(bounded, opt)
	if bounded.N <= 0 {
		return nil, fileError("keep only the columns and rows that you need", opt.Path, "table",
			fmt.Sprintf("at most %d bytes uncompressed", maxDecoded), "more")
	}
	return t, err
}

// onlyTable opens the only file in a zip file.
func onlyTable(r io.ReaderAt, size int64, path string) (io.Reader, error) {
	z, err := zip.NewReader(r, size)
	if err != nil && !errors.Is(err, zip.ErrInsecurePath) {
		return nil, fileError(freshHint, path, "format", "a zip file", "a part of one, or a damaged one (%v)", err)
	}
	var files []*zip.File
	for _, f := range z.File {
		if f.Name == "[Content_Types].xml" || f.Name == "mimetype" {
			return nil, fileError("save the sheet as CSV", path, "format", "a CSV file", "a spreadsheet")
		}
		if f.Mode().IsRegular() && !strings.HasPrefix(f.Name, "__MACOSX/") { // __MACOSX/ holds attributes that macOS adds
			files = append(files, f)
		}
	}
	if len(files) != 1 {
		return nil, fileError("unpack it, and give one of its files", path, "zip file", "one file in it",
			"%d", len(files))
	}
	content, err := files[0].Open()
	if err != nil {
		return nil, fileError("unpack it, and give the file in it", path, "zip file", "a file that can be read",
			"one that cannot (%v)", err)
	}
	return content, nil
}

func decodeCSV(r io.Reader, opt CSVOptions) (*table, error) {
	lines, delimiter, err := openRows(r, opt)
	if err != nil {
		return nil, err
	}
	first, err := lines.Read()
	if err != nil {
		return nil, csvError(opt.Path, err, "a header line")
	}
	t := &table{path: opt.Path, delimiter: delimiter, marks: marks{path: opt.Path, decimal: opt.Decimal}}
	header := slices.Clone(first)
	if opt.NoHeader {
		for i := range header {
			header[i] = fmt.Sprintf("x%d", i+1)
		}
	}
	from, label, err := t.choose(header, opt)
	if err != nil {
		return nil, err
	}
	names := map[string]string{} // one shared string per distinct label
	for record, held := first, opt.NoHeader; ; held = false {
		if !held {
			record, err = lines.Read()
		}
		if errors.Is(err, io.EOF) {
			return t, t.marks.settle(t.rows)
		}
		if err != nil {
			return nil, csvError(opt.Path, err, "a row")
		}
		if len(record) > 1 && strings.TrimSpace(strings.Join(record, "")) == "" {
			continue // spreadsheets add such rows at the end
		}
		where := func(i int) string {
			line, char := lines.FieldPos(i)
			return fmt.Sprintf("line %d, column %s (character %d)", line, header[i], char)
		}
		n := len(t.rows)
		if bad, reason := t.append(record, from, label, where); reason != "" {
			t.rows = t.rows[:n]
			t.marks.forget(n)
			if !opt.DropMissing {
				return nil, t.cellError(where(bad), reason)
			}
			t.dropped.add(where(bad) + ": " + reason)
			continue
		}
		if label < 0 {
			continue
		}
		name, known := names[strings.TrimSpace(record[label])]
		if !known {
			if len(names) == maxLabels {
				return nil, t.cellError(where(label), fmt.Sprintf("more than %d different labels", maxLabels))
			}
			name = strings.Clone(strings.TrimSpace(record[label]))
			if !utf8.ValidString(name) {
				return nil, fileError(encodingHint, opt.Path, where(label), "text in UTF-8", "%q", name)
			}
			names[name] = name
		}
		t.labels = append(t.labels, name)
	}
}

// append adds the values of a row. If a cell cannot be used, it returns the index of the cell and the reason. where
// describes the position of a cell.
func (t *table) append(record []string, from []int, label int, where func(i int) string) (bad int, reason string) {
	for _, i := range from {
		v, reason := t.marks.number(record[i], len(t.rows), func() string { return where(i) })
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

func (t *table) cellError(where, reason string) error {
	return failure.New(failure.Input, t.hint, "%s: %s: %s", t.path, where, reason)
}

// csvError adds the name of the file to an error from reading a row. what is the expected content, such as "a row".
func csvError(path string, err error, what string) error {
	var pe *csv.ParseError
	switch {
	case errors.As(err, &pe):
		where := fmt.Sprintf("line %d, character %d", pe.Line, max(pe.Column, 1))
		hint := "put quotes around cells that contain quotes, and double the inner quotes, as in RFC 4180"
		if errors.Is(pe, csv.ErrFieldCount) {
			hint = "fix that line, or give the --delimiter that separates the cells"
		}
		return fileError(hint, path, where, what+" as in RFC 4180", "%v", pe.Err)
	case errors.Is(err, io.EOF):
		return fileError(csvHint, path, "content", what, "nothing")
	}
	return damaged(path, err)
}
