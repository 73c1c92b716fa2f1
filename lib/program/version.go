package program

import (
	"fmt"
	"runtime"
	"runtime/debug"
	"strings"
)

// Versions returns the version of the Go compiler ("go"). If the program was built in a repository, it also returns the
// commit ("revision") and whether there were uncommitted changes ("modified").
func Versions() map[string]string {
	v := map[string]string{"go": runtime.Version()}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return v
	}
	for _, s := range info.Settings {
		switch {
		case s.Key == "vcs.revision":
			v["revision"] = s.Value
		case s.Key == "vcs.modified" && s.Value == "true":
			v["modified"] = "true"
		}
	}
	return v
}

// version returns the text that --version prints: the version, the commit, the compiler and any compute engines in the
// program.
func version(name string, engines ...string) string {
	release := "(devel)"
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" {
		release = info.Main.Version
	}
	return versionText(name, release, Versions(), engines)
}

func versionText(name, version string, build map[string]string, engines []string) string {
	text := fmt.Sprintf("%s of vapo %s", name, version)
	if commit := build["revision"]; commit != "" {
		text += ", commit " + commit
		if build["modified"] != "" {
			text += " with changes"
		}
	}
	text += fmt.Sprintf("\nbuilt with %s for %s/%s", build["go"], runtime.GOOS, runtime.GOARCH)
	if len(engines) > 0 {
		text += "\nengines: " + strings.Join(engines, ", ")
	}
	return text
}
