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

// Engines are tried in order; a class that is asked for by name is never replaced by another.
func TestOpen(t *testing.T) {
	if _, err := backend.Open("auto"); err == nil {
		t.Error("auto opened an engine before any was registered")
	}
	backend.Register("broken", fails("broken"))
	backend.Register("good", opens("good"))
	backend.Register("plain", opens("plain"))
	if got := backend.Classes(); !slices.Equal(got, []string{"broken", "good", "plain"}) {
		t.Errorf("classes %v, want them as registered", got)
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
	if _, err := backend.Open("tape-openblas"); !errors.As(err, &unknown) || !strings.Contains(err.Error(), `called "tape" now`) {
		t.Errorf("open tape-openblas: %v, want today's name", err)
	}
}

// A family's engines open by names that it alone understands; auto asks it first, and tells what it passed over.
func TestFamilies(t *testing.T) {
	backend.Register("plane", opens("plane"))
	first, reason := "", "no wind"
	backend.RegisterFamily(backend.Family{
		Names: []string{"kite:name"},
		Class: func(name string) (string, bool, error) {
			kite, ok := strings.CutPrefix(name, "kite:")
			if kite == "lead" {
				return "", true, &backend.OptionError{Class: "kite", Option: kite, Reason: "too heavy"}
			}
			return "kite-" + kite, ok, nil
		},
		Open: func(name string) (backend.Backend, error) {
			if name == "kite:torn" {
				return nil, &backend.UnavailableError{Class: "kite-torn", Err: errMissing}
			}
			return fake{strings.ReplaceAll(name, ":", "-")}, nil
		},
		Auto: func() (string, string) { return first, reason },
	})
	expect := func(name, class, why string) {
		t.Helper()
		c, err := backend.Choose(name)
		if err != nil || c.Backend.Class() != class || !strings.Contains(c.Why, why) {
			t.Errorf("%s: %+v, %v, want %s because of %q", name, c, err, class, why)
		}
		if got, err := backend.Resolve(name); err != nil || got != class {
			t.Errorf("%s resolves to %s, %v", name, got, err)
		}
	}
	expect("kite:red", "kite-red", "")
	best := "plane" // or what another test registered
	if classes := backend.Classes(); slices.Contains(classes, "good") {
		best = "good"
	}
	expect("auto", best, "no wind")
	first, reason = "kite:torn", "wind"
	expect("auto", best, "kite:torn did not open")
	first = "kite:blue"
	expect("auto", "kite-blue", "wind")

	var option *backend.OptionError
	for _, name := range []string{"kite:lead", "plane,fast"} {
		if _, err := backend.Open(name); !errors.As(err, &option) {
			t.Errorf("open %s: %v, want that it has no such option", name, err)
		}
	}
	var unknown *backend.UnknownError
	if _, err := backend.Open("balloon"); !errors.As(err, &unknown) || !strings.Contains(err.Error(), "kite:name") || !strings.Contains(err.Error(), "plane") {
		t.Errorf("open balloon: %v, want the names there are", err)
	}
}

func TestMemoryError(t *testing.T) {
	for want, e := range map[string]*backend.MemoryError{
		"the computation needs 3.0 GiB of memory, the machine has 2.0 GiB":          {Need: 3 << 30, Have: 2 << 30},
		"the computation needs about 3.0 GiB, more memory than the device has free": {Need: 3 << 30, Device: "the device"},
	} {
		if e.Error() != want {
			t.Errorf("%q, want %q", e.Error(), want)
		}
	}
}

func TestBuffer(t *testing.T) {
	if n := backend.F32(make([]float32, 3)).Len(); n != 3 {
		t.Errorf("length %d", n)
	}
	if n := (backend.Buffer{F64: make([]float64, 4)}).Len(); n != 4 {
		t.Errorf("length %d", n)
	}
	if n := (backend.Buffer{}).Len(); n != 0 {
		t.Errorf("length %d", n)
	}
}
