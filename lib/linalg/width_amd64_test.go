package linalg

import "testing"

// eachWidth runs a test once for every vector width of this machine.
func eachWidth(t *testing.T, test func(t *testing.T)) {
	avx2, avx512 := hasAVX2, hasAVX512
	defer func() { hasAVX2, hasAVX512 = avx2, avx512 }()
	if avx512 {
		t.Run("AVX-512", test)
	}
	if hasAVX512 = false; avx2 {
		t.Run("AVX2", test)
	}
	hasAVX2 = false
	t.Run("scalar", test)
}
