package stage

import (
	"fmt"
	"io"
	"strings"
	"unicode/utf8"

	"github.com/alecthomas/kong"

	"vapo/lib/contract"
	"vapo/lib/failure"
)

// help returns the kong options for the help of a stage.
func help[P any](spec *Stage[P]) []kong.Option {
	return []kong.Option{
		kong.Help(helpPrinter(spec)),
		kong.ValueFormatter(helpValue),
		kong.PostBuild(func(k *kong.Kong) error {
			for _, node := range k.Model.Children {
				if node.Name == "run" {
					node.Help = spec.About
				}
				for _, f := range node.Flags {
					f.Hidden = f.Hidden || f.Name == "sharded" && spec.Shard == nil
				}
			}
			return nil
		}),
	}
}

// helpPrinter prints the help of one command. `STAGE --help` prints the help of run with a list of the other commands.
func helpPrinter[P any](spec *Stage[P]) kong.HelpPrinter {
	return func(options kong.HelpOptions, ctx *kong.Context) error {
		if err := kong.DefaultHelpPrinter(options, ctx); err != nil {
			return err
		}
		w := ctx.Stdout
		if node := ctx.Selected(); node != nil && node.Name == "run" {
			writePorts(w, "Inputs:", spec.Inputs)
			writePorts(w, "Outputs:", spec.Outputs)
			fmt.Fprintln(w, "\nCommands:")
			for _, c := range ctx.Model.Children {
				help := c.Help
				if c == node {
					help = "this command, the default: the word run may be left out"
				}
				writeItem(w, c.Name, help)
			}
		}
		fmt.Fprintln(w)
		return failure.WriteExitCodes(w)
	}
}

func writePorts(w io.Writer, title string, ports []contract.Port) {
	if len(ports) == 0 {
		return
	}
	fmt.Fprintf(w, "\n%s\n", title)
	for _, p := range ports {
		help := p.Help
		if p.Optional {
			help += " (optional)"
		}
		writeItem(w, p.Name, help)
	}
}

// writeItem writes a name and its help, wrapped at 80 columns.
func writeItem(w io.Writer, name, help string) {
	line := fmt.Sprintf("  %-12s", name)
	for word := range strings.FieldsSeq(help) {
		if utf8.RuneCountInString(line+word) >= 80 {
			fmt.Fprintln(w, line)
			line = strings.Repeat(" ", 14)
		}
		line += " " + word
	}
	fmt.Fprintln(w, line)
}

func helpValue(v *kong.Value) string {
	text := kong.DefaultHelpValueFormatter(v)
	if v.Tag == nil {
		return text
	}
	if unit := v.Tag.Get("unit"); unit != "" {
		text += " [" + unit + "]"
	}
	if v.Enum != "" && !strings.Contains(text, v.Enum) {
		text += " One of " + strings.ReplaceAll(v.Enum, ",", ", ") + "."
	}
	return strings.TrimSpace(text)
}
