package main

import (
	"maps"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"vapo/lib/failure"
)

func (w *workplace) script(name, text string) {
	w.t.Helper()
	w.write(name, text)
	if err := os.Chmod(filepath.Join(w.dir, name), 0o755); err != nil {
		w.t.Fatal(err)
	}
}

// TestCommand checks that the results of a command are cached under a key that holds everything that the command can
// see, and that they can be used like those of a stage.
func TestCommand(t *testing.T) {
	t.Parallel()
	w := newWorkplace(t)
	if err := os.Mkdir(filepath.Join(w.dir, "sub"), 0o755); err != nil {
		t.Fatal(err)
	}
	const recipe = `name: r
steps:
  one: {stage: toy}
  table:
    stage: command
    run: [./table.sh, --wide, 1e3]
    inputs: {one.json: one.length, notes: ./notes.txt}
    outputs: {table: out/table.md, names: names.json}
    env: {GREETING: hello}
  two: {stage: toy, inputs: {data: table.names}}
`
	const script = `#!/bin/sh
mkdir out
echo "$GREETING $@" >out/table.md
cat one.json notes >>out/table.md
echo '{"names": "'$(tr '\0' '\n' </proc/$$/environ | cut -d= -f1 | sort)'"}' | tr '\n' ' ' >names.json
echo "it wrote a table"
test "$(pwd)" = "$HOME"
`
	w.write("sub/r.yaml", recipe)
	w.write("sub/notes.txt", "notes\n")
	w.script("sub/table.sh", script)
	w.processes("toy") // skips the test without /proc
	w.must("run", "sub/r.yaml")
	table := w.must("get", "table.table")
	if !strings.HasPrefix(table, "hello --wide 1e3\n{\"headline\"") || !strings.HasSuffix(table, "notes\n") {
		t.Errorf("the table must have the arguments, then the JSON of step one, then the notes, but is\n%s", table)
	}
	if got := w.must("get", "table.names"); strings.TrimSpace(got) != `{"names": "GREETING HOME PATH TMPDIR"}` {
		t.Errorf("the command sees the variables %s, want GREETING, HOME, PATH and TMPDIR", got)
	}
	logs, err := filepath.Glob(filepath.Join(w.dir, ".vapo/runs/*/table.log"))
	if err != nil || len(logs) != 1 || read(t, logs[0]) != "it wrote a table\n" {
		t.Errorf("logs of step table: %v, %v; want one, with the line that the command prints", logs, err)
	}
	for _, want := range []string{"output table of command version 2", `run=["./table.sh","--wide","1e3"]`,
		"program=sha256:"} {
		if out := w.must("lineage", "table.table"); !strings.Contains(out, want) {
			t.Errorf("lineage lacks %q:\n%s", want, out)
		}
	}
	before := w.digests()

	state := func(what, want string) {
		t.Helper()
		w.must("run", "sub/r.yaml")
		if got := strings.Fields(strings.Split(w.must("status"), "\n")[3])[2]; got != want {
			t.Errorf("%s: the step is %s, not %s", what, got, want)
		}
	}
	state("again", "cached")
	if err := os.Chtimes(filepath.Join(w.dir, "sub/table.sh"), time.Time{}, time.Now()); err != nil {
		t.Fatal(err)
	}
	state("touched", "cached")
	for what, change := range map[string][2]string{
		"an argument": {"1e3", "1e4"}, "a variable": {"hello", "hi"}, "another variable": {"GREETING", "GREETINGS"},
		"the name of an input": {"notes:", "note:"},
	} {
		w.write("sub/r.yaml", strings.Replace(recipe, change[0], change[1], 1))
		if out := w.must("plan", "sub/r.yaml", "table"); !strings.Contains(out, "1 of 2 steps") {
			t.Errorf("%s is not part of the key:\n%s", what, out)
		}
	}
	w.write("sub/r.yaml", recipe)
	w.script("sub/table.sh", script+"# changed\n")
	state("with another program", "done")
	if got := w.digests(); !maps.Equal(got, before) {
		t.Errorf("the same outputs have the digests %v, not %v", got, before)
	}
	w.write("sub/r.yaml", strings.Replace(recipe, "    env:", "    version: 2\n    env:", 1))
	state("with a version", "done")
	w.script("sub/table.sh", script+"# changed again\n")
	state("with the same version of another program", "cached")
	w.must("exec", "sub/r.yaml", "table")

	w.damage(before["table.table"])
	w.fails(failure.Integrity, []string{"corrupt"}, "get", "table.table", "x")
}

// TestCommandName checks that the name of the program is part of the key, whether its digest is or a version. One file
// can be several programs, and equal versions of two programs say nothing about their results.
func TestCommandName(t *testing.T) {
	t.Parallel()
	w := newWorkplace(t)
	w.script("mean.sh", "#!/bin/sh\nbasename $0 >out\n")
	if err := os.Link(filepath.Join(w.dir, "mean.sh"), filepath.Join(w.dir, "link.sh")); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("mean.sh", filepath.Join(w.dir, "max.sh")); err != nil {
		t.Fatal(err)
	}
	for _, version := range []string{"", ", version: 1"} {
		for _, name := range []string{"mean.sh", "max.sh", "link.sh"} {
			w.write("r.yaml", "name: r\nsteps:\n  a: {stage: command, run: [./"+name+"], outputs: {out: out}"+version+"}\n")
			w.must("run", "r.yaml")
			if got := w.must("get", "a.out"); got != name+"\n" {
				t.Errorf("%s%s has the output %q", name, version, got)
			}
		}
	}
}

// TestCommandFails checks the errors of commands that start, but fail or leave no usable output.
func TestCommandFails(t *testing.T) {
	t.Parallel()
	w := newWorkplace(t)
	w.write("outside", "secret")
	for _, test := range []struct {
		script string
		code   failure.Class
		want   []string
	}{
		{"echo no such luck; exit 1", failure.Command, []string{"exit code 9 (command)\n", "    | no such luck\n",
			"step table: ./table.sh ended with exit code 1\nhint: what it printed is in .vapo/runs/"}},
		{"exit 42", failure.Command, []string{"./table.sh ended with exit code 42"}},
		{"exit 8", failure.Command, []string{"./table.sh ended with exit code 8"}},   // not busy: no other run is at work
		{"exit 10", failure.Command, []string{"./table.sh ended with exit code 10"}}, // not a success with a new result
		{"exit 127", failure.Command, []string{"./table.sh ended with exit code 127"}},
		{"exit 255", failure.Command, []string{"./table.sh ended with exit code 255"}},
		{"exit 7", failure.Resources, []string{"./table.sh ended with exit code 7"}},
		{"exit 137", 128 + 9, []string{"exit code 137\n", "./table.sh ended with exit code 137"}},
		{"kill -KILL $$", 128 + 9, []string{"./table.sh was killed by signal 9"}},
		{"echo done", 3, []string{"    | done\n",
			"step table: the program ended without writing output table (out/table.md)"}},
		{"rm -r $HOME", 3, []string{"step table: the program's directory cannot be read after its end: "}},
		{"rm -r $HOME; echo x >$HOME", 3, []string{"step table: the program's directory cannot be read after its end: "}},
		{"mkdir -p out/table.md", 3, []string{"output table: out/table.md is not a regular file"}},
		{"mkdir out; ln -s $OUTSIDE/outside out/table.md", 3, []string{"output table: out/table.md is a symbolic link"}},
		{"ln -s $OUTSIDE out; echo x >out/table.md", 3, []string{"output table: out is a symbolic link"}},
		{"mkdir out; trap 'exit 0' TERM; echo part >out/table.md; sleep 100 & wait; echo whole >out/table.md",
			failure.Timeout, []string{"step table: stopped after its timeout of 0.3 s"}},
		{"exec sleep 100", failure.Timeout, []string{"step table: stopped after its timeout of 0.3 s"}},
	} {
		w.script("table.sh", "#!/bin/sh\n"+test.script+"\n")
		w.write("r.yaml", "name: r\nsteps:\n  table: {stage: command, run: [./table.sh], outputs: {table: out/table.md}, "+
			"timeout: 300ms, env: {OUTSIDE: "+w.dir+"}}\n")
		if test.code != failure.Timeout {
			w.write("r.yaml", strings.Replace(read(t, w.dir+"/r.yaml"), "timeout: 300ms, ", "", 1))
		}
		w.fails(test.code, test.want, "run", "r.yaml", "--detailed-exitcode")
	}
	w.write("r.yaml", "name: r\nsteps:\n  table: {stage: command, run: [./table.sh], outputs: {table: out/table.md}}\n")
	for script, want := range map[string]string{
		"echo x >t\n": "./table.sh is neither a script with an interpreter nor a program for this machine\n" +
			"hint: the first line of a script",
		"#! /bin/none -x\n": "the interpreter of ./table.sh, /bin/none, does not exist\nhint: install it",
		"#!/bin/sh\r\necho x >t\r\n": "the lines of ./table.sh end with CR LF, as on Windows, so that its interpreter " +
			`"/bin/sh\r" is not found` + "\nhint: sed -i 's/\\r$//' ./table.sh converts it",
		"#!/etc/passwd\n": "./table.sh may not be executed: ",
		"#!/bin/sh\nmkdir out; sleep 100 & echo x >out/table.md\n": "./table.sh ended before a process that it started, " +
			"which still has its output open\nhint: let the program wait",
	} {
		w.script("table.sh", script)
		w.fails(failure.Input, []string{"step table: " + want}, "run", "r.yaml")
	}
	if got := w.must("ls", "actions"); strings.Contains(got, "command") {
		t.Errorf("a failure was published:\n%s", got)
	}
	w.script("table.sh", "#!/bin/sh\necho \"# x\" >>$0; mkdir out; echo y >out/table.md\n")
	w.fails(failure.Integrity, []string{"table.sh changed during the run"}, "run", "r.yaml")
}

// TestCommandStopped stops the run of a command that then exits with 0. Its result must not be stored, and nothing that
// it started may remain.
func TestCommandStopped(t *testing.T) {
	t.Parallel()
	w := newWorkplace(t)
	w.write("r.yaml", "name: r\nsteps:\n  table: {stage: command, run: [./table.sh], outputs: {table: t}, env: {DIR: "+
		w.dir+"}}\n")
	w.script("table.sh", "#!/bin/sh\ntrap 'exit 0' TERM\n(trap '' TERM; exec sleep 100) & echo $! >$DIR/left\n"+
		"echo part >t; touch $DIR/started; wait; echo whole >t\n")
	cmd := w.command("run", "r.yaml")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the command has started", func() bool {
		_, err := os.Stat(filepath.Join(w.dir, "started"))
		return err == nil
	})
	kill(t, cmd.Process.Pid, syscall.SIGTERM)
	_ = cmd.Wait()
	if code := failure.Class(cmd.ProcessState.ExitCode()); code != failure.Terminated {
		t.Errorf("the run ends with %d, want 143", code)
	}
	if out := w.must("ls", "actions") + w.must("ls", "runs"); strings.Contains(out, "command") ||
		!strings.Contains(out, "stopped") {
		t.Errorf("the run is not stopped, or its result is stored:\n%s", out)
	}
	left := "/proc/" + strings.TrimSpace(read(t, filepath.Join(w.dir, "left"))) + "/cmdline"
	eventually(t, "the process that ignores SIGTERM has ended", func() bool {
		line, _ := os.ReadFile(left) // empty after its end, until its parent knows
		return len(line) == 0
	})
}

func TestCommandMistakes(t *testing.T) {
	t.Parallel()
	w := newWorkplace(t)
	w.write("plain", "")
	for _, mistake := range [][2]string{ // step and error
		{"stage: command, outputs: {t: t.md}",
			"r.yaml:3:3: step a has no program to run\nhint: for"},
		{"stage: command, run: [], outputs: {t: t.md}",
			"r.yaml:3:28: step a has no program to run"},
		{"stage: command, run: ./t.sh, outputs: {t: t.md}",
			"r.yaml:3:28: run must be a list: [program, argument, …]"},
		{"stage: command, run: [[a]], outputs: {t: t.md}",
			"r.yaml:3:29: an element of run must be text or a number"},
		{"stage: command, run: [true]",
			"r.yaml:3:3: step a has no outputs\nhint: for example outputs:"},
		{"stage: command, run: [true], outputs: {t: ../t}",
			"r.yaml:3:49: step a: output t must be a file in the directory"},
		{"stage: command, run: [true], outputs: {t: /t}",
			"r.yaml:3:49: step a: output t must be a file in the directory"},
		{"stage: command, run: [true], outputs: {t: a/../b}",
			"r.yaml:3:49: step a: output t must be a file in the directory"},
		{"stage: command, run: [true], outputs: {t.x: b}",
			"r.yaml:3:51: step a: \"t.x\" cannot be the name of an output"},
		{"stage: command, run: [true], outputs: {t: b, u: b}",
			"r.yaml:3:55: step a: two outputs are the file b"},
		{"stage: command, run: [true], inputs: {b: ./plain}, outputs: {t: b}",
			"r.yaml:3:71: step a: the file b is an input and an output"},
		{"stage: command, run: [true], inputs: {../b: ./plain}, outputs: {t: c}",
			"r.yaml:3:51: step a: \"../b\" cannot be the name of an input"},
		{"stage: command, run: [true], outputs: {t: b}, env: {PATH: /}",
			"r.yaml:3:65: step a: env cannot set \"PATH\""},
		{"stage: command, run: [true], outputs: {t: b}, params: {n: 1}",
			"r.yaml:3:62: step a: a command has no parameters"},
		{"stage: toy, run: [true]",
			"r.yaml:3:19: step a: the key run is only for steps of stage: command"},
	} {
		w.write("r.yaml", "name: r\nsteps:\n  a: {"+mistake[0]+"}\n")
		w.fails(failure.Usage, []string{mistake[1]}, "run", "r.yaml")
	}
	for program, want := range map[string]string{
		"./none":  "r.yaml:3:28: step a: no such program: ./none\nhint: the path is relative to the recipe's directory",
		"./plain": "r.yaml:3:28: step a: ./plain cannot be run: it is not executable\nhint: chmod +x ./plain",
		"plain":   "r.yaml:3:28: step a: there is no program plain in /usr/local/bin:/usr/bin:/bin\nhint: write ./plain",
	} {
		w.write("r.yaml", "name: r\nsteps:\n  a: {stage: command, run: ["+program+"], outputs: {t: t.md}}\n")
		w.fails(failure.Input, []string{want}, "run", "r.yaml")
	}
	if _, err := os.Stat(w.dir + "/.vapo"); !os.IsNotExist(err) {
		t.Errorf("something was started for a wrong recipe: %v", err)
	}
}
