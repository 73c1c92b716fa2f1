//go:build cgo && linux

package device

import (
	"errors"
	"os"
	"strings"
	"testing"

	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"

	"github.com/gomlx/go-xla/pjrt"
	"vapo/lib/failure"
)

// XLA ends the process if it does not know a flag. So every flag that a tuner sets must be an option of the XLA version
// that go-xla is built for, and its value must have the option's type.
func TestFlagsExist(t *testing.T) {
	found, err := protoregistry.GlobalTypes.FindMessageByName("xla.DebugOptions")
	if err != nil {
		t.Fatal(err)
	}
	options := found.Descriptor().Fields()
	for _, tuner := range []*Tuner{{path: "/p", loaded: &Tuning{}}, {path: "/p"}} {
		for _, flag := range tuner.flags() {
			name, value, _ := strings.Cut(strings.TrimPrefix(flag, "--"), "=")
			kind := protoreflect.StringKind
			if value == "true" {
				kind = protoreflect.BoolKind
			}
			if f := options.ByName(protoreflect.Name(name)); f == nil || f.Kind() != kind {
				t.Errorf("XLA has no option %s of kind %v", name, kind)
			}
		}
	}
}

// The flags of a tuner come after the user's flags. Without a tuner, the user's flags do not change.
func TestPrepareAddsFlags(t *testing.T) {
	tuner := &Tuner{path: "/p"}
	t.Setenv("XLA_FLAGS", "--xla_dump_to=/d")
	prepare("plugin.so", tuner)
	want := "--xla_dump_to=/d " + strings.Join(tuner.flags(), " ")
	if got := os.Getenv("XLA_FLAGS"); got != want {
		t.Errorf("XLA_FLAGS is %q, want %q", got, want)
	}
	t.Setenv("XLA_FLAGS", "--xla_dump_to=/d")
	prepare("plugin.so", nil)
	if got := os.Getenv("XLA_FLAGS"); got != "--xla_dump_to=/d" {
		t.Errorf("without a tuner, XLA_FLAGS is %q, want the user's flags", got)
	}
}

// After a process has loaded a plugin without a tuner, it cannot open one with a tuner: XLA's options are the same for
// the whole process and have been read.
func TestTunerComesTooLate(t *testing.T) {
	clients.Lock()
	clients.byPath = map[string]*pjrt.Client{"/other.so": nil}
	clients.Unlock()
	defer func() { clients.byPath = nil }()
	if _, err := openClient("/plugin.so", &Tuner{}); !errors.Is(err, errLoaded) {
		t.Errorf("the error of openClient is %v, want %v", err, errLoaded)
	}
	_, err := OpenXLA(parse(t, "xla:/plugin.so"), &Tuner{})
	if failure.ClassOf(err) != failure.Usage || !strings.Contains(failure.HintOf(err), "xla:cuda") {
		t.Errorf("the error is %v (%s), want a usage error whose hint names xla:cuda", err, failure.HintOf(err))
	}
}
