//go:build !amd64

package linalg

func axpyVectors([]float64, float64, []float64) int { return 0 }

func dotVectors(*[dotLanes]float64, []float64, []float64) int { return 0 }

func symvVectors(*rowSums, []float64, *[symvRows]float64, []float64, int, []float64) int { return 0 }
