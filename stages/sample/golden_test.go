package main

import (
	"testing"

	"vapo/lib/potential"
)

// TestGolden pins the outputs. A change of the outputs needs a new version of the stage, or caches would return the old
// ones.
func TestGolden(t *testing.T) {
	if spec.Version != 4 {
		t.Errorf("version %d: update these digests", spec.Version)
	}
	for _, c := range []struct {
		name   string
		config potential.Config
		args   []string
		digest string
	}{
		{
			"heun", pointsConfig("linear"), []string{"--n=9"},
			"sha256:a56b85bb706465422ca633f2f346d074db5d7df78edab45b9f045d419f10af6d",
		},
		{
			"rk45", pointsConfig("linear"), []string{"--n=9", "--solver=rk45", "--seed=4"},
			"sha256:171c502a3739379df8baa713eee1402ea9043229e8d017afbfbea6f54f697878",
		},
		{
			"vapo", pointsConfig("vapo"), []string{"--n=9", "--solver=rk4", "--steps=20"},
			"sha256:91b50e80c043b77cb2eb97e09bcab82ed6988b32b865eea19d3cf9b35630f592",
		},
		{
			"raw", pointsConfig("linear"), []string{"--n=9", "--weights=raw", "--solver=euler"},
			"sha256:9f18d43c189da2a124306c458fd58518923b0d2fd4207ef54db091f2337a12b7",
		},
		{
			"images", imagesConfig(), []string{"--n=5", "--first=3", "--steps=4"},
			"sha256:a812a189339e33de994822423ada39871a25832084c6130bd8200660080af586",
		},
	} {
		_, m := mustSample(t, append(c.args, "--backend=tape", "--input=checkpoint="+checkpointOf(t, c.config, nil))...)
		if got := m.Outputs["samples"].Digest; got != c.digest {
			t.Errorf("%s: samples %s, want %s", c.name, got, c.digest)
		}
	}
}
