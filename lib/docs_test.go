package lib_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"
)

// root is the directory of the repository.
const root = ".."

// files returns the paths of the files in the repository for whose names want returns true. It skips directories that
// Git, builds and tools write.
func files(t *testing.T, want func(name string) bool) (paths []string) {
	t.Helper()
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && slices.Contains([]string{".git", ".vapo", "bin", "node_modules"}, d.Name()):
			return filepath.SkipDir
		case !d.IsDir() && want(d.Name()):
			paths = append(paths, path)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return paths
}

func isDocument(name string) bool { return filepath.Ext(name) == ".md" }

func read(t *testing.T, path string) string {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// link matches the links of a document: [text](target), and the src of an HTML image.
var link = regexp.MustCompile(`\]\(([^()\s]+)\)|src="([^"]+)"`)

func TestLinks(t *testing.T) {
	documents := files(t, isDocument)
	if len(documents) == 0 {
		t.Fatal("no documents found")
	}
	for _, document := range documents {
		if strings.Contains(document, "testdata") {
			continue // the expected output of a test
		}
		prose, _ := split(read(t, document))
		for _, match := range link.FindAllStringSubmatch(prose, -1) {
			target := match[1] + match[2]
			if strings.Contains(target, "://") {
				continue
			}
			path, anchor, _ := strings.Cut(target, "#")
			if path = filepath.Join(filepath.Dir(document), path); strings.HasPrefix(target, "#") {
				path = document
			}
			if _, err := os.Stat(path); err != nil {
				t.Errorf("%s links to %s, which does not exist", document, target)
			} else if anchor != "" && !slices.Contains(anchors(read(t, path)), anchor) {
				t.Errorf("%s links to %s, but %s has no such heading", document, target, path)
			}
		}
	}
}

// split separates the prose of a document from its fenced code.
func split(text string) (prose, code string) {
	var parts [2]strings.Builder
	at := 0
	for line := range strings.Lines(text) {
		if strings.HasPrefix(line, "```") {
			at = 1 - at
			continue
		}
		parts[at].WriteString(line)
	}
	return parts[0].String(), parts[1].String()
}

// anchors returns the names that GitHub gives to the headings of a document.
func anchors(text string) (names []string) {
	prose, _ := split(text)
	for line := range strings.Lines(prose) {
		title := strings.TrimLeft(line, "#")
		if title == line {
			continue
		}
		names = append(names, strings.Map(func(r rune) rune {
			switch {
			case r == ' ':
				return '-'
			case r == '-', r == '_', unicode.IsLetter(r), unicode.IsDigit(r):
				return unicode.ToLower(r)
			}
			return -1
		}, strings.TrimSpace(title)))
	}
	return names
}

// TestMap compares the map of packages in README.md with the variable layers, which another test compares with the
// packages that exist.
func TestMap(t *testing.T) {
	row := regexp.MustCompile(`(?m)^\| \[([a-z/]+)\]\(([a-z/]+)\) \| .+ \|$`)
	sections := map[string]string{}
	for _, section := range strings.Split(read(t, "README.md"), "\n## ") {
		title, body, _ := strings.Cut(section, "\n")
		sections[title] = body
	}
	for _, layer := range layers {
		var listed []string
		for _, match := range row.FindAllStringSubmatch(sections[layer.name], -1) {
			listed = append(listed, "lib/"+match[1])
			if match[1] != match[2] {
				t.Errorf("README.md: the link of %s leads to %s", match[1], match[2])
			}
		}
		if !slices.Equal(listed, layer.packages) {
			t.Errorf("README.md lists in layer %s\n%q\nwant, as in layers,\n%q", layer.name, listed, layer.packages)
		}
	}
}

// TestDependencies requires that CONTRIBUTING.md gives a reason for every direct dependency.
func TestDependencies(t *testing.T) {
	reasons := read(t, filepath.Join(root, ".github", "CONTRIBUTING.md"))
	for line := range strings.Lines(read(t, filepath.Join(root, "go.mod"))) {
		module, rest, _ := strings.Cut(strings.TrimPrefix(strings.TrimSpace(line), "require "), " ")
		if strings.HasPrefix(rest, "v") && !strings.Contains(rest, "// indirect") && !strings.Contains(reasons, module) {
			t.Errorf("CONTRIBUTING.md gives no reason for the dependency %s", module)
		}
	}
}

// TestLineLength checks the length of lines in characters. It also checks the length of Go files in lines, except for
// tests.
func TestLineLength(t *testing.T) {
	const mostCharacters, mostLines = 120, 350
	extensions := []string{".go", ".md", ".yaml", ".py", ".sh", ".mjs"}
	want := func(name string) bool {
		return name == "Makefile" || slices.Contains(extensions, filepath.Ext(name))
	}
	for _, path := range files(t, want) {
		if isDocument(path) && strings.Contains(path, "testdata") {
			continue // the expected output of a test
		}
		inGo, number := filepath.Ext(path) == ".go", 0
		for line := range strings.Lines(read(t, path)) {
			number++
			n := utf8.RuneCountInString(strings.TrimRight(line, "\n"))
			if n > mostCharacters {
				t.Errorf("%s:%d has %d characters, expected at most %d", path, number, n, mostCharacters)
			}
		}
		if inGo && number > mostLines && !strings.HasSuffix(path, "_test.go") {
			t.Errorf("%s has %d lines, expected at most %d", path, number, mostLines)
		}
	}
}
