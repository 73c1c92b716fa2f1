package stage

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"vapo/lib/artifact"
	"vapo/lib/objectstore"
)

// source finds what a REF stands for. The store is opened on first need, so a
// run on local files needs none.
type source struct {
	scratch *scratch

	once  sync.Once
	store *artifact.Store
	err   error
}

// configured says whether the environment names a store.
func configured() bool { return os.Getenv("VAPO_STORE") != "" }

func (s *source) open(ctx context.Context) (*artifact.Store, error) {
	s.once.Do(func() {
		if !configured() {
			s.err = Fail(ExitUsage, `set VAPO_STORE, for example with: eval "$(pipeline store env)"`, "no store is configured")
			return
		}
		cfg, err := objectstore.FromEnv(os.Getenv)
		if err != nil {
			s.err = err
			return
		}
		objects, err := objectstore.Open(ctx, cfg)
		if err != nil {
			s.err = err
			return
		}
		s.store = artifact.New(objects)
	})
	return s.store, s.err
}

// input is one resolved input.
type input struct {
	digest artifact.Digest
	size   int64

	mu    sync.Mutex
	path  string // "" until fetched
	fetch func(ctx context.Context) (string, error)
	blob  func(ctx context.Context) (*artifact.Blob, error) // nil for local files
}

func (in *input) file(ctx context.Context) (string, error) {
	in.mu.Lock()
	defer in.mu.Unlock()
	if in.path != "" {
		return in.path, nil
	}
	path, err := in.fetch(ctx)
	if err != nil {
		return "", err
	}
	in.path = path
	return path, nil
}

// locate resolves ref to a digest and checks that its bytes are there.
func (s *source) locate(ctx context.Context, ref string) (*input, error) {
	digest := artifact.Digest(ref)
	switch {
	case strings.HasPrefix(ref, "sha256:"):
		if _, err := artifact.ParseDigest(ref); err != nil {
			return nil, Fail(ExitUsage, "a digest is sha256: and 64 lower-case hexadecimal digits", "%w", err)
		}
	case strings.HasPrefix(ref, "ref:"):
		store, err := s.open(ctx)
		if err != nil {
			return nil, err
		}
		digest, err = store.Ref(ctx, strings.TrimPrefix(ref, "ref:"))
		if errors.Is(err, objectstore.ErrNotFound) {
			return nil, Fail(ExitInput, "pipeline ls refs lists the names there are", "the store has no such ref: %w", err)
		}
		if err != nil {
			return nil, err
		}
	default:
		return locateFile(ref)
	}
	store, err := s.open(ctx)
	if err != nil {
		return nil, err
	}
	size, ok, err := store.Has(ctx, digest)
	if err != nil {
		return nil, err
	}
	if !ok {
		return nil, Fail(ExitInput, "", "the store has no blob %s", digest)
	}
	in := &input{digest: digest, size: size}
	in.fetch = func(ctx context.Context) (string, error) {
		path := filepath.Join(s.scratch.dir, strings.TrimPrefix(string(digest), "sha256:"))
		if err := store.Fetch(ctx, digest, path); err != nil {
			return "", err
		}
		return path, nil
	}
	in.blob = func(ctx context.Context) (*artifact.Blob, error) { return store.OpenAt(ctx, digest) }
	return in, nil
}

func locateFile(path string) (*input, error) {
	f, err := os.Open(path)
	if err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return nil, Fail(ExitInput, "a REF is sha256:…, ref:name or the path of a file", "no such file: %s", path)
		}
		return nil, Fail(ExitInput, "", "%w", err)
	}
	defer f.Close()
	if info, err := f.Stat(); err != nil || !info.Mode().IsRegular() {
		return nil, Fail(ExitInput, "", "%s is not a regular file", path)
	}
	sum := sha256.New()
	size, err := io.Copy(sum, f)
	if err != nil {
		return nil, Fail(ExitInput, "", "reading %s: %w", path, err)
	}
	return &input{digest: digestOf(sum.Sum(nil)), size: size, path: path}, nil
}

func digestOf(sum []byte) artifact.Digest {
	return artifact.Digest("sha256:" + hex.EncodeToString(sum))
}

// locateAll resolves the inputs (or outputs of another run) given by name against the declared ports.
func (s *source) locateAll(ctx context.Context, what string, ports []Port, given map[string]string) (map[string]*input, error) {
	for name := range given {
		if _, ok := port(ports, name); !ok {
			return nil, Fail(ExitUsage, "the "+what+"s are: "+portNames(ports), "unknown %s %s", what, name)
		}
	}
	out := map[string]*input{}
	for _, p := range ports {
		ref, ok := given[p.Name]
		if !ok {
			if p.Optional {
				continue
			}
			return nil, Fail(ExitUsage, "give it as --input "+p.Name+"=REF", "input %s (%s) is missing", p.Name, p.Media)
		}
		in, err := s.locate(ctx, ref)
		if err != nil {
			return nil, fmt.Errorf("%s %s: %w", what, p.Name, err)
		}
		out[p.Name] = in
	}
	return out, nil
}

func optional(ports []Port) []Port {
	out := slices.Clone(ports)
	for i := range out {
		out[i].Optional = true
	}
	return out
}

func portNames(ports []Port) string {
	if len(ports) == 0 {
		return "none"
	}
	names := make([]string, len(ports))
	for i, p := range ports {
		names[i] = p.Name
	}
	return strings.Join(names, ", ")
}

// FileDigest is the digest of a local file.
func FileDigest(path string) (string, error) {
	in, err := locateFile(path)
	if err != nil {
		return "", err
	}
	return string(in.digest), nil
}
