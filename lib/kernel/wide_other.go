//go:build !amd64

package kernel

const hasWide = false

func loopsOf(*Instr) loops { return loops{} }

func wideFill([]float32, float32) bool { return false }

func wideShift([]float32, int, []float32, int, int, int) bool { return false }

func wideAddLanes(*[sumLanes]float32, []float32) int { return 0 }

func wideSum[T Float]([]T) (T, bool) { return 0, false }
