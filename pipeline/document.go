package main

import (
	"bytes"
	"encoding/json"
	"io"
	"text/tabwriter"
	"time"
)

// jsonFlag is the flag of commands that can print a document for other programs instead of text for people. README.md
// describes the documents. Their fields may be added to, but not renamed or removed.
type jsonFlag struct {
	JSON bool `name:"json" help:"Print one JSON document instead of a table."`
}

// document holds the fields with which every document begins.
type document struct {
	Schema int `json:"schema"`
}

// version1 is the current schema of all documents.
var version1 = document{Schema: 1}

// print prints a document as JSON if the flag is set, and otherwise what table writes, with columns aligned at tabs.
func (f jsonFlag) print(a *app, document any, table func(w io.Writer)) error {
	if !f.JSON {
		var text bytes.Buffer // because a tabwriter writes every cell separately
		w := tabwriter.NewWriter(&text, 0, 0, 2, ' ', 0)
		table(w)
		_ = w.Flush() // writing to a buffer cannot fail
		_, err := a.stdout.Write(text.Bytes())
		return err
	}
	data, err := json.MarshalIndent(document, "", "  ")
	if err != nil {
		return err
	}
	// encoding/json does not escape DEL. a.stdout would, but not in the form that JSON requires.
	data = bytes.ReplaceAll(data, []byte{0x7f}, []byte(`\u007f`))
	_, err = a.stdout.Write(append(data, '\n'))
	return err
}

// local formats a time for people.
func local(t time.Time) string { return t.Local().Format("2006-01-02 15:04:05") }
