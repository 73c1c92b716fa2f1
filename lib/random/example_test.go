package random_test

import (
	"fmt"

	"vapo/lib/random"
)

// The noise of sample 7 is the same whether it is drawn alone or after others.
func ExampleNew() {
	alone := make([]float32, 2)
	random.New(42, "sample/noise", 7).Normal(alone)

	batch := make([][2]float32, 10)
	for i := range batch {
		random.New(42, "sample/noise", uint64(i)).Normal(batch[i][:])
	}
	fmt.Println(batch[7] == [2]float32(alone))
	// Output: true
}
