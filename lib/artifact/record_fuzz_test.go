package artifact

import (
	"encoding/json"
	"testing"

	"vapo/lib/cachekey"
)

// FuzzDecodeRecord: for any bytes, decodeRecord returns an error or a record that belongs to the key.
func FuzzDecodeRecord(f *testing.F) {
	a := cachekey.Action{Contract: 1, Stage: "train", Version: 1}
	key, err := a.Key()
	if err != nil {
		f.Fatal(err)
	}
	pre, err := a.Preimage()
	if err != nil {
		f.Fatal(err)
	}
	good, err := json.Marshal(Record{Key: key, Action: pre, Manifest: json.RawMessage(`{}`), Outputs: map[string]Digest{}})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good)
	f.Add(good[:len(good)-1])
	f.Add([]byte(`{"key":"` + key + `","action":null}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		r, err := decodeRecord(key, data)
		if err != nil {
			return
		}
		got, err := cachekey.Parse(r.Action)
		if err != nil {
			t.Fatal(err)
		}
		if k, err := got.Key(); k != key || r.Key != key || err != nil {
			t.Fatalf("a record of %s is accepted as one of %s", k, key)
		}
		for name, d := range r.Outputs {
			if _, err := ParseDigest(string(d)); err != nil {
				t.Fatalf("output %s: %v", name, err)
			}
		}
	})
}
