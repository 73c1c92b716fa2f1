package main

import "testing"

// TestGolden pins the digests of the outputs. If the outputs of a stage change, its version must change too; otherwise
// caches would return the old outputs.
func TestGolden(t *testing.T) {
	if spec.Version != 6 {
		t.Errorf("version %d: update these digests", spec.Version)
	}
	data, images := points(t), pictures(t, 8, nil)
	for _, c := range []struct {
		name                string
		args                []string
		checkpoint, metrics string
		end                 string
	}{
		{"mlp", small(data),
			"sha256:db16baccb188c26e05bc8454b933c003b2c1746c87b1af410fc4104738b08c77",
			"sha256:51205c207ad0d221906e6380741eda610b028960d13d22fca98648dcd2a3749c",
			"sha256:e29ac40ae465e443ee89e785828229d4954b8961cf01e41b6c8442eb61a2ff98",
		},
		{"energy", small(data, "--objective=energy", "--field-every=10"),
			"sha256:87102d4ca6a1ce9e0855578fbb9b47da7291b47fdcbcb3f8af08993d91c074af",
			"sha256:b523e24d2f930339a80b53089bdffa8f7d15f75e76550659077608edf2402c37",
			"sha256:b4e63abe12d0544924aec03fef1ead0c150f7e2329b29e46902385d00c7b6b55",
		},
		{"vapo", small(data, "--schedule=vapo", "--prior-std=2"),
			"sha256:d38bcf27d1520859ac1704995916f95daad72328975af91c993122752b46ece6",
			"sha256:8a4592b8dad2b2348dd022801f55e9c33151ad2101841dbd77dbb18c0a2f1c4d",
			"sha256:e2abb0facd70f4baea481fe63f15b7a45f7d929e4456c563c4789aeaa5384629",
		},
		{"unet", smallUNet(images, "--flip"),
			"sha256:544fa285df840df3d3720cb7cc1ddbdc768c9928921f53d8485bc53b6bd96021",
			"sha256:47524eb4108849045ec5fa4aa74a8a29b2347c5eb69b068c7183d166514916c8",
			"sha256:77b2c3a516f9c5afd4bb2064dd79e417c58456fdd8e62ae062822e4e2e3410a5",
		},
		{"classifier", smallClassifier(images),
			"sha256:ae7c1affb9053bc695bb5fd9946df8ee70e97d250e250ac676fdeae6568fe4e6",
			"sha256:9b90fbb831661803f3ec3eb3e4abd2b8413fddc5711010c5c5cbfabd9ca2dc5f",
			"sha256:9c1bbe57d131e35bf9d1b3ad085ca43c079d049d5206fa9377b82cf7b9929735",
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			code, m, stderr := train(t, append(c.args, "--out="+t.TempDir())...)
			if code != 0 {
				t.Fatalf("exit %d\n%s", code, stderr)
			}
			if got := m.Outputs["checkpoint"].Digest; got != c.checkpoint {
				t.Errorf("checkpoint %s, want %s", got, c.checkpoint)
			}
			if got := m.Outputs["metrics"].Digest; got != c.metrics {
				t.Errorf("metrics %s, want %s", got, c.metrics)
			}
			if got := m.Outputs["end"].Digest; got != c.end {
				t.Errorf("end %s, want %s", got, c.end)
			}
			if m.Backend != "tape" {
				t.Errorf("backend %q", m.Backend)
			}
		})
	}
}
