package main

import (
	"path/filepath"
	"testing"
)

// TestGolden pins the digests of the outputs. If the outputs of a stage change, its version must change too; otherwise
// caches would return the old outputs.
func TestGolden(t *testing.T) {
	if spec.Version != 8 {
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
			"sha256:db26f84d1db3d2d0c94042ffe4fef5a28b70e276fc8457ed28adc1910e1c1e86",
		},
		{"energy", small(data, "--objective=energy", "--field-every=10"),
			"sha256:87102d4ca6a1ce9e0855578fbb9b47da7291b47fdcbcb3f8af08993d91c074af",
			"sha256:b523e24d2f930339a80b53089bdffa8f7d15f75e76550659077608edf2402c37",
			"sha256:b4bb768d1d734c879b79f215d9737ac5e4e1cc7eea5d6be5b8978934cecded17",
		},
		{"vapo", small(data, "--schedule=vapo", "--prior-std=2"),
			"sha256:d38bcf27d1520859ac1704995916f95daad72328975af91c993122752b46ece6",
			"sha256:8a4592b8dad2b2348dd022801f55e9c33151ad2101841dbd77dbb18c0a2f1c4d",
			"sha256:f64ea1bc8e060dfb25c58483af65882e6a6da418202a6ffe9851e91aebdd04c3",
		},
		{"unet", smallUNet(images, "--flip"),
			"sha256:544fa285df840df3d3720cb7cc1ddbdc768c9928921f53d8485bc53b6bd96021",
			"sha256:47524eb4108849045ec5fa4aa74a8a29b2347c5eb69b068c7183d166514916c8",
			"sha256:2ca3405c3e7bd322e61c7a3536b94f275d59f070c4bc7e89c287d9b93f440fc1",
		},
		{"hybrid", small(data, "--objective=hybrid"),
			"sha256:b27c67cd84bd42a23c5aea6ade97745a7b47c4087c3f552554996ee5cc380ec6",
			"sha256:b1349d6aa748bb73a2a02bbe0052b4c222480a64af370e39e2e95b5b37aec92e",
			"sha256:7e876cbd406456548af7e42f0ab1dc8eb643503c6576b068a22974b2892e4e88"},
		{"cosine", small(data, "--schedule=cosine", "--times=logit-normal", "--weight=sigma"),
			"sha256:40fd482d8d876a7d78f791a6e987cd5c99c20930796e0f7ea30587cd1ba54d46",
			"sha256:70210656475a73dad19c0420c95f5ca8ed69f444f8d99014a5b16070de280edd",
			"sha256:a5c9c9ddd19156570cb70e5b31cfe11eadda5feab2683faedba7c5b7c621e9e8"},
		{"vp", small(data, "--schedule=vp", "--times=log-uniform", "--weight=velocity"),
			"sha256:a5046d47ab416863258e0fb9672605a1337d8f239830bc86774d0e4221170933",
			"sha256:7001bcc69ece06403d1b188794c7c3ffbdd58061c8bb72dfb4c3697c13e82437",
			"sha256:be8f46164e025927835148aa3a878d9cd3779aaf0dfd32d444e2ebacc0fe97f5"},
		{"conditional wrn", small(images, "--model=wrn", "--conditional", "--batch=4", "--steps=4"),
			"sha256:dfccb0f40e15608c3b87e425d48b63cd77b6056bd4e85d6113f284157b8b1b12",
			"sha256:3651ca689ba0d604e69b94f81166bb7dcaa13770516606d9055036939d2cf2f0",
			"sha256:99f9df66ecc5c0eaecfe04b9f064e9f97483c491347ec6482ffa8f37004fefa2"},
		{"velocity", small(data, "--objective=velocity", "--field-every=10"),
			"sha256:861d4caed1f0a7489786408a609a357afda678ede908fb0be915b1d1cbef8eba",
			"sha256:5d43037af6286e0be642af167241b9e34c43447dba5bc7a13d101108a846ced1",
			"sha256:084e0979addce7d68e04da21c5b85c084cfebf6dd7766d66cb4b1c2f6daeada6"},
		{"denoising", small(data, "--objective=denoising", "--schedule=vp"),
			"sha256:ee16e79af62aebb7cb41b5860be7f6d1a20bd4a7af5be416394c93d39c1e9ed0",
			"sha256:fa88b8bbe886b3eadfa4aa8bd0fb6e6a9b6b122cc27a6cdcadbf35406843ce75",
			"sha256:490cfb0125fd7a06d5bb1ebcc8ec86353884c9c40b05dff4e6ea89d05dce692d"},
		{"unet as in torchcfm", smallUNet(images, "--objective=velocity", "--attention=[2]", "--head-channels=4",
			"--resample=conv", "--time-input=add"),
			"sha256:f00be3b95db962dd24ec3b2bec95b50ba6937af3fe338fa0d312feb14f9ee27f",
			"sha256:e7348901c60f710810e3c8b1f7f7914b15cbadb27b611054c94475f299fd6141",
			"sha256:f396fc63ad881d8901f8ad1a268c1bfa81d478118e36976e8b8fe63a3bd9b8cf"},
		{"classifier", smallClassifier(images),
			"sha256:ae7c1affb9053bc695bb5fd9946df8ee70e97d250e250ac676fdeae6568fe4e6",
			"sha256:9b90fbb831661803f3ec3eb3e4abd2b8413fddc5711010c5c5cbfabd9ca2dc5f",
			"sha256:1769bf624a39c4b8c471185ac7b2aab5591591e450221a00ba8bb2faf269f337",
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
				t.Errorf("backend %q, want tape", m.Backend)
			}
		})
	}
}

// TestAveragesGolden pins the snapshots of averages, and an average that is reconstructed from them.
func TestAveragesGolden(t *testing.T) {
	dir := t.TempDir()
	code, m, stderr := train(t, small(points(t), "--ema-profiles=[0.05,0.1]", "--ema-snapshot-every=2", "--out="+dir)...)
	if code != 0 {
		t.Fatalf("exit %d\n%s", code, stderr)
	}
	const averages = "sha256:d35441866343d49a232e5f792d0683a04b07e685faa6051df76cefe4b5d1223a"
	if got := m.Outputs["averages"].Digest; got != averages {
		t.Errorf("averages %s, want %s", got, averages)
	}
	const average = "sha256:687c2bde1b4086c8e9cf1a462ff8d26ed422b21a697d88bd0db658bc931ae089"
	_, line, _ := ema(t, filepath.Join(dir, "averages.arrow"), "--std=0.07")
	if got := line["digest"]; got != average {
		t.Errorf("average %s, want %s", got, average)
	}
}
