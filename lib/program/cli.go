package program

import (
	"errors"
	"fmt"
	"io"
	"runtime"
	"runtime/debug"

	"github.com/alecthomas/kong"

	"vapo/lib/failure"
)

// Main runs the body of a program, prints its error and returns its exit code.
func Main(name string, stderr io.Writer, body func() error) (code failure.Class) {
	defer func() {
		switch r := recover().(type) {
		case nil:
		case exitCode:
			code = failure.Class(r)
		default:
			// Without this, the Go runtime would exit with code 2, which stands for wrong usage.
			fmt.Fprintf(stderr, "%s", debug.Stack())
			printError(stderr, name, fmt.Errorf("panic: %v", r))
			code = failure.Bug
		}
	}()
	err := supported(runtime.GOOS)
	if err == nil {
		err = body()
	}
	if err != nil {
		printError(stderr, name, err)
	}
	return failure.ClassOf(err)
}

// supported returns an error on Windows. The programs compile there so that they can print this error, but file locks,
// signals and pipes to child processes would not behave as on Unix.
func supported(goos string) error {
	if goos != "windows" {
		return nil
	}
	return failure.New(failure.Usage, "build and run it in the Windows Subsystem for Linux (WSL): wsl --install",
		"vapo does not run on Windows itself")
}

type exitCode int

// Exit ends the body of Main; the program exits with code.
func Exit(code int) { panic(exitCode(code)) }

// Options returns the kong options that all programs share. --version lists the given engines.
func Options(name, about string, stdout, stderr io.Writer, engines ...string) []kong.Option {
	return []kong.Option{
		kong.Name(name),
		kong.Description(about),
		kong.Vars{"version": version(name, engines...)},
		kong.Writers(stdout, stderr),
		kong.Exit(Exit),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true}),
	}
}

// Usage turns an error from kong's parser into a usage error whose hint names the command's --help.
func Usage(name string, err error) error {
	command := name
	var parse *kong.ParseError
	if errors.As(err, &parse) && parse.Context != nil {
		if node := parse.Context.Selected(); node != nil && node != node.Parent.DefaultCmd {
			command = node.FullPath()
		}
	}
	return failure.Default(failure.Usage, "see "+command+" --help", err)
}
