package picture

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"os"
	"strings"
	"testing"
)

// TestKindsAgainstPillow: files of all common kinds give Pillow's pixels, byte for byte, or an error that says what is
// not supported.
func TestKindsAgainstPillow(t *testing.T) {
	raw, err := os.ReadFile("testdata/kinds.json")
	if err != nil {
		t.Fatal(err)
	}
	var cases []struct {
		Name, SHA256, Error string
		File                []byte
	}
	if err := json.Unmarshal(raw, &cases); err != nil {
		t.Fatal(err)
	}
	if len(cases) != 54 {
		t.Errorf("%d cases, want 54", len(cases))
	}
	for _, c := range cases {
		im, err := Decode(c.File)
		switch {
		case c.Error != "":
			if err == nil || !strings.Contains(err.Error(), c.Error) || strings.Contains(err.Error(), "damaged") {
				t.Errorf("%s: error %v, want one with %q that does not call the file damaged", c.Name, err, c.Error)
			}
		case err != nil:
			t.Errorf("%s: error %v, want none", c.Name, err)
		default:
			if sum := sha256.Sum256(im.Pixels); hex.EncodeToString(sum[:]) != c.SHA256 {
				t.Errorf("%s: the pixels differ from Pillow's", c.Name)
			}
		}
	}
}
