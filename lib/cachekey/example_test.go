package cachekey_test

import (
	"fmt"

	"vapo/lib/cachekey"
)

// Two trainings that differ in one parameter have different keys, and Diff explains why.
func Example() {
	action := func(rate float64) cachekey.Action {
		return cachekey.Action{
			Contract: 1, Stage: "train", Version: 6, Backend: "tape",
			Params: map[string]any{"steps": 1400, "learning-rate": rate},
			Inputs: map[string]string{"data": "sha256:35f9eb84afc0593f86e0257799ac31aa4da13fa914fbd8772c8ff8bd3f79263c"},
		}
	}
	slow, fast := action(0.001), action(0.002)
	slowKey, _ := slow.Key()
	fastKey, _ := fast.Key()
	fmt.Println("same key:", slowKey == fastKey)
	for _, d := range cachekey.Diff(slow, fast) {
		fmt.Println(d.Field, "was", d.Was, "and is", d.Is)
	}
	// Output:
	// same key: false
	// params.learning-rate was 0.001 and is 0.002
}
