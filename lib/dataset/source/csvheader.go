package source

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

const encodingHint = "give the encoding of the text with --encoding, for example --encoding=latin1"

func columnError(path, what, want, format string, args ...any) error {
	return fileError("choose other --columns or --label", path, what, want, format, args...)
}

// choose trims the names in the header. It returns the positions of the columns to read and the position of the label
// column, or -1 if there is no label.
func (t *table) choose(header []string, opt CSVOptions) (from []int, label int, err error) {
	at := map[string][]int{}
	for i, name := range header {
		header[i] = strings.TrimSpace(name)
		at[header[i]] = append(at[header[i]], i)
	}
	find := func(name string) (int, error) {
		switch places := at[name]; len(places) {
		case 0:
			return 0, t.unknown(name, header)
		case 1:
			return places[0], nil
		default:
			return 0, fileError("give the columns different names, or choose others with --columns", t.path, "header",
				"different names", "%.100q %d times", name, len(places))
		}
	}
	if opt.Columns == nil && !opt.NoHeader {
		if err := t.checkHeader(header, opt); err != nil {
			return nil, 0, err
		}
	}
	t.hint = "fix that cell, name a column of classes with --label, choose other --columns, or give --drop-missing"
	switch first := header[0]; {
	case slices.ContainsFunc(header, isNumber) && !opt.NoHeader:
		t.hint = "give --no-header if the first line is data; otherwise " + t.hint
	case len(header) == 1 && strings.ContainsAny(first, "#@%"):
		t.hint = "remove the lines before the header; otherwise " + t.hint
	case len(header) == 1 && strings.ContainsAny(first, " \t"):
		t.hint = "give --delimiter=space if blanks separate the cells; otherwise " + t.hint
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
			if i == 0 && name == "" && len(header) > 1 { // pandas and R write row numbers in such a column
				t.warnings = append(t.warnings, "the first column has no name, like the index that pandas writes, "+
					"and was left out; to read it, give it a name")
			} else if i != label {
				t.columns = append(t.columns, name)
				if strings.HasPrefix(name, "Unnamed: ") {
					t.warnings = append(t.warnings, fmt.Sprintf("column %q has the name that pandas gives to an index; "+
						"use --columns to leave it out", name))
				}
			}
		}
	}
	for _, name := range t.columns {
		if name == "" {
			return nil, 0, fileError("name the columns to read with --columns", t.path,
				fmt.Sprintf("header, column %d", slices.Index(header, name)+1), "a name", "none")
		}
		i, err := find(name)
		if err != nil {
			return nil, 0, err
		}
		switch {
		case i == label:
			return nil, 0, columnError(t.path, "columns", "columns other than the label", "%q", name)
		case slices.Contains(from, i):
			return nil, 0, columnError(t.path, "columns", "each column once", "%q twice", name)
		case !utf8.ValidString(name):
			return nil, 0, fileError(encodingHint, t.path, fmt.Sprintf("name of column %d", i+1), "text in UTF-8",
				"%q", name)
		}
		from = append(from, i)
	}
	if len(from) == 0 {
		return nil, 0, columnError(t.path, "columns", "at least one column of numbers", "none")
	}
	return from, label, nil
}

// unknown reports that the header lacks a column.
func (t *table) unknown(name string, header []string) error {
	hint := "choose other --columns or --label"
	switch {
	case slices.ContainsFunc(header, func(h string) bool { return !utf8.ValidString(h) }):
		hint = encodingHint
	case len(header) == 1:
		hint = "use --delimiter to name the character that separates the cells"
	case slices.ContainsFunc(header, isNumber):
		hint = noHeaderHint
	}
	return fileError(hint, t.path, "header", fmt.Sprintf("a column %q", name), "%.1000q", header)
}

const noHeaderHint = "give --no-header if the file does not name its columns, which are then called x1, x2, …; " +
	"give --columns if line 1 does hold the names"

// checkHeader returns an error if the first line looks like data: if it contains a number with a fraction, a sign or an
// exponent, or if all names are numbers. The name of the label and missing names do not count.
func (t *table) checkHeader(header []string, opt CSVOptions) error {
	numbers, names := 0, 0
	fraction := false
	for _, name := range header {
		switch {
		case name == opt.Label && name != "" || isMissing(name):
		case !isNumber(name):
			names++
		default:
			numbers++
			fraction = fraction || strings.ContainsAny(name, ".,-+eE")
		}
	}
	if fraction || numbers > 0 && names == 0 {
		return fileError(noHeaderHint, t.path, "line 1", "the names of the columns", "what looks like data: %.200s",
			strings.Join(header, string(t.delimiter)))
	}
	return nil
}

// isNumber reports whether a name is a number, with the point or the comma as the decimal mark.
func isNumber(name string) bool {
	if _, err := strconv.ParseFloat(name, 64); err == nil {
		return !isMissing(name) && strings.ContainsAny(name, "0123456789")
	}
	_, ok := parsePoint(swapMarks(name))
	return ok
}
