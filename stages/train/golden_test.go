package main

import "testing"

// TestGolden pins the digests of the outputs. If the outputs of a stage change, its version must change too; otherwise
// caches would return the old outputs.
func TestGolden(t *testing.T) {
	if spec.Version != 7 {
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
			"sha256:4c239110abc6236e78f5fd5dfe2e9b87038a0f070013635e8e89316c9969879a",
		},
		{"energy", small(data, "--objective=energy", "--field-every=10"),
			"sha256:87102d4ca6a1ce9e0855578fbb9b47da7291b47fdcbcb3f8af08993d91c074af",
			"sha256:b523e24d2f930339a80b53089bdffa8f7d15f75e76550659077608edf2402c37",
			"sha256:5a6d23725f40369e7feb407082c0496bce5374bfe88a86eba7325c799a918dba",
		},
		{"vapo", small(data, "--schedule=vapo", "--prior-std=2"),
			"sha256:d38bcf27d1520859ac1704995916f95daad72328975af91c993122752b46ece6",
			"sha256:8a4592b8dad2b2348dd022801f55e9c33151ad2101841dbd77dbb18c0a2f1c4d",
			"sha256:7ed8315b6bde832548d5414a5aad54ab744127439f9e6bbb75a850ccb820f50e",
		},
		{"unet", smallUNet(images, "--flip"),
			"sha256:544fa285df840df3d3720cb7cc1ddbdc768c9928921f53d8485bc53b6bd96021",
			"sha256:47524eb4108849045ec5fa4aa74a8a29b2347c5eb69b068c7183d166514916c8",
			"sha256:a333008eefa146b4012450e52f6a9fe1afe48920250f496c05526f8e956103d4",
		},
		{"classifier", smallClassifier(images),
			"sha256:ae7c1affb9053bc695bb5fd9946df8ee70e97d250e250ac676fdeae6568fe4e6",
			"sha256:9b90fbb831661803f3ec3eb3e4abd2b8413fddc5711010c5c5cbfabd9ca2dc5f",
			"sha256:004f1c10ca47f70425ee315e841d6be64667ed22eb701a2ccc0da8dd3ac649af",
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
