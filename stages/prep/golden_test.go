package main

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// TestGolden pins the digests of the outputs. If the outputs of a stage change, its version must change too; otherwise
// caches would return the old outputs. The preview is left out because its bytes depend on the standard library's
// compressor.
func TestGolden(t *testing.T) {
	if spec.Version != 3 {
		t.Errorf("version %d: update these digests", spec.Version)
	}
	for _, c := range []struct {
		args                 []string
		train, test, summary string
	}{
		{[]string{"--source=8gaussians"},
			"sha256:c493d676bf0080663c7b56b3867cc4d9f82dbb48112067f19e44fbec6dc1fca6",
			"sha256:5e3f0e2c7338aab7da07b516eff1c851dc2119862c0b3312b4be0435890b2d13",
			"sha256:ce99e215a6beeef2ecb5f3608c5a186e260d2fe3bd48cfeda366a385665b250a",
		},
		{[]string{"--source=two-moons", "--std=0.1"},
			"sha256:2a4c2809b24be47bf83b671c97e30f36877db51c375246754320edb6d6a97962",
			"sha256:6759bea79edc38e4e407afd2d1615b76598d4f463c84c6961590397ecdfd4376",
			"sha256:e017d13f49353ad2ef61a3ebd3441f03ff661072faf617ff867d6c70c843b4d2",
		},
		{[]string{"--source=rings", "--seed=7"},
			"sha256:e73361338c1584b7d25ad55475af40142827f032c2e35e4f7ec739d1ae03e01f",
			"sha256:5c60a5b6d0b10f687f01c72ab063ce1c5d06da0e943ab96287d6f9e104325d4e",
			"sha256:2a543a68e4d72dbe5f052557d613feb652c6ca9d7271d635a1d21aa2ba2df866",
		},
		{[]string{"--source=mixture",
			`--components=[{"weight":1,"mean":[1,2,3],"std":0.1},{"weight":3,"mean":[-1,0,0],"std":0.2}]`},
			"sha256:5490ebd9c370bdff90d559bb4806a85078eff990786c8a4d8246c731a7715f8c",
			"sha256:24742de0097439893ad728d554f7b9e0c71115f9c7f68e748d5638576ede1057",
			"sha256:8e8f65662c63a9fb2b3b9313598fe718a1b937a1b5fddcb5db23966065c9f4db",
		},
	} {
		_, m := mustPrep(t, append(c.args, "--n-train=3000", "--n-test=20")...)
		got := []string{m.Outputs["train"].Digest, m.Outputs["test"].Digest, m.Outputs["summary"].Digest}
		if want := []string{c.train, c.test, c.summary}; !slices.Equal(got, want) {
			t.Errorf("%v: digests\n got %q\nwant %q", c.args, got, want)
		}
	}
}

// TestGoldenOwn pins the sets made from users' images and tables, and the set of drawn shapes.
func TestGoldenOwn(t *testing.T) {
	images := writeFiles(t, tiles(t, 20))
	table := filepath.Join(writeFiles(t, map[string][]byte{"t.csv": []byte(sheet)}), "t.csv")
	for _, c := range []struct {
		args []string
		want [3]string // train, test, summary
	}{
		{
			[]string{"--source=images", "--path=" + images, "--size=8", "--labels=directory"},
			[3]string{"e0f872a6e094528d", "41d19764a87ea5ec", ""},
		},
		{
			[]string{
				"--source=images", "--path=" + images, "--crop=9", "--channels=1", "--resize=lanczos", "--size=7",
				"--test-fraction=0.5", "--seed=3",
			},
			[3]string{"0dc3864479775cae", "32e49adbf5a98c39", ""},
		},
		{
			[]string{"--source=csv", "--path=" + table, "--label=kind"},
			[3]string{"c326a02443c883e1", "95ecb7ddca6fefa0", "8804f71a15756176"},
		},
		{
			[]string{"--source=shapes", "--n-train=1500", "--n-test=20", "--size=8"},
			[3]string{"04898f263e3b71d9", "52cc960b51f2e470", "5126d3799aa65d2e"},
		},
	} {
		_, m := mustPrep(t, c.args...)
		got := [3]string{m.Outputs["train"].Digest, m.Outputs["test"].Digest, m.Outputs["summary"].Digest}
		for i := range got {
			got[i] = strings.TrimPrefix(got[i], "sha256:")[:16]
		}
		if c.want[2] == "" { // the summary has digests of PNG files, whose bytes depend on the standard library
			got[2] = ""
		}
		if got != c.want {
			t.Errorf("%v: digests\n got %q\nwant %q", c.args, got, c.want)
		}
	}
}
