package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"vapo/lib/failure"
)

func TestCorruptBlob(t *testing.T) {
	t.Parallel()
	w := newWorkplace(t)
	w.write("chain.yaml", chain)
	w.must("run", "chain.yaml")
	before := w.digests()
	digest := before["two.out"]
	w.damage(digest)
	w.fails(5, []string{"corrupt", digest[7:], "hint: "}, "run", "chain.yaml", "--set", "three.salt=9")
	w.fails(5, []string{"corrupt"}, "get", "two.out", "x.json")
	if res := w.fails(5, []string{"1 of "}, "store", "check", "--deep"); !strings.Contains(res.stdout, "/"+digest[7:]) {
		t.Errorf("check does not name the blob:\n%s", res.stdout)
	}
	w.must("store", "check", "--deep", "--repair")
	w.must("run", "chain.yaml", "--set", "three.salt=9")
	if got := w.digests()["two.out"]; got != digest {
		t.Errorf("the next run made %s, want %s as before", got, digest)
	}
}

func TestLostBlob(t *testing.T) {
	t.Parallel()
	w := newWorkplace(t)
	w.write("chain.yaml", chain)
	w.must("run", "chain.yaml")
	digest := w.digests()["two.out"]
	if err := os.Remove(w.blob(digest)); err != nil {
		t.Fatal(err)
	}
	if out := w.must("plan", "chain.yaml"); !strings.Contains(out, "miss  the store has lost output out ("+digest+")") {
		t.Errorf("plan does not see the loss:\n%s", out)
	}
	w.must("run", "chain.yaml")
	if got := w.states()["two"]; got != "done" {
		t.Errorf("the step whose output was lost is %s, not done", got)
	}
	w.blob(digest)
}

func TestDamagedRecord(t *testing.T) {
	t.Parallel()
	w := newWorkplace(t)
	w.write("one.yaml", "name: one\nsteps:\n  s: {stage: toy}\n")
	w.must("run", "one.yaml")
	key := strings.Fields(strings.Split(w.must("ls", "actions"), "\n")[1])[0]
	path := w.dir + "/.vapo/store/vapo/actions/" + key + ".json"
	if err := os.WriteFile(path, []byte(`{"key": "`+key+`"}`), 0o644); err != nil {
		t.Fatal(err)
	}
	if out := w.must("plan", "one.yaml"); !strings.Contains(out, "the record of the action is damaged") {
		t.Errorf("plan does not see the damage:\n%s", out)
	}
	w.must("run", "one.yaml")
	if got := w.states()["s"]; got != "done" {
		t.Errorf("the step is %s, want done", got)
	}
	w.must("run", "one.yaml")
	if got := w.states()["s"]; got != "cached" {
		t.Errorf("after the repair, the step is %s, want cached", got)
	}
}

// TestRecordThatLies checks that a record with a wrong size or without an output is a miss, which the next run repairs.
func TestRecordThatLies(t *testing.T) {
	t.Parallel()
	w := newWorkplace(t)
	w.write("chain.yaml", chain)
	w.must("run", "chain.yaml")
	key := strings.Fields(strings.Split(w.must("lineage", "two.out"), "action ")[1])[0]
	paths, err := filepath.Glob(w.dir + "/.vapo/store/vapo/actions/" + key + "*.json")
	if err != nil || len(paths) != 1 {
		t.Fatalf("records of step two: %v, %v; want one", paths, err)
	}
	honest, err := os.ReadFile(paths[0])
	if err != nil {
		t.Fatal(err)
	}
	for want, lie := range map[string]func(manifest, outputs map[string]any){
		"bytes in the store, not 1450000000": func(manifest, _ map[string]any) {
			manifest["out"].(map[string]any)["size"] = 1450000000
		},
		"has no output out": func(manifest, outputs map[string]any) {
			delete(manifest, "out")
			delete(outputs, "out")
		},
	} {
		var record struct {
			Key     string          `json:"key"`
			Action  json.RawMessage `json:"action"`
			Outputs map[string]any  `json:"outputs"`
			Made    map[string]any  `json:"manifest"`
		}
		if err := json.Unmarshal(honest, &record); err != nil {
			t.Fatal(err)
		}
		lie(record.Made["outputs"].(map[string]any), record.Outputs)
		text, err := json.Marshal(record)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(paths[0], text, 0o644); err != nil {
			t.Fatal(err)
		}
		if out := w.must("plan", "chain.yaml"); !strings.Contains(out, want) {
			t.Errorf("the plan does not say %q:\n%s", want, out)
		}
		w.must("run", "chain.yaml")
		if got := w.states(); got["two"] != "done" || got["three"] != "cached" {
			t.Errorf("%s: the steps are %v, want two done and three cached", want, got)
		}
		w.must("run", "chain.yaml")
		if got := w.states()["two"]; got != "cached" {
			t.Errorf("%s: after the repair, step two is %s, want cached", want, got)
		}
	}
}

func TestUnreachableStore(t *testing.T) {
	t.Parallel()
	w := newWorkplace(t)
	w.write("one.yaml", "name: one\nsteps:\n  s: {stage: toy}\n")
	w.env = append(w.env, "VAPO_STORE=s3://bucket/prefix", "AWS_ENDPOINT_URL=http://127.0.0.1:1", "AWS_ACCESS_KEY_ID=a",
		"AWS_SECRET_ACCESS_KEY=b", "AWS_REGION=us-east-1")
	w.fails(4, []string{"unreachable", "hint: "}, "run", "one.yaml")
	w.fails(4, []string{"unreachable", "hint: "}, "status")
	w.env = append(w.env, "AWS_ENDPOINT_URL=https://s3.example.org", "HTTPS_PROXY=http://user:hush-hush@127.0.0.1:1")
	res := w.fails(4, []string{"hint: check HTTPS_PROXY"}, "status")
	if strings.Contains(res.stderr, "hush") {
		t.Errorf("the error contains a password:\n%s", res.stderr)
	}
}

func TestStoreVariables(t *testing.T) {
	t.Parallel()
	w := newWorkplace(t)
	w.write("one.yaml", "name: one\nsteps:\n  s: {stage: toy}\n")
	w.fails(4, []string{"hint: start one with: pipeline store serve &"}, "store", "env")
	env := w.serve()
	w.fails(2, []string{"hint: use that one"}, "store", "serve")

	// A runner whose environment has the printed variables uses the same store.
	other := newWorkplace(t)
	other.write("one.yaml", "name: one\nsteps:\n  s: {stage: toy}\n")
	other.env = append(other.env, env...)
	other.must("store", "check")
	other.must("run", "one.yaml")
	w.must("run", "one.yaml")
	if got := w.states()["s"]; got != "cached" {
		t.Errorf("the step that the other directory computed is %s, not cached", got)
	}
	other.env = append(other.env, "AWS_SECRET_ACCESS_KEY=wrong")
	other.fails(4, []string{"hint: "}, "run", "one.yaml")
	other.env = append(other.env, "VAPO_STORE=nonsense")
	other.fails(2, []string{"VAPO_STORE: ", "hint: for example VAPO_STORE=s3://bucket/prefix"}, "run", "one.yaml")
	w.env = append(w.env, "VAPO_STORE_PATIENCE=2")
	w.fails(2, []string{"VAPO_STORE_PATIENCE"}, "run", "one.yaml")
}

// TestHostileRuns checks that a malicious document of a run in a shared store cannot make a reader panic, make it
// access files outside its directory, or hide other runs from the list.
func TestHostileRuns(t *testing.T) {
	t.Parallel()
	w := newWorkplace(t)
	w.write("one.yaml", "name: one\nsteps:\n  s: {stage: toy}\n")
	w.must("run", "one.yaml")
	for id, document := range map[string]string{
		"20990101-000000000-0001": `{"id": "../../escape", "name": "one", "steps": []}`,
		"20990101-000000000-0002": `{"id": "20990101-000000000-0002", "name": "one", "steps": [null]}`,
		"20990101-000000000-0003": `[]`,
		"20990101-000000000-0004": `{"id": "20990101-000000000-0004", "steps": [{"inputs": {"x": 1}}]}`,
	} {
		w.write(".vapo/store/vapo/runs/"+id+".json", document)
		for _, command := range []string{"status", "report", "ls"} {
			args := []string{command, id}
			if command == "ls" {
				args = []string{"ls", "outputs", "--run", id}
			}
			w.fails(failure.Integrity, []string{"run " + id + " is damaged", "hint: "}, args...)
		}
	}
	if out := w.must("ls", "runs"); !strings.Contains(out, "one") || strings.Contains(out, "2099") {
		t.Errorf("the listing lacks run one, or has a damaged run:\n%s", out)
	}
	w.must("plan", "one.yaml", "--set", "s.salt=3")
}

// TestFullOutput checks that a command fails if its output cannot be written.
func TestFullOutput(t *testing.T) {
	t.Parallel()
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		t.Skip("this system has no /dev/full")
	}
	defer full.Close()
	w := newWorkplace(t)
	w.write("one.yaml", "name: one\nsteps:\n  s: {stage: toy}\n")
	w.must("run", "one.yaml")
	for _, args := range [][]string{{"plan", "one.yaml"}, {"lineage", "s.out"}, {"store", "check"}, {"ls"}, {"status"},
		{"get", "s.out"}, {"put", "one.yaml"}, {"report", "--table"}} {
		cmd := w.command(args...)
		var stderr bytes.Buffer
		cmd.Stdout, cmd.Stderr = full, &stderr
		err := cmd.Run()
		if code := failure.Class(cmd.ProcessState.ExitCode()); code != failure.Resources ||
			!strings.Contains(stderr.String(), "no space left") {
			t.Errorf("%v: %v, want exit code 7 and an error about space\n%s", args, err, stderr.String())
		}
	}
}

// TestGetAfterFailure checks that get says how to reach the outputs of an earlier run.
func TestGetAfterFailure(t *testing.T) {
	t.Parallel()
	w := newWorkplace(t)
	w.write("one.yaml", "name: one\nsteps:\n  s: {stage: toy}\n")
	w.must("run", "one.yaml")
	w.fails(failure.Numeric, nil, "run", "one.yaml", "--set", "s.salt=3", "--set", "s.fail=numeric")
	w.fails(failure.Input, []string{"hint: the state of that run is failed; pipeline ls --run RUN lists"}, "get",
		"s.out", "x")
}

// TestNoStore checks that a command that needs the contents of a store does not create one.
func TestNoStore(t *testing.T) {
	t.Parallel()
	w := newWorkplace(t)
	for _, args := range [][]string{{"ls"}, {"status"}, {"get", "a.b", "x"}, {"lineage", "a.b"}, {"store", "gc"}} {
		w.fails(failure.Input, []string{"there is no store in ", "hint: run a recipe here first"}, args...)
	}
	if left, err := os.ReadDir(w.dir); err != nil || len(left) > 0 {
		t.Errorf("the directory is not empty: %v, %v", left, err)
	}
}
