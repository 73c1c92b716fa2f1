package program

import (
	"bytes"
	"fmt"
	"os"
	"strings"
	"unicode"
	"unicode/utf8"

	"vapo/lib/failure"
)

// look describes a file that is recognised by its first bytes.
type look struct{ begin, what, hint string }

const fullCopy = "get a complete copy of the file"

// standIns lists files that are often found in place of the intended file, by their first bytes in lower case.
var standIns = []look{
	{"version https://git-lfs.github.com/", "a Git LFS pointer", "git lfs pull replaces the pointer with the file"},
	{"<!doctype html", "a web page", "get the file from its direct address; the download gave a page about it"},
	{"<html", "a web page", "get the file from its direct address; the download gave a page about it"},
	{"<?xml", "an XML document", "get the file from its direct address; this may be a server's error message"},
	{strings.Repeat("\x00", 16), "a file that begins with zeros, like an unfinished download", fullCopy},
}

// others lists formats that are often mistaken for weights or arrays.
var others = []look{
	{"\x1f\x8b", "compressed by gzip", "decompress it first"},
	{"\xfd7zXZ\x00", "compressed by xz", "decompress it first"},
	{"\x28\xb5\x2f\xfd", "compressed by Zstandard", "decompress it first"},
	{"BZh", "compressed by bzip2", "decompress it first"},
	{"\x89HDF\r\n\x1a\n", "an HDF5 file", ""},
	{"\x93NUMPY", "a NumPy array", ""},
	{"PK\x03\x04", "a zip archive", ""},
	{"ARROW1", "an Arrow file", ""},
	{"\x89PNG", "a PNG image", ""},
	{"\xff\xd8\xff", "a JPEG image", ""},
}

// StandIn returns an input error if the file merely stands in for the intended one, such as a Git LFS pointer, a web
// page or an unfinished download. The error does not name the file.
func StandIn(path string) error {
	if info, err := os.Stat(path); err == nil && info.Mode().IsRegular() && info.Size() == 0 {
		return failure.New(failure.Input, fullCopy, "it is empty")
	}
	return StandInHead(Head(path, 64))
}

// StandInHead is like StandIn, but takes the first bytes of a file that is not empty.
func StandInHead(head []byte) error {
	lower := strings.ToLower(string(bytes.TrimLeft(bytes.TrimPrefix(head, []byte("\ufeff")), " \t\r\n")))
	for _, l := range standIns {
		if strings.HasPrefix(lower, l.begin) {
			return failure.New(failure.Input, l.hint, "it is %s", l.what)
		}
	}
	return nil
}

// Unexpected returns an input error about a file of a wrong format. It says what the file seems to be and what was
// expected, such as "a PyTorch file". It does not name the file. hint is used unless the format has a hint of its own.
func Unexpected(path, expected, hint string) error {
	if _, err := os.Stat(path); err != nil {
		return err
	}
	if err := StandIn(path); err != nil {
		return failure.New(failure.Input, failure.HintOf(err), "%w, expected %s", err, expected)
	}
	head := Head(path, 64)
	if strings.HasPrefix(strings.Join(strings.Fields(string(head)), ""), `{"metadata"`) {
		return failure.New(failure.Input, "give the tensor file itself; if it is split into parts, merge them first",
			"it is the index of a file that is split into parts, expected %s", expected)
	}
	for _, l := range others {
		if strings.HasPrefix(string(head), l.begin) {
			if l.hint != "" {
				hint = l.hint
			}
			return failure.New(failure.Input, hint, "it is %s, expected %s", l.what, expected)
		}
	}
	if text := beginning(head); text != "" {
		return failure.New(failure.Input, hint, "it begins with the text %q, expected %s", text, expected)
	}
	return failure.New(failure.Input, hint, "its first bytes are not those of %s", expected)
}

// beginning returns the first line of head if head is text, otherwise "".
func beginning(head []byte) string {
	for i := 0; len(head) == 64 && i < utf8.UTFMax-1 && !utf8.Valid(head); i++ {
		head = head[:len(head)-1] // a character may have been cut
	}
	if !utf8.Valid(head) || bytes.ContainsFunc(head, func(r rune) bool {
		return unicode.IsControl(r) && !unicode.IsSpace(r)
	}) {
		return ""
	}
	line, _, _ := strings.Cut(strings.TrimSpace(string(head)), "\n")
	return fmt.Sprintf("%.60s", strings.TrimSpace(line))
}
