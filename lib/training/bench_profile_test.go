package training

import (
	"bufio"
	"bytes"
	"cmp"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

// profileKinds assigns a profile sample to a kind of work by the functions on the stack. The first kind that matches
// any function on the stack decides.
var profileKinds = []struct {
	kind string
	re   *regexp.Regexp
}{
	{"conv filter grad", regexp.MustCompile(`kernel\.\(\*ConvFilterGrad`)},
	{"conv forward, input grad", regexp.MustCompile(`kernel\.\(\*(Conv|ConvInputGrad|correlation)\[`)},
	{"matmul", regexp.MustCompile(`kernel\.\(\*MatMul`)},
	{"pointwise and sums", regexp.MustCompile(`kernel\.\(\*Fused`)},
	{"sum", regexp.MustCompile(`kernel\.\(\*Sum\[`)},
	{"softmax", regexp.MustCompile(`kernel\.\(\*Softmax`)},
	{"pool", regexp.MustCompile(`kernel\.\(\*(tiles|AvgPool|Upsample|Window)`)},
	{"move", regexp.MustCompile(`kernel\.(Segments|Transpose)`)},
	{"other kernel", regexp.MustCompile(`vapo/lib/kernel\.`)},
	{"idle and scheduling", regexp.MustCompile(`^runtime\.(findRunnable|schedule|mcall|park_m|futex|mstart|goexit0)`)},
}

// within matches the functions that compute matrix products, for instance inside a convolution.
var within = regexp.MustCompile(`lib/microkernel\.`)

// printProfile prints each kind's share of the samples, and the part of this share that is spent in matrix products.
func printProfile(t *testing.T, file string) {
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command("go", "tool", "pprof", "-traces", exe, file).Output()
	if err != nil {
		t.Fatal(err)
	}
	total, products, sum := map[string]time.Duration{}, map[string]time.Duration{}, time.Duration(0)
	for _, trace := range strings.Split(string(out), "-----------+")[1:] {
		var stack []string
		var took time.Duration
		lines := bufio.NewScanner(bytes.NewBufferString(trace))
		for first := true; lines.Scan(); {
			f := strings.Fields(lines.Text())
			if len(f) == 0 || strings.HasPrefix(f[0], "---") {
				continue
			}
			if first {
				if took, err = time.ParseDuration(f[0]); err != nil {
					break // this part is the heading of the output, not a trace
				}
				first, f = false, f[1:]
			}
			stack = append(stack, strings.Join(f, " "))
		}
		kind := "other"
	found:
		for _, k := range profileKinds {
			for _, f := range stack {
				if k.re.MatchString(f) {
					kind = k.kind
					break found
				}
			}
		}
		sum += took
		total[kind] += took
		if slices.ContainsFunc(stack, within.MatchString) {
			products[kind] += took
		}
	}
	byTime := func(a, b string) int { return cmp.Compare(total[b], total[a]) }
	for _, k := range slices.SortedFunc(maps.Keys(total), byTime) {
		fmt.Printf("    %-20s %5.1f%%  of which in matrix products %5.1f%%\n", k,
			100*total[k].Seconds()/sum.Seconds(), 100*products[k].Seconds()/sum.Seconds())
	}
}
