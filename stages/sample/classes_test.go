package main

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"vapo/lib/checkpoint"
	"vapo/lib/dataset"
	"vapo/lib/failure"
	"vapo/lib/potential"
	"vapo/lib/tensorfile"
)

func withClasses(c potential.Config) potential.Config {
	c.Classes = 3
	return c
}

// The samples of a class do not depend on how they are requested, differ from those of other classes, and carry their
// labels.
func TestClasses(t *testing.T) {
	ck := checkpointOf(t, withClasses(pointsConfig("linear")), nil)
	draw := func(args ...string) *dataset.Points {
		dir, _ := mustSample(t, append(args, "--input=checkpoint="+ck, "--n=6", "--first=1", "--steps=5")...)
		return read(t, dir).(*dataset.Points)
	}
	none, one, each := draw(), draw("--class=1"), draw("--class=each")
	if none.Labels != nil || !slices.Equal(one.Labels, []int64{1, 1, 1, 1, 1, 1}) ||
		!slices.Equal(each.Labels, []int64{1, 2, 0, 1, 2, 0}) {
		t.Errorf("labels %v, %v and %v, want none, only 1, and 1 2 0 1 2 0", none.Labels, one.Labels, each.Labels)
	}
	for i := range 6 {
		ofNone, ofOne, ofEach := none.Point(i), one.Point(i), each.Point(i)
		if same := slices.Equal(ofOne, ofEach); same != (each.Labels[i] == 1) || slices.Equal(ofOne, ofNone) {
			t.Errorf("sample %d: %v of class 1, %v of class %d, %v unconditional; want equal samples for equal classes only",
				i+1, ofOne, ofEach, each.Labels[i], ofNone)
		}
	}
	if again := draw("--class=1", "--guidance=1"); !slices.Equal(again.X, one.X) {
		t.Error("guidance 1 changes samples")
	}
	guided := draw("--class=1", "--guidance=2")
	if slices.Equal(guided.X, one.X) || !slices.Equal(guided.Labels, one.Labels) {
		t.Error("guidance 2 changes no sample, or it changes the labels")
	}
	unguided := draw("--class=1", "--guidance=0")
	for i, v := range unguided.X {
		if d := v - none.X[i]; d > 1e-4 || d < -1e-4 {
			t.Fatalf("guidance 0 gives %v, but the unconditional samples are %v", unguided.X, none.X)
		}
	}
	ck = checkpointOf(t, withClasses(imagesConfig()), nil)
	dir, _ := mustSample(t, "--input=checkpoint="+ck, "--n=4", "--steps=2", "--class=each", "--guidance=1.5")
	if im := read(t, dir).(*dataset.Images); !slices.Equal(im.Labels, []int64{0, 1, 2, 0}) {
		t.Errorf("the images have the labels %v, want 0 1 2 0", im.Labels)
	}
}

// The commands field and interpolate use --class and --guidance like the stage.
func TestClassesOfCommands(t *testing.T) {
	ck := checkpointOf(t, withClasses(pointsConfig("linear")), nil)
	points := csvFile(t, "x1,x2\n1,2\n1,2\n1,2\n1,2\n")
	rows := func(args ...string) []string {
		args = append([]string{"field", "--checkpoint=" + ck, "--points=" + points, "--t=0.5"}, args...)
		code, stdout, stderr := sample(t, args...)
		if code != 0 {
			t.Fatalf("exit %d\n%s", code, stderr)
		}
		return strings.Split(strings.TrimSpace(stdout), "\n")[1:]
	}
	each, one, none, guided := rows("--class=each"), rows("--class=1"), rows(), rows("--class=1", "--guidance=3")
	if each[0] != each[3] || each[1] != one[1] || each[0] == each[1] ||
		one[0] != one[1] || none[0] == one[0] || guided[0] == one[0] {
		t.Errorf("want equal fields for equal classes, and other fields for another class, no class or guidance 3; "+
			"got with --class=each\n%v\n--class=1\n%v\nno --class\n%v\n--class=1 --guidance=3\n%v", each, one, none, guided)
	}
	dir := t.TempDir()
	code, _, stderr := sample(t, "interpolate", "--checkpoint="+ck, "--out="+dir,
		"--pairs=4", "--points=2", "--steps=2", "--class=each")
	if code != 0 {
		t.Fatalf("exit %d\n%s", code, stderr)
	}
	table, err := tensorfile.Read(filepath.Join(dir, "interpolation.arrow"))
	if err != nil {
		t.Fatal(err)
	}
	set, err := dataset.FromTable(table)
	if err != nil || !slices.Equal(set.(*dataset.Points).Labels, []int64{0, 0, 1, 1, 2, 2, 0, 0}) {
		t.Errorf("interpolation with --class=each: %+v (%v), want the labels 0 0 1 1 2 2 0 0", set, err)
	}
}

// Each of several moving averages can be selected.
func TestAverages(t *testing.T) {
	ck := checkpointOf(t, pointsConfig("linear"), func(c *checkpoint.Checkpoint) {
		for name, n := range c.Group(checkpoint.Param) {
			c.Tensors = append(c.Tensors, checkpoint.Named{Name: "ema.1/" + name, Shape: n.Shape, Data: n.Data})
		}
	})
	digest := func(weights string) string {
		_, m := mustSample(t, "--input=checkpoint="+ck, "--n=3", "--steps=3", "--weights="+weights)
		return m.Outputs["samples"].Digest
	}
	if digest("ema.1") != digest("raw") || digest("ema.1") == digest("ema") {
		t.Error("the samples of ema.1 differ from those of raw, which has the same weights, or equal those of ema")
	}
	code, _, stderr := sample(t, "--input=checkpoint="+ck, "--weights=ema.2", "--out="+t.TempDir())
	if code != failure.Input || !strings.Contains(stderr, "only ema, ema.1, raw") {
		t.Errorf("--weights=ema.2: exit %d, want %d and a message that lists the averages: %s", code, failure.Input, stderr)
	}
}

func TestClassRefusals(t *testing.T) {
	plain, ck := checkpointOf(t, pointsConfig("linear"), nil), checkpointOf(t, withClasses(pointsConfig("linear")), nil)
	points := csvFile(t, "x1,x2\n1,2\n")
	for _, c := range []struct {
		code failure.Class
		ck   string
		args []string
		says string
	}{
		{3, plain, []string{"--class=0"}, "without classes"},
		{3, plain, []string{"--class=each"}, "--conditional"},
		{3, plain, []string{"--class=0", "--guidance=2"}, "without classes"},
		{2, ck, []string{"--class=3"}, "classes 0 to 2"},
		{2, ck, []string{"--class=-1"}, "class"},
		{2, ck, []string{"--class=cat"}, `"cat"`},
		{2, ck, []string{"--class=10000"}, "10000"},
		{2, ck, []string{"--guidance=2"}, "add --class"},
		{2, ck, []string{"--class=1", "--guidance=nan"}, "guidance"},
		{2, ck, []string{"--class=1", "--guidance=1e300"}, "guidance"},
		{2, ck, []string{"--weights=ema.0"}, "ema.0"},
	} {
		for _, command := range [][]string{
			{"--input=checkpoint=" + c.ck, "--n=2", "--out=" + t.TempDir()},
			{"field", "--checkpoint=" + c.ck, "--points=" + points, "--t=0.5"},
			{"interpolate", "--checkpoint=" + c.ck, "--out=" + t.TempDir()},
		} {
			code, stdout, stderr := sample(t, append(command, c.args...)...)
			if code != c.code || !strings.Contains(stderr, c.says) || strings.Contains(stdout, ",") {
				t.Errorf("%v %v: exit %d, want %d and a message with %q:\n%s", command[0], c.args, code, c.code, c.says, stderr)
			}
		}
	}
}
