package artifact_test

import (
	"strings"
	"testing"

	"vapo/lib/artifact"
	"vapo/lib/failure"
	"vapo/lib/objectstore/objectstoretest"
)

func TestResolve(t *testing.T) {
	store := artifact.New(objectstoretest.Open(t, objectstoretest.EmbeddedEnv(t)))
	digest, _, err := store.Put(t.Context(), strings.NewReader("content"))
	if err != nil {
		t.Fatal(err)
	}
	if err := store.SetRef(t.Context(), "team/best", digest); err != nil {
		t.Fatal(err)
	}
	for _, reference := range []string{string(digest), "ref:team/best"} {
		got, size, err := store.Resolve(t.Context(), reference)
		if got != digest || size != 7 || err != nil || !artifact.IsReference(reference) {
			t.Errorf("%s: %s, %d bytes, %v", reference, got, size, err)
		}
	}
	for reference, want := range map[string]failure.Class{
		"ref:other": failure.Input, "sha256:" + strings.Repeat("0", 64): failure.Input,
		"ref:../x": failure.Usage, "sha256:12": failure.Usage,
	} {
		if _, _, err := store.Resolve(t.Context(), reference); failure.ClassOf(err) != want {
			t.Errorf("%s: %v, want class %v", reference, err, want)
		}
	}
	if artifact.IsReference("./file") {
		t.Error("a path is a reference")
	}
}
