package kernel

import "golang.org/x/sys/cpu"

func assemblies() map[string]*assembly {
	m := map[string]*assembly{}
	if cpu.X86.HasAVX2 {
		m["AVX2"] = &avx2
	}
	if cpu.X86.HasAVX512F {
		m["AVX-512"] = &avx512
	}
	return m
}
