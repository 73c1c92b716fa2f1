package feature

import "testing"

// BenchmarkInception evaluates one block of images up to the last layer.
func BenchmarkInception(b *testing.B) {
	net, err := NewInception(fastEngine(b), formulaWeights(b), Options{Tap: 2048, Resize: PyTorchFID})
	if err != nil {
		b.Fatal(err)
	}
	images, out := Of(patterned(inceptionBlock, 32, 32)), make([]float32, inceptionBlock*2048)
	for b.Loop() {
		if err := net.Features(images, 0, inceptionBlock, out); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(inceptionBlock*b.N)/b.Elapsed().Seconds(), "images/s")
}
