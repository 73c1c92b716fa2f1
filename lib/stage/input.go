package stage

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"vapo/lib/artifact"
	"vapo/lib/contract"
	"vapo/lib/failure"
)

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

// locate resolves a reference to a digest and checks that the content exists.
func (s *source) locate(ctx context.Context, text string) (*input, error) {
	ref, err := artifact.ParseReference(text)
	if err != nil {
		return nil, err
	}
	if !ref.Stored() {
		digest, size, err := artifact.FileDigest(text)
		if err != nil {
			return nil, err
		}
		return &input{digest: digest, size: size, path: text}, nil
	}
	if !hasStore() {
		return nil, failure.New(failure.Input, "run this in a directory that has a store, or set VAPO_STORE",
			"there is no store in this directory")
	}
	store, err := s.open(ctx)
	if err != nil {
		return nil, err
	}
	digest, size, err := store.Resolve(ctx, ref)
	if err != nil {
		return nil, err
	}
	in := &input{digest: digest, size: size}
	in.fetch = func(ctx context.Context) (string, error) {
		path := filepath.Join(s.scratch, digest.Hex())
		if err := store.Fetch(ctx, digest, path); err != nil {
			return "", err
		}
		return path, nil
	}
	in.blob = func(ctx context.Context) (*artifact.Blob, error) { return store.OpenAt(ctx, digest) }
	return in, nil
}

// locateAll resolves inputs, or outputs of an earlier run, that are given by name. It checks the names against the
// declared ports.
func (s *source) locateAll(
	ctx context.Context, what string, ports []contract.Port, given map[string]string,
) (map[string]*input, error) {
	for name := range given {
		if !slices.ContainsFunc(ports, func(p contract.Port) bool { return p.Name == name }) {
			return nil, failure.New(failure.Usage, "the "+what+"s are: "+portNames(ports), "unknown %s %s", what, name)
		}
	}
	out := map[string]*input{}
	for _, p := range ports {
		ref, ok := given[p.Name]
		if !ok {
			if p.Optional {
				continue
			}
			return nil, failure.New(failure.Usage, "give it as --input "+p.Name+"=REF",
				"input %s (%s) is missing", p.Name, p.Media)
		}
		in, err := s.locate(ctx, ref)
		if err != nil {
			return nil, fmt.Errorf("%s %s: %w", what, p.Name, err)
		}
		out[p.Name] = in
	}
	return out, nil
}

func optional(ports []contract.Port) []contract.Port {
	out := slices.Clone(ports)
	for i := range out {
		out[i].Optional = true
	}
	return out
}

func portNames(ports []contract.Port) string {
	if len(ports) == 0 {
		return "none"
	}
	names := make([]string, len(ports))
	for i, p := range ports {
		names[i] = p.Name
	}
	return strings.Join(names, ", ")
}

// errNoInput is the error of Job.Input for an optional input that was not given.
var errNoInput = errors.New("input not given")
