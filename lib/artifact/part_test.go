package artifact_test

import (
	"errors"
	"os"
	"testing"

	"vapo/lib/artifact"
)

func TestParts(t *testing.T) {
	s, file := onDisk(t)
	key := record(t, "features", nil).Key
	if _, err := s.Part(t.Context(), key); !errors.Is(err, artifact.ErrNotFound) {
		t.Errorf("Part before SavePart: error %v, want ErrNotFound", err)
	}
	for range 2 { // the second time replaces the part with the same value
		if err := s.SavePart(t.Context(), key, []byte("numbers")); err != nil {
			t.Fatal(err)
		}
	}
	if got, err := s.Part(t.Context(), key); err != nil || string(got) != "numbers" {
		t.Errorf("read %q, error %v, want %q", got, err, "numbers")
	}
	if err := os.WriteFile(file("parts/"+key[:2]+"/"+key), []byte("numb3rs"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Part(t.Context(), key); !errors.Is(err, artifact.ErrCorrupt) {
		t.Errorf("a damaged part: error %v, want ErrCorrupt", err)
	}
	if err := s.SavePart(t.Context(), key, []byte("numbers")); err != nil {
		t.Fatal(err)
	}
	if got, err := s.Part(t.Context(), key); err != nil || string(got) != "numbers" {
		t.Errorf("after saving the part again: read %q, error %v, want %q", got, err, "numbers")
	}
	if err := s.SavePart(t.Context(), "../key", nil); err == nil {
		t.Error("a part was saved under a path")
	}
}
