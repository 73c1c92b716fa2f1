//go:build !(goexperiment.simd && amd64)

package kernel

// Vectorised says whether the float32 loops use vector instructions; this program was built without them.
const Vectorised = false

func vector(*Instr, []float32, []float32, []float32) int { return 0 }

func vectorMax([]float32) (float32, int) { return 0, 0 }

func vectorExpShifted([]float32, []float32, float32) int { return 0 }

func vectorScale([]float32, float32) int { return 0 }

func vectorLarger([]float32, []float32) int { return 0 }

func vectorAddLanes(l *[sumLanes]float32, v []float32) int { return wideAddLanes(l, v) }

func vectorWithScalar(Code, []float32, []float32, float32, bool) int { return 0 }
