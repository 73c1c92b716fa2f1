package artifact_test

import (
	"strings"
	"testing"

	"vapo/lib/artifact"
	"vapo/lib/failure"
)

var someDigest = "sha256:" + strings.Repeat("0a", 32)

func TestParseReference(t *testing.T) {
	for text, want := range map[string]artifact.Reference{
		someDigest:         {Digest: artifact.Digest(someDigest)},
		"ref:best":         {Name: "best"},
		"ref:team/v1.0_x":  {Name: "team/v1.0_x"},
		"train.checkpoint": {Step: "train", Output: "checkpoint"},
		"step_2.Some-Out":  {Step: "step_2", Output: "Some-Out"},
		"./data.arrow":     {Path: "./data.arrow"},
		"/a/b.c":           {Path: "/a/b.c"},
		"../x":             {Path: "../x"},
		".hidden":          {Path: ".hidden"},
		"data":             {Path: "data"},
		"data.tar.gz":      {Path: "data.tar.gz"},
		"Train.checkpoint": {Path: "Train.checkpoint"},
		"step.":            {Path: "step."},
		"":                 {},
	} {
		got, err := artifact.ParseReference(text)
		if err != nil || got != want {
			t.Errorf("%q is %+v (%v), want %+v", text, got, err, want)
		}
		if stored := want.Digest != "" || want.Name != ""; got.Stored() != stored {
			t.Errorf("%q: stored is %v, want %v", text, got.Stored(), stored)
		}
		if explicit := strings.ContainsAny(text[:min(1, len(text))], "./"); got.ExplicitPath() != explicit {
			t.Errorf("%q: explicit path is %v, want %v", text, got.ExplicitPath(), explicit)
		}
	}
	for _, text := range []string{
		"sha256:", "sha256:12", "sha256:" + strings.Repeat("0A", 32), someDigest + "0", "ref:", "ref:a b", "ref:/a", "ref:a/",
	} {
		got, err := artifact.ParseReference(text)
		if failure.ClassOf(err) != failure.Usage || failure.HintOf(err) == "" {
			t.Errorf("%q is %+v (%v), want a usage error with a hint", text, got, err)
		}
	}
}

func TestResolve(t *testing.T) {
	s := open(t)
	d := put(t, s, "content")
	if err := s.SetRef(t.Context(), "team/best", d); err != nil {
		t.Fatal(err)
	}
	for _, r := range []artifact.Reference{{Digest: d}, {Name: "team/best"}} {
		if got, size, err := s.Resolve(t.Context(), r); err != nil || got != d || size != 7 {
			t.Errorf("%s is %s of %d bytes (%v), want %s of 7", r, got, size, err, d)
		}
	}
	for _, r := range []artifact.Reference{{Digest: noBlob}, {Name: "other"}} {
		if _, _, err := s.Resolve(t.Context(), r); failure.ClassOf(err) != failure.Input {
			t.Errorf("%s: error %v, want class input", r, err)
		}
	}
}

// FuzzParseReference: a reference that parses has exactly one form, and String returns the text that was parsed.
func FuzzParseReference(f *testing.F) {
	for _, text := range []string{someDigest, "ref:a/b", "train.checkpoint", "./a", "a.b.c", ""} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		r, err := artifact.ParseReference(text)
		if err != nil {
			return
		}
		if r.String() != text {
			t.Errorf("%q prints as %q", text, r)
		}
		forms := 0
		for _, form := range []string{string(r.Digest), r.Name, r.Step, r.Path} {
			if form != "" {
				forms++
			}
		}
		if forms > 1 || forms == 0 && text != "" || (r.Step == "") != (r.Output == "") {
			t.Errorf("%q is %+v, want one form, and a step and an output only together", text, r)
		}
	})
}
