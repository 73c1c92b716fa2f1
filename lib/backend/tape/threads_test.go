package tape

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"os"
	"os/exec"
	"runtime/debug"
	"strings"
	"testing"

	"gorgonia.org/tensor"

	"vapo/lib/backend/backendtest"
)

// helper is the name of the environment variable that makes the test binary print a digest instead of running tests.
const helper = "VAPO_TAPE_DIGEST"

func TestMain(m *testing.M) {
	if os.Getenv(helper) != "" {
		fmt.Printf("%x\n", digest())
		return
	}
	os.Exit(m.Run())
}

// digest hashes all bits of some training steps. The last step is large enough for its operations to use several
// threads.
func digest() []byte {
	h := sha256.New()
	for _, s := range append(backendtest.Steps(tensor.Float32), backendtest.NewMLPStep(tensor.Float32, 700, 150)) {
		exe, err := Tape{}.Compile(s.Graph)
		if err != nil {
			panic(err)
		}
		trace, err := s.Trace(exe, 3)
		if err != nil {
			panic(err)
		}
		for _, v := range trace {
			if err := binary.Write(h, binary.LittleEndian, v.F32); err != nil {
				panic(err)
			}
		}
	}
	return h.Sum(nil)
}

// The number of threads is fixed at first use, so each count needs a separate process.
func TestThreadsKeepBits(t *testing.T) {
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	for _, threads := range []string{"1", "2", "4", "7"} {
		c := exec.Command(exe)
		c.Env = append(os.Environ(), "GOMAXPROCS="+threads, helper+"=yes")
		out, err := c.Output()
		if err != nil {
			t.Fatal(err)
		}
		got[threads] = strings.TrimSpace(string(out))
	}
	for threads, d := range got {
		if d != got["1"] || len(d) != 64 {
			t.Errorf("the digest with %s threads is %q, want the 64 digits with one thread, %q", threads, d, got["1"])
		}
	}
}

// A step allocates nothing, so memory does not grow during training and the garbage collector stays idle.
func TestRunAllocatesNothing(t *testing.T) {
	if underRace {
		t.Skip("the race detector makes pools allocate")
	}
	defer debug.SetGCPercent(debug.SetGCPercent(-1)) // a collection empties the sync.Pool of the micro-kernel for ARM
	for _, s := range append(backendtest.Steps(tensor.Float32), backendtest.NewMLPStep(tensor.Float32, 512, 64)) {
		exe, err := Tape{}.Compile(s.Graph)
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Load(exe); err != nil {
			t.Fatal(err)
		}
		in, out := s.Feed(0), s.Room()
		n := 1.0
		// The first runs fill the sync.Pool: each worker takes a scratch buffer from it when it first takes part.
		for attempt := 0; attempt < 5 && n > 0; attempt++ {
			n = testing.AllocsPerRun(20, func() {
				if err := exe.Run(in, out); err != nil {
					t.Fatal(err)
				}
			})
		}
		if n > 0 {
			t.Errorf("%s: %v allocations per run, want none", s.Name, n)
		}
	}
}
