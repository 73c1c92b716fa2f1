package source

import (
	"bufio"
	"bytes"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strings"
	"unicode/utf8"

	"golang.org/x/text/encoding/unicode"
	"golang.org/x/text/transform"
)

// Blanks is the delimiter of a table whose cells are separated by any number of spaces and tabs.
const Blanks = ' '

// Delimiter returns the delimiter with the given name: a character, "tab", or "space" for Blanks. It returns 0 for
// "auto" and "".
func Delimiter(name string) (rune, error) {
	switch name {
	case "", "auto":
		return 0, nil
	case "tab", `\t`:
		return '\t', nil
	case "space":
		return Blanks, nil
	}
	r, n := utf8.DecodeRuneInString(name)
	if n != len(name) || r < ' ' && r != '\t' || r == utf8.RuneError || strings.ContainsRune(`"0123456789.-+`, r) {
		return 0, fmt.Errorf("delimiter is %q; it must be auto, tab, space or a character such as ;", name)
	}
	return r, nil
}

// rows reads a table row by row. FieldPos returns the line and the byte at which a cell of the last row begins.
type rows interface {
	Read() ([]string, error)
	FieldPos(i int) (line, column int)
}

const (
	sampled     = 1 << 16 // bytes from which the delimiter and the line endings are detected
	sampledRows = 100
)

// sepLine matches the optional first line in which Excel states the delimiter.
var sepLine = regexp.MustCompile(`^"?sep=([^"\r\n\x00\x{FFFD}])"?\r?\n`)

// openRows detects the encoding, line endings and delimiter of a table.
func openRows(r io.Reader, opt CSVOptions) (lines rows, delimiter rune, err error) {
	in := bufio.NewReaderSize(r, sampled)
	if head, err := in.Peek(512); err == nil || errors.Is(err, io.EOF) {
		if err := checkText(head, opt); err != nil {
			return nil, 0, err
		}
	}
	var decoder transform.Transformer = transform.Nop
	if opt.Encoding != nil {
		decoder = opt.Encoding.NewDecoder()
	}
	body := bufio.NewReaderSize(transform.NewReader(in, unicode.BOMOverride(decoder)), sampled)
	sample, err := body.Peek(sampled)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, 0, damaged(opt.Path, err)
	}
	if bytes.IndexByte(sample, '\n') < 0 && bytes.IndexByte(sample, '\r') >= 0 {
		body = bufio.NewReaderSize(&crLines{body}, sampled) // the line endings of classic Mac OS
		sample, _ = body.Peek(sampled)                      // the same bytes as before
	}
	delimiter = opt.Delimiter
	if sep := sepLine.FindSubmatch(sample); sep != nil {
		end := bytes.IndexByte(sample, '\n')
		if _, err := body.Discard(end); err != nil { // the line ending stays, so that line numbers remain correct
			return nil, 0, err
		}
		if sample = sample[end:]; delimiter == 0 {
			delimiter, _ = utf8.DecodeRune(sep[1])
		}
	}
	if delimiter == 0 {
		delimiter = guessDelimiter(sample, len(sample) < sampled)
	}
	if delimiter == Blanks {
		return &blankRows{in: body}, Blanks, nil
	}
	c := csv.NewReader(body)
	c.Comma, c.ReuseRecord = delimiter, true
	return &delimitedRows{Reader: c}, delimiter, nil
}

// delimitedRows reads a table with a delimiter. Rows may end with one delimiter more than the header.
type delimitedRows struct {
	*csv.Reader
	width int // number of cells in the first row
}

func (d *delimitedRows) Read() ([]string, error) {
	record, err := d.Reader.Read()
	if d.width == 0 {
		d.width = len(record)
	}
	if errors.Is(err, csv.ErrFieldCount) && len(record) == d.width+1 && record[d.width] == "" {
		return record[:d.width], nil
	}
	return record, err
}

// notText lists, by their first bytes, files that are often taken for tables.
var notText = []struct{ magic, what, hint string }{
	{"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "an Excel workbook", "save the sheet as CSV"},
	{"PAR1", "a Parquet file", "convert it to CSV"},
	{"SQLite format 3", "an SQLite database", "export a table of it as CSV"},
	{"{\"", "JSON", "convert it to CSV"},
	{"[{\"", "JSON", "convert it to CSV"},
	{"[[", "JSON", "convert it to CSV"},
	{"%PDF-", "a PDF file", "give the table as CSV"},
}

// checkText returns an error if a file that begins with head is not text, or if it is text in an encoding that the user
// must name.
func checkText(head []byte, opt CSVOptions) error {
	for _, f := range notText {
		if bytes.HasPrefix(head, []byte(f.magic)) {
			return fileError(f.hint, opt.Path, "format", "a CSV file", "%s", f.what)
		}
	}
	if format := formatOf(head); format != "" && format != "web page" && format != "program" {
		return fileError("unpack it or convert it to CSV", opt.Path, "format", "a CSV file", "a %s file", format)
	}
	if len(head) > 262 && string(head[257:262]) == "ustar" {
		return fileError("unpack it, and give one of its files", opt.Path, "format", "a CSV file", "a tar archive")
	}
	if opt.Encoding != nil || bytes.HasPrefix(head, []byte("\xff\xfe")) || bytes.HasPrefix(head, []byte("\xfe\xff")) {
		return nil
	}
	if at := bytes.IndexByte(head, 0); at >= 0 {
		hint := freshHint
		if at < 2 && len(head) > 3 {
			hint = "give --encoding=utf-16" + []string{"be", "le"}[at] + " if the file is text in UTF-16"
		}
		return fileError(hint, opt.Path, "content", "text", "a zero byte")
	}
	return nil
}

// guessDelimiter returns the delimiter that splits the longest run of rows, from the first, into the same number of
// cells, at least two. If several delimiters tie, it prefers the one with more numbers below the header. whole reports
// that the sample is the whole table.
func guessDelimiter(sample []byte, whole bool) rune {
	if end := bytes.LastIndexByte(sample, '\n'); !whole && end >= 0 {
		sample = sample[:end+1]
	}
	best, most, numbers := ',', 0, 0.0
	for _, d := range ",\t;|" {
		r := csv.NewReader(bytes.NewReader(sample))
		r.Comma, r.ReuseRecord = d, true
		rows, cells, good := 0, 0, 0
		for rows < sampledRows {
			record, err := r.Read()
			if err != nil || len(record) < 2 {
				break
			}
			if rows++; rows == 1 {
				continue
			}
			for _, cell := range record {
				cells++
				if isNumber(strings.TrimSpace(cell)) {
					good++
				}
			}
		}
		share := float64(good) / float64(max(cells, 1))
		if rows > most || rows == most && share > numbers {
			best, most, numbers = d, rows, share
		}
	}
	return best
}

// crLines replaces carriage returns, the line endings of classic Mac OS, with line feeds.
type crLines struct{ r io.Reader }

func (c *crLines) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	for i := range p[:n] {
		if p[i] == '\r' {
			p[i] = '\n'
		}
	}
	return n, err
}

// blankRows reads a table with the delimiter Blanks. Its cells are not quoted.
type blankRows struct {
	in     *bufio.Reader
	line   int
	text   string
	fields []string
	width  int // number of cells in the first row
}

func (b *blankRows) Read() ([]string, error) {
	for {
		text, err := b.in.ReadString('\n')
		if err != nil && (text == "" || !errors.Is(err, io.EOF)) {
			return nil, err
		}
		b.line, b.text, b.fields = b.line+1, text, strings.Fields(text)
		switch len(b.fields) {
		case 0:
			continue
		case b.width:
			return b.fields, nil
		}
		if b.width > 0 {
			return nil, &csv.ParseError{StartLine: b.line, Line: b.line, Column: 1, Err: csv.ErrFieldCount}
		}
		b.width = len(b.fields)
		return b.fields, nil
	}
}

func (b *blankRows) FieldPos(i int) (line, column int) {
	at := 0
	for _, f := range b.fields[:i+1] {
		begin := strings.Index(b.text[at:], f)
		column, at = at+begin+1, at+begin+len(f)
	}
	return b.line, column
}
