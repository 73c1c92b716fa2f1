package backend_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"vapo/lib/backend"
)

type fake struct{ class string }

func (f fake) Class() string            { return f.class }
func (f fake) Describe() string         { return f.class }
func (fake) Promises() backend.Promises { return backend.Promises{} }
func (fake) Compile(backend.Graph) (backend.Executable, error) {
	return nil, errors.New("not for running")
}
func opens(class string) func() (backend.Backend, error) {
	return func() (backend.Backend, error) { return fake{class}, nil }
}
func fails(class string) func() (backend.Backend, error) {
	return func() (backend.Backend, error) {
		return nil, &backend.UnavailableError{Class: class, Err: errMissing, Hint: "install it"}
	}
}

var errMissing = errors.New("library missing")

// Engines are tried best first; a class that is asked for by name is never replaced by another.
func TestOpen(t *testing.T) {
	if _, err := backend.Open("auto"); err == nil {
		t.Error("auto opened an engine before any was registered")
	}
	backend.Register("plain", 1, opens("plain"))
	backend.Register("broken", 9, fails("broken"))
	backend.Register("good", 5, opens("good"))
	if got := backend.Classes(); !slices.Equal(got, []string{"broken", "good", "plain"}) {
		t.Errorf("classes %v, want the best first", got)
	}
	for name, want := range map[string]string{"auto": "good", "good": "good", "plain": "plain"} {
		b, err := backend.Open(name)
		if err != nil || b.Class() != want {
			t.Errorf("open %s: %v, %v", name, b, err)
		}
		if class, err := backend.Resolve(name); err != nil || class != want {
			t.Errorf("resolve %s: %s, %v", name, class, err)
		}
	}
	var unavailable *backend.UnavailableError
	if _, err := backend.Open("broken"); !errors.As(err, &unavailable) || !errors.Is(err, errMissing) || unavailable.Hint == "" {
		t.Errorf("open broken: %v", err)
	}
	// Resolving names what will run; whether it can is found when it is opened.
	if class, err := backend.Resolve("broken"); err != nil || class != "broken" {
		t.Errorf("resolve broken: %s, %v", class, err)
	}
	var unknown *backend.UnknownError
	if _, err := backend.Open("best"); !errors.As(err, &unknown) || !strings.Contains(err.Error(), "good") {
		t.Errorf("open best: %v", err)
	}
	if _, err := backend.Resolve("best"); !errors.As(err, &unknown) {
		t.Errorf("resolve best: %v", err)
	}
}

func TestBuffer(t *testing.T) {
	if n := backend.F32(make([]float32, 3)).Len(); n != 3 {
		t.Errorf("length %d", n)
	}
	if n := backend.F64(make([]float64, 4)).Len(); n != 4 {
		t.Errorf("length %d", n)
	}
	if n := (backend.Buffer{}).Len(); n != 0 {
		t.Errorf("length %d", n)
	}
}
