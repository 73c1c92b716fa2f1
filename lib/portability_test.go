package lib_test

import (
	"bufio"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

var withARM = flag.Bool("arm64", false, "also check the code for arm64, where the compiler fuses more than on amd64")

// target is an architecture for which the compiler fuses x*y + z into one instruction with a single rounding.
type target struct {
	name  string
	env   []string
	fused *regexp.Regexp // matches the names of fused instructions
}

var (
	amd64v3 = target{"amd64 with GOAMD64=v3", []string{"GOARCH=amd64", "GOAMD64=v3"},
		regexp.MustCompile(`^VFN?M(ADD|SUB)\d*[PS][DS]$`)}
	arm64 = target{"arm64", []string{"GOARCH=arm64"}, regexp.MustCompile(`^FN?M(ADD|SUB)[DS]$`)}
)

// computing lists the packages whose results may enter an artifact: the packages of this module, and the image
// decoders.
var computing = []string{"vapo/...", "image/...", "golang.org/x/image/bmp", "golang.org/x/image/webp",
	"golang.org/x/image/vp8", "golang.org/x/image/vp8l"}

// exact matches the functions of package math that round at most once. The prefix arch marks implementations in
// assembly.
var exact = regexp.MustCompile(`^(arch)?(FMA|Sqrt|Floor|Ceil|Trunc|Round|RoundToEven|Max|Min|Abs|Copysign|Frexp|` +
	`Ldexp|Modf|Mod|Nextafter|Nextafter32)$`)

var (
	instruction = regexp.MustCompile(`^\t0x[0-9a-f]+ \d+ \((.+):(\d+)\)\t(\w+)\t?(.*)`)
	normal      = regexp.MustCompile(`^math/rand.*\.(Norm|Exp)Float64$`)
	callee      = regexp.MustCompile(`^(.+?)(\.abi0)?(·f)?\(SB\)`)
)

// TestNothingDependsOnTheMachine: results have the same bits on every machine only if the code that computes them has
// no implicit fused multiply-adds and calls no function whose result depends on the machine. Go's assembly listing,
// which is written after inlining, shows both.
func TestNothingDependsOnTheMachine(t *testing.T) {
	targets := []target{amd64v3}
	if *withARM {
		targets = append(targets, arm64)
	}
	for _, target := range targets {
		t.Run(target.name, func(t *testing.T) {
			args := []string{"build"}
			for _, p := range computing {
				args = append(args, "-gcflags="+p+"=-S")
			}
			cmd := exec.Command("go", append(args, "vapo/stages/...")...)
			cmd.Env = append(append(os.Environ(), "CGO_ENABLED=0"), target.env...)
			listing, err := cmd.StderrPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			functions := target.read(t, listing)
			if err := cmd.Wait(); err != nil {
				t.Fatalf("go build for %s: %v", target.name, err)
			}
			if functions < 1000 {
				t.Errorf("found only %d functions in the listing: its format may have changed", functions)
			}
		})
	}
}

// read reports the problems in an assembly listing as test errors and returns the number of functions in the listing.
func (m target) read(t *testing.T, listing io.Reader) (functions int) {
	root, err := filepath.Abs("..")
	if err != nil {
		t.Fatal(err)
	}
	var pkg, function string
	seen := map[string]bool{}
	for in := bufio.NewReaderSize(listing, 1<<20); ; {
		line, err := in.ReadString('\n')
		if err == io.EOF {
			return functions
		} else if err != nil {
			t.Fatal(err)
		}
		if p, ok := strings.CutPrefix(line, "# "); ok {
			pkg = strings.TrimSpace(p)
			continue
		}
		if name, _, ok := strings.Cut(line, " STEXT "); ok {
			functions++
			function = name
			if rest, ok := strings.CutPrefix(name, "main."); ok {
				function = pkg + "." + rest
			}
			continue
		}
		parts := instruction.FindStringSubmatch(line)
		if parts == nil {
			continue
		}
		path, at, code, operands := parts[1], parts[2], parts[3], parts[4]
		file := strings.Replace(path, root+string(filepath.Separator), "vapo/", 1)
		what := finding(operands)
		if m.fused.MatchString(code) && !onPurpose(path, at) {
			what = "fuses a product and a sum: round the product, float64(x*y) + z or float32(x*y) + z"
		}
		if what != "" && !seen[function+file+at+what] {
			seen[function+file+at+what] = true
			t.Errorf("%s, %s:%s, %s", function, file, at, what)
		}
	}
}

// finding looks at the function that an operand names. It describes the problem if the results of the function depend
// on the machine, and otherwise returns "".
func finding(operands string) string {
	c := callee.FindStringSubmatch(operands)
	if c == nil {
		return ""
	}
	name := c[1]
	if f, ok := strings.CutPrefix(strings.TrimPrefix(name, "$"), "math."); ok && !exact.MatchString(capital(f)) {
		return fmt.Sprintf("uses math.%s, whose bits depend on the machine: use lib/portable", f)
	}
	if normal.MatchString(name) {
		return fmt.Sprintf("uses %s, whose bits depend on the machine: use lib/random", name)
	}
	if strings.HasPrefix(name, "gonum.org/v1/gonum/") {
		return fmt.Sprintf("uses %s, whose bits depend on the machine: use lib/linalg or a loop", name)
	}
	return ""
}

// capital returns the name in the form that exact matches. For example, floor, the implementation in Go, becomes Floor.
func capital(name string) string {
	if strings.HasPrefix(name, "arch") {
		return name
	}
	return strings.ToUpper(name[:1]) + name[1:]
}

// onPurpose reports whether a source line calls math.FMA.
func onPurpose(file, line string) bool {
	text, err := os.ReadFile(file)
	n, _ := strconv.Atoi(line)
	lines := strings.Split(string(text), "\n")
	return err == nil && 0 < n && n <= len(lines) && strings.Contains(lines[n-1], "math.FMA(")
}
