package source

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/text/encoding"

	"vapo/lib/failure"
)

func dialect(name string) string { return filepath.Join("testdata", "dialects", name) }

func mustEncoding(t *testing.T, name string) encoding.Encoding {
	t.Helper()
	e, err := Encoding("encoding", name)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// TestCSVDialects: a table gives the same values in each of the dialects that testdata/dialects.py writes.
func TestCSVDialects(t *testing.T) {
	raw, err := os.ReadFile("testdata/dialects.json")
	if err != nil {
		t.Fatal(err)
	}
	var want struct {
		Names  []string
		X      [][]float64
		Labels []string
	}
	if err := json.Unmarshal(raw, &want); err != nil {
		t.Fatal(err)
	}
	latin1 := CSVOptions{Encoding: mustEncoding(t, "latin-1")}
	for _, c := range []struct {
		name      string
		o         CSVOptions
		delimiter rune
	}{
		{"plain.csv", CSVOptions{}, ','},
		{"bom.csv", CSVOptions{}, ','},
		{"bom.csv", latin1, ','},
		{"plain.csv.gz", CSVOptions{}, ','},
		{"plain.csv.xz", CSVOptions{}, ','},
		{"plain.csv.bz2", CSVOptions{}, ','},
		{"plain.zip", CSVOptions{}, ','},
		{"excel-de.csv", latin1, ';'},
		{"excel-de.csv", CSVOptions{Encoding: latin1.Encoding, Delimiter: ';', Decimal: ','}, ';'},
		{"excel-de-thousands.csv", CSVOptions{}, ';'},
		{"excel-de-thousands.csv", CSVOptions{Decimal: ','}, ';'},
		{"excel-sep.csv", CSVOptions{}, ';'},
		{"excel-unicode.txt", CSVOptions{}, '\t'},
		{"utf-16be.csv", CSVOptions{Encoding: mustEncoding(t, "utf-16be")}, ','},
		{"thousands.csv", CSVOptions{}, ','},
		{"thousands.csv", CSVOptions{Decimal: '.'}, ','},
		{"mac.csv", CSVOptions{}, ','},
		{"unix.csv", CSVOptions{}, ','},
		{"bar.csv", CSVOptions{}, '|'},
		{"latin1.csv", latin1, ','},
		{"index.csv", CSVOptions{}, ','},
		{"headerless.csv", CSVOptions{NoHeader: true}, ','},
		{"headerless-de.csv", CSVOptions{NoHeader: true}, ';'},
	} {
		names := want.Names
		if c.o.NoHeader {
			names = []string{"x1", "x2", "x3"}
		}
		c.o.Path, c.o.Label = dialect(c.name), names[2]
		table, err := decode(t, c.o.Path, c.o)
		if err != nil {
			t.Errorf("%s: error %v", c.name, err)
			continue
		}
		if !slices.Equal(table.columns, names[:2]) || table.delimiter != c.delimiter {
			t.Errorf("%s: columns %q with delimiter %q, want %q with %q",
				c.name, table.columns, table.delimiter, names[:2], c.delimiter)
		}
		if !slices.Equal(table.rows, slices.Concat(want.X...)) || !slices.Equal(table.labels, want.Labels) {
			t.Errorf("%s: rows %v with labels %q, want %v with %q", c.name, table.rows, table.labels, want.X, want.Labels)
		}
		if warned := len(table.warnings) > 0; warned != (c.name == "index.csv") {
			t.Errorf("%s: warnings %q, want one or more for index.csv alone", c.name, table.warnings)
		}
	}
	blanks, err := decode(t, dialect("blanks.dat"), CSVOptions{Delimiter: Blanks})
	if err != nil || !slices.Equal(blanks.rows, []float64{1, 2, 3.5, 4, -2, 17}) ||
		!slices.Equal(blanks.columns, []string{"a", "b"}) {
		t.Errorf("blanks: %+v (%v), want columns a and b with 1 2, 3.5 4 and -2 17", blanks, err)
	}
}

// TestCSVHints: if a table cannot be read, the hint says what to do, for example which parameter to give.
func TestCSVHints(t *testing.T) {
	text := func(s string) string { return csvFile(t, s) }
	for name, c := range map[string]struct {
		path       string
		o          CSVOptions
		want, hint string
	}{
		"no header":          {dialect("headerless.csv"), CSVOptions{}, "looks like data: 0.1226,1234567.5", "--no-header"},
		"no header, label":   {dialect("uci.data"), CSVOptions{}, "looks like data: 5.1,3.5,Iris-setosa", "--no-header"},
		"no header, numbers": {dialect("digits.data"), CSVOptions{}, "looks like data: 0,12,7", "--no-header"},
		"no header, text":    {dialect("adult.data"), CSVOptions{}, "State-gov", "--no-header if the first"},
		"no header, wanted":  {dialect("uci.data"), CSVOptions{Columns: []string{"a"}}, `column "a"`, "--no-header"},
		"no header, decimal comma": {
			dialect("headerless-de.csv"), CSVOptions{}, "looks like data: 0,1226;1234567,5", "--no-header",
		},
		"latin1 name":   {dialect("latin1.csv"), CSVOptions{}, "expected text in UTF-8", "--encoding"},
		"latin1 label":  {text("a,k\n1,\xe9\n2,e\n3,e\n"), CSVOptions{Label: "k"}, "line 2, column k", "--encoding"},
		"latin1 wanted": {dialect("latin1.csv"), CSVOptions{Columns: []string{"größe"}}, "a column", "--encoding"},
		"utf-16":        {dialect("utf-16be.csv"), CSVOptions{}, "a zero byte", "--encoding=utf-16be"},
		"open":          {dialect("open.csv"), CSVOptions{}, `"1,234" in line 2, column a`, "--decimal"},
		"mixed":         {dialect("mixed.csv"), CSVOptions{}, `"1,5" in line 2, column a`, "--decimal"},
		"duplicates":    {dialect("duplicates.csv"), CSVOptions{Label: "kind"}, `"x" 2 times`, "--columns"},
		"nameless":      {text("a,,b\n1,2,3\n"), CSVOptions{}, "column 2: expected a name", "--columns"},
		"two tables":    {dialect("two.zip"), CSVOptions{}, "expected one file in it, got 2", "unpack it"},
		"workbook":      {dialect("workbook.xlsx"), CSVOptions{}, "a spreadsheet", "save the sheet as CSV"},
		"old workbook":  {text("\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1 and more"), CSVOptions{}, "Excel", "save the sheet"},
		"parquet":       {text("PAR1 and more"), CSVOptions{}, "a Parquet file", "convert"},
		"json":          {text(`[{"a": 1}, {"a": 2}]`), CSVOptions{}, "JSON", "convert"},
		"web page":      {text("<!DOCTYPE html>\n<html>"), CSVOptions{}, "a web page", "direct address"},
		"lfs":           {text("version https://git-lfs.github.com/spec/v1\n"), CSVOptions{}, "Git LFS", "git lfs pull"},
		"empty":         {text(""), CSVOptions{}, "it is empty", "complete copy"},
		"blanks":        {dialect("blanks.dat"), CSVOptions{Columns: []string{"a"}}, `a column "a"`, "--delimiter"},
		"ragged":        {text("a,b\n1,2\n3\n"), CSVOptions{}, "line 3", "--delimiter"},
		"bare quote":    {text("a,b\n1,2\n3,4\"\n"), CSVOptions{}, "line 3", "quote"},
		"text":          {text("a,b\n1,2\n3,four\n"), CSVOptions{}, `line 3, column b (character 3): "four"`, "fix"},
		"ragged blanks": {text("a b\n1 2\n3\n"), CSVOptions{Delimiter: Blanks}, "line 3", "--delimiter"},
	} {
		c.o.Path = c.path
		_, err := LoadCSV(c.o)
		if failure.ClassOf(err) != failure.Input || !strings.Contains(err.Error(), c.want) ||
			!strings.Contains(failure.HintOf(err), c.hint) {
			t.Errorf("%s: error %v (hint %q), want an input error with %q (hint %q)",
				name, err, failure.HintOf(err), c.want, c.hint)
		}
	}
	// A number is accepted as the name of a column if --columns names it, or if another column's name is not a number.
	years := text("2019,2020\n1,2\n3,4\n5,7\n7,9\n")
	l, err := LoadCSV(CSVOptions{Path: years, Columns: []string{"2020"}})
	if err != nil || l.Train.Columns[0].Name != "2020" {
		t.Errorf("years as names: error %v, or the column is not 2020", err)
	}
	if table, err := decode(t, text("a,2019\n1,2\n"), CSVOptions{}); err != nil || len(table.rows) != 2 {
		t.Errorf("a year among the names: error %v, or not one row of two values", err)
	}
}

// TestCSVMarks: the decimal mark is detected from the numbers, and ambiguous numbers are read with it.
func TestCSVMarks(t *testing.T) {
	for _, c := range []struct {
		text string
		o    CSVOptions
		want []float64 // nil: an error
	}{
		{"a\n1.234\n2.345\n", CSVOptions{}, []float64{1.234, 2.345}},
		{"a\n1.234\n2.345\n", CSVOptions{Decimal: ','}, []float64{1234, 2345}},
		{"a;b\n1.234;1,5\n", CSVOptions{}, []float64{1234, 1.5}},
		{"a;b\n1,234;1,5\n", CSVOptions{}, []float64{1.234, 1.5}},
		{"a;b\n1,234;1.5\n", CSVOptions{}, []float64{1234, 1.5}},
		{"a;b\n1,234;1.234\n", CSVOptions{}, nil},
		{"a;b\n1,234;1\n", CSVOptions{}, nil},
		{"a;b\n1,234;1\n", CSVOptions{Decimal: '.'}, []float64{1234, 1}},
		{"a;b\n1,234;1\n", CSVOptions{Decimal: ','}, []float64{1.234, 1}},
		{"a;b\n0,234;-1,5e3\n", CSVOptions{}, []float64{0.234, -1500}},
		{"a;b\n1,5;2.5\n", CSVOptions{}, nil},
		{"a;b\n1,234;x\n1;2,5\n", CSVOptions{DropMissing: true}, []float64{1, 2.5}},
		{"a;b\n1,23,4;2\n", CSVOptions{}, nil},
		{"a\n1,234,567\n", CSVOptions{Delimiter: ';'}, []float64{1234567}},
	} {
		c.o.Path = csvFile(t, c.text)
		table, err := decode(t, c.o.Path, c.o)
		if (err == nil) != (c.want != nil) || err == nil && !slices.Equal(table.rows, c.want) {
			t.Errorf("%q: table %+v (%v), want the values %v, or an error if there are none", c.text, table, err, c.want)
		}
	}
}

// TestCSVQuirks: the extra lines, quotes and delimiters that programs write into tables do no harm.
func TestCSVQuirks(t *testing.T) {
	for name, c := range map[string]struct {
		text string
		want []float64
	}{
		"a delimiter at the end of rows": {"a,b\n1,2,\n3,4,\n", []float64{1, 2, 3, 4}},
		"rows without a value":           {"a,b\n1,2\n,\n , \n3,4\n,\n", []float64{1, 2, 3, 4}},
		"lines without anything":         {"\n\na,b\n\n1,2\n\n3,4\n\n\n", []float64{1, 2, 3, 4}},
		"typeset numbers":                {"a;b\n\u22121,5;1\u00a0234,5\n3;\u202f4\n", []float64{-1.5, 1234.5, 3, 4}},
		"three-character line endings":   {"a,b\r\r\n1,2\r\r\n3,4\r\r\n", []float64{1, 2, 3, 4}},
		"quotes everywhere":              {"\"a\",\"b, c\"\n\"1\",\"2\"\n\"3\",\"4\"\n", []float64{1, 2, 3, 4}},
	} {
		path := csvFile(t, c.text)
		if table, err := decode(t, path, CSVOptions{Path: path}); err != nil || !slices.Equal(table.rows, c.want) {
			t.Errorf("%s: table %+v (%v), want the values %v", name, table, err, c.want)
		}
	}
	unnamed := csvFile(t, "Unnamed: 0,a\n0,1\n1,2\n")
	table, err := decode(t, unnamed, CSVOptions{Path: unnamed})
	if err != nil || len(table.warnings) != 1 || !strings.Contains(table.warnings[0], "use --columns to leave it out") {
		t.Errorf("an index of pandas: %+v (%v), want one warning that names --columns", table, err)
	}
	for text, hint := range map[string]string{
		"a b\n1 2\n3 4\n":                "--delimiter=space",
		"# a table\n# of mine\na,b\n1,2": "remove the lines before the header",
		"@relation x\n@data\n1,2\n":      "remove the lines before the header",
		"a,b\n1,2\n\x00\x00\x00\x00":     "fresh copy",
	} {
		path := csvFile(t, text)
		if _, err := LoadCSV(CSVOptions{Path: path}); !strings.Contains(failure.HintOf(err), hint) {
			t.Errorf("%q: error %v (hint %q), want the hint %q", text, err, failure.HintOf(err), hint)
		}
	}
	pipe := filepath.Join(t.TempDir(), "pipe")
	if err := exec.Command("mkfifo", pipe).Run(); err != nil {
		t.Skipf("no pipes: %v", err)
	}
	if _, err := Digest("csv", pipe); failure.ClassOf(err) != failure.Input {
		t.Errorf("a pipe: error %v, want an input error", err)
	}
}

// TestCSVGrows: if a table changes while it is read, the error says so.
func TestCSVGrows(t *testing.T) {
	path := csvFile(t, "a,b\n"+strings.Repeat("1,2\n3,5\n", 50000))
	stop, done := make(chan struct{}), make(chan struct{})
	f, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteString("7,"); err != nil {
		t.Fatal(err)
	}
	started := make(chan struct{})
	go func() {
		defer close(done)
		for i := 0; ; i++ {
			select {
			case <-stop:
				return
			default:
				if _, err := f.WriteString("8\n7,"); err != nil {
					t.Error(err)
					return
				}
				if i == 0 {
					close(started)
				}
			}
		}
	}()
	<-started
	_, err = LoadCSV(CSVOptions{Path: path})
	close(stop)
	<-done
	if failure.ClassOf(err) != failure.Input || !strings.Contains(err.Error(), "changed while it was read") {
		t.Errorf("a file that grows while it is read: error %v, want an input error that says it changed", err)
	}
}

// TestDelimiter: Delimiter accepts a character or a name such as tab, and refuses anything else.
func TestDelimiter(t *testing.T) {
	for name, want := range map[string]rune{
		"auto": 0, "tab": '\t', `\t`: '\t', "space": Blanks, ";": ';', "|": '|', "¦": '¦',
	} {
		if got, err := Delimiter(name); err != nil || got != want {
			t.Errorf("delimiter %s is %q (%v), want %q", name, got, err, want)
		}
	}
	for _, name := range []string{";;", `"`, "5", "\n", "\xff"} {
		if got, err := Delimiter(name); err == nil {
			t.Errorf("%q is accepted as %q", name, got)
		}
	}
}

// FuzzCSVDialects varies the options as well as the table. Its seeds are the dialects.
func FuzzCSVDialects(f *testing.F) {
	files, err := filepath.Glob(dialect("*"))
	if err != nil || len(files) == 0 {
		f.Fatal(err)
	}
	for i, name := range files {
		raw, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(raw, i%2 == 0, byte(i))
	}
	f.Fuzz(func(t *testing.T, data []byte, noHeader bool, how byte) {
		o := CSVOptions{
			Path: "x", NoHeader: noHeader, Delimiter: []rune{0, ';', '\t', Blanks}[how%4],
			Decimal: []rune{0, ',', '.'}[how/4%3], DropMissing: how >= 128,
		}
		table, err := decodeTable(bytes.NewReader(data), int64(len(data)), o)
		if err != nil {
			if class := failure.ClassOf(err); class != failure.Input && class != failure.Integrity {
				t.Errorf("error %v of class %v, want an input or integrity error", err, class)
			}
			return
		}
		if len(table.rows)%len(table.columns) != 0 {
			t.Errorf("%d values are no whole number of rows of %d columns", len(table.rows), len(table.columns))
		}
	})
}
