package program

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"vapo/lib/failure"
)

func TestUnexpected(t *testing.T) {
	dir := t.TempDir()
	for _, c := range []struct {
		content, want, hint string
		standsIn            bool
	}{
		{"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 3\n", "a Git LFS pointer", "git lfs pull", true},
		{"\n <!DOCTYPE HTML><title>Sign in</title>", "a web page", "direct address", true},
		{"\ufeff<html>", "a web page", "direct address", true},
		{"<?xml version=\"1.0\"?><Error><Code>NoSuchKey</Code></Error>", "an XML document", "direct address", true},
		{"", "it is empty", "complete copy", true},
		{strings.Repeat("\x00", 100), "an unfinished download", "complete copy", true},
		{"\x1f\x8b\x08\x00", "compressed by gzip", "decompress", false},
		{"\x89HDF\r\n\x1a\n", "an HDF5 file", "a hint", false},
		{"{\n  \"metadata\": {\n", "the index of a file that is split into parts", "merge them", false},
		{"Entry not found", `the text "Entry not found"`, "a hint", false},
		{strings.Repeat("é", 60) + "\nb", `the text "é`, "a hint", false},
		{"\x02\x03\xff\xfe", "its first bytes are not those of a cake", "a hint", false},
	} {
		path := filepath.Join(dir, "f")
		if err := os.WriteFile(path, []byte(c.content), 0o600); err != nil {
			t.Fatal(err)
		}
		err := Unexpected(path, "a cake", "a hint")
		if failure.ClassOf(err) != failure.Input || !strings.Contains(err.Error(), c.want) ||
			!strings.Contains(err.Error(), "a cake") || !strings.Contains(failure.HintOf(err), c.hint) {
			t.Errorf("%.20q: error %v, hint %q, want class input, %q, \"a cake\" and the hint %q",
				c.content, err, failure.HintOf(err), c.want, c.hint)
		}
		if err := StandIn(path); (err != nil) != c.standsIn {
			t.Errorf("%.20q: StandIn returns %v, want an error: %v", c.content, err, c.standsIn)
		}
	}
	if err := Unexpected(filepath.Join(dir, "none"), "a cake", ""); !os.IsNotExist(err) {
		t.Errorf("no file: error %v, want os.ErrNotExist", err)
	}
}
