package device

import (
	"fmt"

	"vapo/lib/backend"
)

// uploaded is an input in a buffer of the platform. A run frees the buffer and sets it to nil.
type uploaded struct {
	input *port
	now   buffer
}

// Upload implements backend.Executable. Platforms accept buffers while a program runs.
func (e *executable) Upload(i int, v backend.Buffer) (backend.Buffer, error) {
	p := &e.inputs[i]
	values, err := e.host("input", *p, v)
	if err != nil {
		return backend.Buffer{}, err
	}
	b, err := e.on.upload(values, p.shape)
	if err != nil {
		return backend.Buffer{}, e.explain(fmt.Errorf("input %s: %w", p.name, err))
	}
	return backend.Buffer{Uploaded: &uploaded{p, b}}, nil
}

// input checks input i of a run and returns it: the caller's slice, or an *uploaded.
func (e *executable) input(i int, b backend.Buffer) (any, error) {
	p := &e.inputs[i]
	u, ok := b.Uploaded.(*uploaded)
	if !ok {
		return e.host("input", *p, b)
	}
	if u.input != p || u.now == nil {
		return nil, fmt.Errorf("input %s: the value was uploaded for another input, or an earlier run has used it", p.name)
	}
	return u, nil
}

// take returns a buffer that holds v, a value that input returned. It uploads v unless v is an *uploaded.
func (e *executable) take(v any, p port) (buffer, error) {
	if u, ok := v.(*uploaded); ok {
		b := u.now
		u.now = nil
		return b, nil
	}
	b, err := e.on.upload(v, p.shape)
	if err != nil {
		return nil, e.explain(fmt.Errorf("input %s: %w", p.name, err))
	}
	return b, nil
}
