package artifact_test

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"strings"
	"sync"
	"testing"

	"vapo/lib/artifact"
)

func noise(n int) []byte {
	b := make([]byte, n)
	_, _ = rand.NewChaCha8([32]byte{7}).Read(b) // never fails
	return b
}

func TestOpenAt(t *testing.T) {
	s, _ := onDisk(t)
	const chunk = 64 << 10
	for _, n := range []int{0, 1, chunk - 1, chunk, 5*chunk + 77} {
		content := noise(n)
		b, err := s.OpenAt(t.Context(), put(t, s, string(content)))
		if err != nil {
			t.Fatal(err)
		}
		if b.Size() != int64(n) {
			t.Errorf("size %d, want %d", b.Size(), n)
		}
		if got, err := io.ReadAll(io.NewSectionReader(b, 0, b.Size())); err != nil || !bytes.Equal(got, content) {
			t.Errorf("a blob of %d bytes: %d bytes read, error %v, want the stored content", n, len(got), err)
		}
		if _, err := b.ReadAt(make([]byte, 1), -1); err == nil {
			t.Error("a negative offset is accepted")
		}
		var group sync.WaitGroup
		for seed := range uint64(3) {
			group.Go(func() {
				rng := rand.New(rand.NewPCG(seed, 2))
				for range 10 {
					off, p := rng.IntN(n+2), make([]byte, rng.IntN(2*chunk))
					want := content[min(off, n):min(n, off+len(p))]
					got, err := b.ReadAt(p, int64(off))
					if !bytes.Equal(p[:got], want) || (err != nil) != (got < len(p)) || err != nil && !errors.Is(err, io.EOF) {
						t.Errorf("ReadAt of %d bytes at %d in a blob of %d: %d bytes, error %v, want %d stored ones (EOF if fewer)",
							len(p), off, n, got, err, len(want))
					}
				}
			})
		}
		group.Wait()
	}
}

// TestOpenAtVerifies: OpenAt finds earlier damage, and ReadAt finds damage that occurs after the blob was opened.
func TestOpenAtVerifies(t *testing.T) {
	s, file := onDisk(t)
	content := noise(300 << 10)
	d := put(t, s, string(content))
	b, err := s.OpenAt(t.Context(), d)
	if err != nil {
		t.Fatal(err)
	}
	const at = 200 << 10 // in the fourth chunk
	damaged := bytes.Clone(content)
	damaged[at] ^= 1
	write := func(b []byte) {
		t.Helper()
		if err := os.WriteFile(file(blobKey(d)), b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(damaged)
	p := make([]byte, 10)
	if _, err := b.ReadAt(p, at-1000); !errors.Is(err, artifact.ErrCorrupt) {
		t.Errorf("next to the damage: error %v, want ErrCorrupt", err)
	}
	if n, err := b.ReadAt(make([]byte, 150<<10), 128<<10); n != 64<<10 || !errors.Is(err, artifact.ErrCorrupt) {
		t.Errorf("across the damage: %d bytes, %v, want the 65536 before the damaged chunk and ErrCorrupt", n, err)
	}
	if _, err := b.ReadAt(p, 0); err != nil || !bytes.Equal(p, content[:10]) {
		t.Errorf("far from the damage: read %v, error %v, want %v", p, err, content[:10])
	}
	_, err = s.OpenAt(t.Context(), d)
	if !errors.Is(err, artifact.ErrCorrupt) || !strings.Contains(err.Error(), d.Hex()) {
		t.Errorf("OpenAt of a damaged blob: error %v, want ErrCorrupt and the digest", err)
	}
	write(content[:250<<10])
	if _, err := b.ReadAt(make([]byte, 100<<10), 200<<10); !errors.Is(err, artifact.ErrCorrupt) {
		t.Errorf("cut short: error %v, want ErrCorrupt", err)
	}
	if err := s.Objects().Delete(t.Context(), blobKey(d)); err != nil {
		t.Fatal(err)
	}
	if _, err := b.ReadAt(p, 0); !errors.Is(err, artifact.ErrNotFound) {
		t.Errorf("ReadAt of a removed blob: error %v, want ErrNotFound", err)
	}
	if _, err := s.OpenAt(t.Context(), d); !errors.Is(err, artifact.ErrNotFound) {
		t.Errorf("OpenAt of a removed blob: error %v, want ErrNotFound", err)
	}
}
