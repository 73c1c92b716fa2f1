package main

import (
	"testing"

	"vapo/lib/homotopy"
	"vapo/lib/potential"
)

// TestGolden pins the digests of the outputs. If the outputs of a stage change, its version must change too; otherwise
// caches would return the old outputs.
func TestGolden(t *testing.T) {
	if spec.Version != 6 {
		t.Errorf("version %d: update these digests", spec.Version)
	}
	velocity, noise := pointsConfig("linear"), pointsConfig("vp")
	velocity.Output, noise.Output = homotopy.Velocity, homotopy.Noise
	for _, c := range []struct {
		name   string
		config potential.Config
		args   []string
		digest string
	}{
		{
			"heun", pointsConfig("linear"), []string{"--n=9"},
			"sha256:b9946093897e17fa9a62c2b25e3164a9ead021eea4944b47c8116805342546b8",
		},
		{
			"rk45", pointsConfig("linear"), []string{"--n=9", "--solver=rk45", "--seed=4"},
			"sha256:f44c1eccbea8c1af9a0146bdbb6c619bb5629494e033460e04c9e0d109183686",
		},
		{
			"vapo", pointsConfig("vapo"), []string{"--n=9", "--solver=rk4", "--steps=20"},
			"sha256:8a274383116e4d13d6b4d92746edc8aeee57789ff6c1e5cd4f4000b445377096",
		},
		{
			"raw", pointsConfig("linear"), []string{"--n=9", "--weights=raw", "--solver=euler"},
			"sha256:562504c787467180b2076345ec28b17b2ffc9200033db16f82fabb0ff68d8317",
		},
		{"edm", pointsConfig("linear"), []string{"--n=9", "--grid=edm", "--steps=18"},
			"sha256:705dafa7162f82ac7e7b42128274de774b3b69739b13647baaf847efb5775676"},
		{"velocity", velocity, []string{"--n=9", "--solver=rk45"},
			"sha256:882bb5bae4f5f725eaee4aa78324093be0c802ebf61eebcd533cd23f648c8f5f"},
		{"noise", noise, []string{"--n=9"},
			"sha256:4d4d10d11eaab4f101c713607c903744fc05034a6d0459e301d3d08e0a80e965"},
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
