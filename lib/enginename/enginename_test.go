package enginename_test

import (
	"strings"
	"testing"

	"vapo/lib/enginename"
	"vapo/lib/failure"
)

func TestParse(t *testing.T) {
	for _, c := range []struct{ name, class, normal string }{
		{"auto", "auto", "auto"}, {"tape", "tape", "tape"},
		{"go", "compute-go", "compute-go"}, {"compute-go", "compute-go", "compute-go"},
		{"xla:cpu", "xla-cpu", "xla-cpu"}, {"xla:cuda", "xla-cuda", "xla-cuda"}, {"xla-cuda", "xla-cuda", "xla-cuda"},
		{"xla:cuda,float32", "xla-cuda", "xla-cuda"}, {"xla:cuda,tf32", "xla-cuda-tf32", "xla-cuda-tf32"},
		{"xla-cuda-tf32", "xla-cuda-tf32", "xla-cuda-tf32"}, {"xla:cuda,bf16", "xla-cuda-bfloat16", "xla-cuda-bfloat16"},
		{"xla:cpu,bf16", "xla-cpu-bfloat16", "xla-cpu-bfloat16"},
		{"xla:/opt/a,b/libtpu.so", "xla-libtpu", "xla:/opt/a,b/libtpu.so"},
		{"xla:./libtpu.so,bf16", "xla-libtpu-bfloat16", "xla:./libtpu.so,bf16"},
		{"xla:/opt/plugin,float32", "xla-plugin", "xla:/opt/plugin"},
	} {
		n, err := enginename.Parse(c.name)
		if err != nil || n.Class() != c.class || n.String() != c.normal {
			t.Errorf("%s has class %s and normal form %s (%v), want %s and %s", c.name, n.Class(), n, err, c.class, c.normal)
		}
		if again, err := enginename.Parse(n.String()); err != nil || again != n {
			t.Errorf("%s parses to %+v, but its normal form to %+v (%v), want the same", c.name, n, again, err)
		}
	}
}

func TestUnknownNames(t *testing.T) {
	for _, name := range []string{"", "xla", "xla:", "xla:rocket", "xla:rocket,fp8", "xla-libtpu", "go2"} {
		_, err := enginename.Parse(name)
		if failure.ClassOf(err) != failure.Usage || !strings.Contains(err.Error(), enginename.Names) {
			t.Errorf("%q: error is %v, want a usage error that lists the accepted names", name, err)
		}
	}
}

func TestUnknownOptions(t *testing.T) {
	for _, name := range []string{
		"auto,tf32", "tape,tf32", "go,bf16", "xla:cpu,tf32", "xla-cpu-tf32", "xla:cuda,fp8", "xla:cuda,", "xla:/a/b.so,fp8",
	} {
		_, err := enginename.Parse(name)
		if failure.ClassOf(err) != failure.Usage || !strings.Contains(err.Error(), "has no option") {
			t.Errorf("%s: error is %v, want a usage error that the engine has no such option", name, err)
		}
	}
}
