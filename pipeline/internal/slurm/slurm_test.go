package slurm

import (
	"flag"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"vapo/lib/contract"
	"vapo/lib/failure"
	"vapo/pipeline/internal/catalog"
	"vapo/pipeline/internal/graph"
	"vapo/pipeline/internal/recipe"
	"vapo/pipeline/internal/runner"
)

var update = flag.Bool("update", false, "rewrite golden files")

func job(name string, step *recipe.Step, needs ...*runner.Job) *runner.Job {
	step.Name = name
	stage := &catalog.Entry{Description: contract.Description{Stage: "toy", Version: 1}}
	return &runner.Job{Name: "vapo-" + name + "-0123456789abcdef", Dir: "/shared/it's 100%/runs/1", Needs: needs,
		Node: &graph.Node{Step: step, Stage: stage}}
}

// TestCommand checks the whole command line and script of a job.
func TestCommand(t *testing.T) {
	site, err := parseSite("#!/bin/sh\n#SBATCH --partition=gpu\r\n#SBATCH --time=1-00:00:00\nmodule load cuda\n")
	if err != nil {
		t.Fatal(err)
	}
	s := &Slurm{Site: site, Program: "/shared/bin/pipeline", Bin: "/shared/bin", Recipe: "/home/ann/it's.yaml",
		Args: []string{"--set", "samples.n=$(rm -rf /)"}}
	needs := []*runner.Job{job("a", &recipe.Step{}), job("b", &recipe.Step{})}
	needs[0].ID, needs[1].ID = "7", "12"
	j := job("samples", &recipe.Step{
		Timeout: 90 * time.Minute, Resources: recipe.Resources{Cores: 4, Memory: 4<<30 + 1, GPUs: 2},
	}, needs...)
	options, script, err := s.Command(j)
	checkCommand(t, "job.txt", options, script, err)

	shards := shardsOf(j, 3)
	needs[1].Found = true
	options, script, err = s.Command(shards[0], shards[2])
	checkCommand(t, "array.txt", options, script, err)
	for i, n := range shards {
		n.ID, n.Found = taskID("40", n), i == 1
	}
	shards[1].ID = "39_2"
	j.Needs = shards
	if got := dependency(j); !slices.Equal(got, []string{"--dependency=afterok:40:39_2,singleton"}) {
		t.Errorf("the options of the dependency are %q, want jobs 40 and 39_2", got)
	}
}

// shardsOf returns the jobs of a step's shards, with the needs of the whole step.
func shardsOf(whole *runner.Job, n int) (list []*runner.Job) {
	for i := range n {
		node, step := *whole.Node, *whole.Node.Step
		step.Name = recipe.ShardName(step.Name, i+1)
		node.Step, node.Shard = &step, contract.Shard{I: i + 1, N: n}
		list = append(list, &runner.Job{Name: "vapo-samples-shards-0123456789abcdef", Dir: whole.Dir, Needs: whole.Needs,
			Node: &node})
	}
	return list
}

// checkCommand compares the options of sbatch and a script with a golden file.
func checkCommand(t *testing.T, name string, options []string, script string, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	got := strings.Join(options, "\n") + "\n\n" + script
	golden := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// TestCleanup checks the job that deletes the credentials.
func TestCleanup(t *testing.T) {
	site, err := parseSite("#SBATCH --partition=gpu\n\n#SBATCH --qos=low\nexit 3\n#SBATCH --mem=1G")
	if err != nil {
		t.Fatal(err)
	}
	options, script := (&Slurm{Site: site}).cleanup("/it's/1", []string{"7", "12"})
	if got := strings.Join(options, " "); !strings.Contains(got, "--comment=/it's/1 --dependency=afterany:7:12 ") {
		t.Errorf("the options lack the directory as comment, or the dependency on both jobs: %s", got)
	}
	want := "#!/bin/bash\n#SBATCH --partition=gpu\n#SBATCH --qos=low\nrm -f '/it'\\''s/1/store.env'\n"
	if diff := cmp.Diff(want, script); diff != "" {
		t.Error(diff)
	}
}

// TestPending checks which jobs keep the credentials of a directory. Slurm lists job 3 as running although its step is
// over.
func TestPending(t *testing.T) {
	queue, err := parseQueue([]byte("1|vapo-a-0|COMPLETED||None|/run\n2_1|vapo-b-0|RUNNING||None|/run\n" +
		"2_2|vapo-b-0|PENDING||Resources|/run\n3|vapo-c-0|RUNNING||None|/run\n4|vapo-d-0|RUNNING||None|/other\n" +
		"5|vapo-e-0|PENDING||DependencyNeverSatisfied|/run\n"))
	if err != nil {
		t.Fatal(err)
	}
	if got, cleaned := pending(queue, "/run", []string{"3", "2_1"}); !slices.Equal(got, []string{"2"}) || cleaned {
		t.Errorf("jobs %v, deleted: %v; want array 2 only", got, cleaned)
	}
	if got, _ := pending(queue, "/run", []string{"3", "2_1", "2_2"}); len(got) > 0 {
		t.Errorf("jobs %v, want none", got)
	}
	queue = append(queue, entry{id: "6", name: cleanupName, state: "PENDING", comment: "/run"})
	if got, cleaned := pending(queue, "/run", nil); !slices.Equal(got, []string{"2", "3"}) || !cleaned {
		t.Errorf("jobs %v, deleted: %v; want 2 and 3, and the job that deletes", got, cleaned)
	}
}

// TestTime checks that the limit of a job is longer than the timeout of its step, unless the site's limit is shorter.
func TestTime(t *testing.T) {
	for _, c := range []struct {
		timeout time.Duration
		site    string
		want    string
	}{
		{0, "", ""}, {time.Hour, "", "--time=65"}, {time.Hour, "2:00:00", "--time=65"}, {time.Hour, "60", ""},
		{30 * time.Second, "0", "--time=6"},
	} {
		s := &Slurm{}
		if c.site != "" {
			s.Site = siteOf(t, "#SBATCH --time="+c.site)
		}
		if got := strings.Join(s.Resources(job("a", &recipe.Step{Timeout: c.timeout})), " "); got != c.want {
			t.Errorf("timeout %v, site %q: %q, want %q", c.timeout, c.site, got, c.want)
		}
	}
}

func TestLimit(t *testing.T) {
	for text, want := range map[string]time.Duration{
		"90": 90 * time.Minute, "1:30": 90 * time.Second, "2:00:01": 2*time.Hour + time.Second, "UNLIMITED": 0,
		"1-12": 36 * time.Hour, "1-0:30": 24*time.Hour + 30*time.Minute, "2-1:02:03": 49*time.Hour + 123*time.Second,
	} {
		if got, ok := parseLimit(text); !ok || got != want {
			t.Errorf("%s: %v, valid: %v; want %v", text, got, ok, want)
		}
	}
	for _, text := range []string{"#SBATCH -p main\n#SBATCH -t soon\n", "\n#SBATCH -p main --time=1:2:3:4"} {
		if _, err := parseSite(text); err == nil || !strings.Contains(err.Error(), "line 2") {
			t.Errorf("%q: got %v, want an error about line 2", text, err)
		}
	}
}

// TestSiteLimit checks where a site's file may have a time limit, and in which forms.
func TestSiteLimit(t *testing.T) {
	for text, want := range siteLimits {
		if got := siteOf(t, text).limit; got != want {
			t.Errorf("%q: %v, want %v", text, got, want)
		}
	}
}

// siteLimits are contents of a site's file, with the time limit that they set.
var siteLimits = map[string]time.Duration{
	"#SBATCH --partition=gpu --time=1:00:00":              time.Hour,
	"#SBATCH --time=\"1:00:00\" -p gpu":                   time.Hour,
	"#SBATCH '--time=1:00:00'":                            time.Hour,
	"#SBATCH --time 60":                                   time.Hour,
	"#SBATCH -p gpu -t 60 # an hour":                      time.Hour,
	"#SBATCH -t60#an hour":                                time.Hour,
	"#SBATCH -Ht60":                                       time.Hour,
	"#SBATCH --time=1-0 -J \"a # b\" --time=60":           time.Hour,
	"#SBATCH --time=90\n# a comment\n\n#SBATCH --time=60": time.Hour,
	"#SBATCH -J a\\ --time=5 --time=60":                   time.Hour,
	"#SBATCH --time-min=60":                               0,
	"#SBATCH -p gpu # --time=60":                          0,
	"#SBATCH --comment='the --time=60 is too short'":      0,
	"# SBATCH --time=60":                                  0,
	"module load cuda\n#SBATCH --time=60":                 0, // sbatch stops at the first command
}

func siteOf(t *testing.T, text string) Site {
	t.Helper()
	site, err := parseSite(text)
	if err != nil {
		t.Fatalf("%q: %v", text, err)
	}
	return site
}

func FuzzSite(f *testing.F) {
	f.Add("#!/bin/sh\n#SBATCH --time=1-2:3:4\nmodule load cuda\n")
	f.Add("#SBATCH -t9999-9999999:99:99")
	f.Add("#SBATCH -J 'a \\' b\" --time \\\"60")
	f.Fuzz(func(t *testing.T, text string) {
		s, err := parseSite(text)
		if err == nil && (s.limit < 0 || strings.HasPrefix(s.text, "#!")) {
			t.Errorf("%q: limit %v, want none below 0; text %q, want none that begins with #!", text, s.limit, s.text)
		}
	})
}

// printed is what squeue printed on a real cluster.
const printed = `2|vapo-two-5be4c7f0a1b2c3d4|PENDING|2026-11-27T07:36:53|Dependency|/shared/runs/a|b
1|vapo-one-0123456789abcdef|RUNNING|2026-11-27T07:36:53|None|/shared/runs/1
7_[1-3]|somebody|else|PENDING|2026-11-27T07:36:53|Resources|(null)
3|vapo-x-0123456789abcdef|PENDING|2026-11-27T07:36:53|DependencyNeverSatisfied|/shared/runs/1
4|vapo-y-0123456789abcdef|OUT_OF_MEMORY|2026-11-27T07:36:53|OutOfMemory|/shared/runs/1
5|vapo-z-0123456789abcdef|COMPLETING|2026-11-27T07:36:53|None|/shared/runs/1
`

func TestQueue(t *testing.T) {
	queue, err := parseQueue([]byte(printed))
	if err != nil || len(queue) != 5 {
		t.Fatalf("queue %v, error %v; want five entries", queue, err)
	}
	if queue[0].comment != "/shared/runs/a|b" || queue[0].submitted.Unix() != 1795765013 {
		t.Errorf("the first entry is %+v, want comment /shared/runs/a|b and time 1795765013", queue[0])
	}
	type summary struct {
		usable bool
		state  runner.JobState
	}
	for i, want := range []summary{
		{true, runner.JobState{Pending: true, Text: "pending: Dependency"}},
		{true, runner.JobState{Text: "running"}},
		{false, runner.JobState{Pending: true, Ended: true, Text: "pending: DependencyNeverSatisfied"}},
		{false, runner.JobState{Ended: true, Text: "out_of_memory", Failure: failure.Resources}},
		{false, runner.JobState{Text: "completing"}},
	} {
		if got := (summary{queue[i].usable(), queue[i].jobState()}); got != want {
			t.Errorf("%s: %+v, want %+v", queue[i].name, got, want)
		}
	}
	if _, err := parseQueue([]byte("no|vapo-a|RUNNING|x|None|/d\n")); failure.ClassOf(err) != failure.Resources {
		t.Errorf("a job whose ID is not a number: error %v, want one of class Resources", err)
	}
}

func FuzzQueue(f *testing.F) {
	f.Add([]byte(printed))
	f.Add([]byte("1|vapo-"))
	f.Fuzz(func(t *testing.T, out []byte) {
		queue, err := parseQueue(out)
		for _, e := range queue {
			if err != nil || !jobID.MatchString(e.id) || !strings.HasPrefix(e.name, "vapo-") {
				t.Errorf("entry %+v, error %v; want no error, an ID of a job, and a name that begins with vapo-", e, err)
			}
		}
	})
}

// TestFind checks that find ignores a job in the queue if a step that the job needs will be submitted again, and that
// accepted finds only jobs of its own run.
func TestFind(t *testing.T) {
	queue := []entry{{id: "5", name: "vapo-b-0123456789abcdef", state: "PENDING", comment: "/shared/runs/1"}}
	first := job("a", &recipe.Step{})
	if second := job("b", &recipe.Step{}, first); find(queue, second) {
		t.Errorf("found %+v, although the step that it needs will be submitted again", second)
	}
	first.Found = true
	second := job("b", &recipe.Step{}, first)
	if !find(queue, second) || second.ID != "5" || second.Dir != "/shared/runs/1" || !second.Found {
		t.Errorf("job 5 of the queue was not found: %+v", second)
	}

	// A task is found by its index. Tasks that are not in the queue are submitted together.
	shards := shardsOf(job("c", &recipe.Step{}), 4)
	tasks := []entry{{id: "6_2", name: shards[0].Name, state: "RUNNING", comment: "/shared/runs/1"},
		{id: "6_3", name: shards[0].Name, state: "FAILED", comment: "/shared/runs/1"}}
	group := together(tasks, shards)
	if got := arrayOptions(group); !slices.Equal(got, []string{"--array=1,3,4"}) || shards[1].ID != "6_2" {
		t.Errorf("options %q, want --array=1,3,4; shard 2 is job %q, want 6_2", got, shards[1].ID)
	}

	// sbatch got no answer, but the controller may have accepted the job.
	lost := job("b", &recipe.Step{}, job("a", &recipe.Step{}))
	accepted(queue, lost)
	if lost.ID != "" {
		t.Errorf("took over a job of another run: %+v", lost)
	}
	lost.Dir = "/shared/runs/1"
	if accepted(queue, lost); lost.ID != "5" || lost.Found {
		t.Errorf("got %+v, want the ID 5 and Found false", lost)
	}
}

// TestStoreEnv checks that jobs get the variables of the store and no others, in a file that only the user can read.
func TestStoreEnv(t *testing.T) {
	got := StoreEnv([]string{"HOME=/home/ann", "VAPO_STORE=s3://b", "AWS_SECRET_ACCESS_KEY=x", contract.ParentFD + "=3"})
	if diff := cmp.Diff([]string{"AWS_SECRET_ACCESS_KEY=x", "VAPO_STORE=s3://b"}, got); diff != "" {
		t.Error(diff)
	}
	dir := t.TempDir()
	s := &Slurm{Env: []string{"AWS_SECRET_ACCESS_KEY=it's"}, Source: []byte("name: x")}
	if err := s.writeFiles(dir); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, runner.StoreEnvFile)
	data, err := os.ReadFile(path)
	if info, _ := os.Stat(path); err != nil || string(data) != `export AWS_SECRET_ACCESS_KEY='it'\''s'`+"\n" ||
		info.Mode().Perm() != 0o600 {
		t.Errorf("%s has %q, mode %v, error %v; want a quoted key and mode 0600", path, data, info.Mode(), err)
	}
}
