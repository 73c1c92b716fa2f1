package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/alecthomas/kong"

	"vapo/lib/failure"
)

// shown is a command line in a document.
type shown struct {
	where string // file:line
	words []string
}

// TestDocuments checks the command lines and flags in documents: programs must accept the commands and have the flags,
// and the make targets, recipes and packages must exist.
func TestDocuments(t *testing.T) {
	programs := buildStages(t)
	targets := makeTargets(t)
	counts, built := map[string]int{}, map[string]bool{} // built: programs that an earlier go command builds
	for _, command := range shownCommands(t) {
		program := command.words[0]
		var err error
		switch name := strings.TrimPrefix(program, "bin/"); {
		case name == "NAME", built[program]:
		case program == "bin/pipeline":
			err = checkPipeline(t.Context(), programs, command.words[1:])
		case name != program:
			err = checkStage(t, filepath.Join(programs, name), command.words[1:])
		case program == "make":
			err = checkMake(targets, command.words[1:])
		case program == "go":
			err = checkGo(command.words[1:])
			if i := slices.Index(command.words, "-o"); i >= 0 {
				built[command.words[i+1]] = true
			}
		case !slices.Contains([]string{"export", "eval", "pip", "buildah", "kubectl", "argo"}, program):
			err = errors.New("this test does not know the program")
		}
		counts[program]++
		if err != nil {
			t.Errorf("%s: %s: %v", command.where, strings.Join(command.words, " "), err)
		}
	}
	checkFlags(t, programs)
	for _, program := range []string{"bin/pipeline", "bin/prep", "bin/train", "bin/sample", "bin/eval", "make"} {
		if counts[program] == 0 {
			t.Errorf("no document shows %s: does the test still find command lines?", program)
		}
	}
}

// shownCommands collects the command lines in all documents: lines of fenced shell blocks, and indented lines and
// inline code that look like commands.
func shownCommands(t *testing.T) (commands []shown) {
	inline := regexp.MustCompile("`((?:bin/|make |go test |go doc )[^`]+)`")
	indented := regexp.MustCompile(`^    +(?:bin/|make |go |pip |export |[A-Z_]+=)`)
	for path, text := range documents(t) {
		fence, joined, number := "", "", 0
		add := func(line string) {
			where := fmt.Sprintf("%s:%d", path, number)
			for _, words := range shellCommands(line) {
				commands = append(commands, shown{where, words})
			}
		}
		for line := range strings.Lines(text) {
			number++
			line = strings.TrimSuffix(line, "\n")
			mark, isFence := strings.CutPrefix(line, "```")
			switch {
			case isFence && fence != "":
				fence = ""
			case isFence:
				if fence = mark; mark == "" {
					t.Errorf("%s:%d: state what the block is: sh, yaml, text, …", path, number)
					fence = "text"
				}
			case fence == "sh" || joined != "" || fence == "" && indented.MatchString(line):
				rest, more := strings.CutSuffix(line, `\`)
				if joined += rest; !more {
					add(joined)
					joined = ""
				}
			case fence == "":
				for _, match := range inline.FindAllStringSubmatch(line, -1) {
					add(match[1])
				}
			}
		}
	}
	return commands
}

// documents returns the text of every document in the repository, by path.
func documents(t *testing.T) map[string]string {
	texts := map[string]string{}
	err := filepath.WalkDir("..", func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && slices.Contains([]string{".git", ".vapo", "bin", "node_modules", "testdata"}, d.Name()):
			return filepath.SkipDir
		case d.IsDir() || filepath.Ext(path) != ".md":
			return nil
		}
		data, err := os.ReadFile(path)
		texts[path] = string(data)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return texts
}

// shellCommands splits a line into commands, and these into words. It supports the shell syntax used in documents:
// quotes, comments, variables set for one command, pipes, background jobs, redirections and command substitutions.
func shellCommands(line string) (commands [][]string) {
	var words []string
	var word strings.Builder
	quote, inWord := rune(0), false
	endWord := func() {
		if inWord {
			words = append(words, word.String())
		}
		word.Reset()
		inWord = false
	}
	endCommand := func() {
		endWord()
		assignment := regexp.MustCompile(`^[A-Z_]+=`)
		for len(words) > 0 && assignment.MatchString(words[0]) {
			words = words[1:]
		}
		if i := slices.Index(words, ">"); i >= 0 {
			words = words[:i]
		}
		words = slices.DeleteFunc(words, func(word string) bool { return word == "…" })
		if len(words) > 0 {
			commands = append(commands, words)
		}
		words = nil
	}
	for _, r := range line {
		switch {
		case quote != 0 && r == quote:
			quote = 0
		case quote != 0:
			word.WriteRune(r)
		case r == '\'' || r == '"':
			quote, inWord = r, true
		case r == '#' && !inWord:
			endCommand()
			return commands
		case r == ' ':
			endWord()
		case r == '|' || r == '&' || r == ';':
			endCommand()
		default:
			word.WriteRune(r)
			inWord = true
		}
	}
	endCommand()
	for _, words := range commands {
		for _, word := range words {
			if inner, ok := strings.CutPrefix(word, "$("); ok {
				commands = append(commands, shellCommands(strings.TrimSuffix(inner, ")"))...)
			}
		}
	}
	return commands
}

// checkPipeline parses a pipeline command line and builds the graph of its recipe. Missing input files are not an
// error.
func checkPipeline(ctx context.Context, programs string, args []string) error {
	a := &app{stdout: io.Discard, stderr: io.Discard}
	parser, err := kong.New(a, kong.Name(name), kong.Exit(func(int) {}), kong.Writers(io.Discard, io.Discard))
	if err != nil {
		return err
	}
	if slices.Contains(args, "--help") || slices.Contains(args, "--version") {
		return nil
	}
	if _, err := parser.Parse(args); err != nil {
		return err
	}
	a.Bin = programs
	for _, f := range []*recipeFlags{&a.Run.recipeFlags, &a.Plan.recipeFlags, &a.Exec.recipeFlags,
		&a.Export.Argo.recipeFlags} {
		if f.Recipe == "" || !strings.Contains(f.Recipe, "/") {
			continue
		}
		f.Recipe = filepath.Join("..", f.Recipe)
		if _, err := f.load(ctx, a); err != nil && failure.ClassOf(err) != failure.Input {
			return err
		}
	}
	return nil
}

// checkStage runs a stage program in an empty directory without a store. The program may fail because files named on
// the command line are missing, but it must accept the command line. Commands that would use the network are only run
// with --help.
func checkStage(t *testing.T, program string, args []string) error {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if slices.Contains(args, "fetch") {
		args = append(slices.Clone(args), "--help")
	}
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Dir = t.TempDir()
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + cmd.Dir}
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		return err
	}
	code := failure.Class(cmd.ProcessState.ExitCode())
	needsStore := code == failure.Usage && strings.Contains(stderr.String(), "VAPO_STORE")
	if needsStore || slices.Contains([]failure.Class{failure.OK, failure.Input, failure.Store}, code) {
		return nil
	}
	return fmt.Errorf("exit code %d: %s", code, stderr.String())
}

func checkMake(targets, args []string) error {
	for _, arg := range args {
		if !strings.Contains(arg, "=") && !slices.Contains(targets, arg) {
			return fmt.Errorf("the Makefile has no target %s", arg)
		}
	}
	return nil
}

// checkGo checks that the packages named in a go command exist.
func checkGo(args []string) error {
	for _, arg := range args {
		if path, ok := strings.CutPrefix(arg, "./"); ok && !strings.Contains(arg, "PACKAGE") {
			if _, err := os.Stat(filepath.Join("..", strings.TrimSuffix(path, "..."))); err != nil {
				return err
			}
		}
	}
	return nil
}

// checkFlags checks that each flag that documents mention as inline code is in the help of some program.
func checkFlags(t *testing.T, programs string) {
	flag := regexp.MustCompile(`--(?:\[no-\])?([a-z0-9-]+)`)
	known := map[string]bool{}
	for _, command := range []string{"pipeline run", "pipeline plan", "pipeline report", "pipeline new images",
		"pipeline export argo", "pipeline store check", "pipeline store gc",
		"prep run", "prep table", "train run", "train import", "train export", "train describe", "sample run",
		"sample field", "sample interpolate", "sample export", "eval run", "eval folders", "eval features",
		"eval weights fetch", "eval weights import"} {
		words := append(strings.Fields(command), "--help")
		program := filepath.Join(programs, words[0])
		if words[0] == name {
			program = filepath.Join(binaries, name)
		}
		help, err := exec.Command(program, words[1:]...).Output()
		if err != nil {
			t.Errorf("%s --help: %v", command, err)
		}
		for _, match := range flag.FindAllStringSubmatch(string(help), -1) {
			known[match[1]] = true
			known["no-"+match[1]] = true
		}
	}
	mentioned := regexp.MustCompile("`--([a-z0-9-]+)[^`]*`")
	for path, text := range documents(t) {
		for _, match := range mentioned.FindAllStringSubmatch(text, -1) {
			if !known[match[1]] {
				t.Errorf("%s mentions --%s, which is a flag of no program", path, match[1])
			}
		}
	}
}

func makeTargets(t *testing.T) (targets []string) {
	data, err := os.ReadFile("../Makefile")
	if err != nil {
		t.Fatal(err)
	}
	for _, match := range regexp.MustCompile(`(?m)^([a-z0-9-]+):`).FindAllStringSubmatch(string(data), -1) {
		targets = append(targets, match[1])
	}
	return targets
}
