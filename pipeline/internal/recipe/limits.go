package recipe

import (
	"math"
	"strings"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/goccy/go-yaml/ast"
)

// Retries says how often a step is tried again after a temporary failure.
type Retries struct {
	Limit   int           // attempts after the first one
	Backoff time.Duration // pause before the first retry
}

// Resources are what a step uses while it runs. Fields that a recipe leaves out are 0.
type Resources struct {
	Cores  int
	Memory int64 // bytes
	GPUs   int
}

// maxRetries limits Retries.Limit, because a failure that repeats this often is not temporary.
const maxRetries = 100

// defaultBackoff is long enough for a store or a machine to come back, and short compared with a training.
const defaultBackoff = 30 * time.Second

func (n node) retries() (r Retries, err error) {
	entries, err := n.mapping("retries", "limit", "backoff")
	if err != nil {
		return r, err
	}
	r.Backoff = defaultBackoff
	for _, e := range entries {
		switch e.key {
		case "limit":
			r.Limit, err = e.value.whole("limit of retries", 1, maxRetries)
		case "backoff":
			r.Backoff, err = e.value.duration("backoff of retries", 0)
		}
		if err != nil {
			return r, err
		}
	}
	if r.Limit == 0 {
		return r, Error(n.pos, "for example retries: {limit: 3, backoff: 30s}", "retries need a limit")
	}
	return r, nil
}

func (n node) resources() (r Resources, err error) {
	entries, err := n.mapping("resources", "cores", "memory", "gpus")
	if err != nil {
		return r, err
	}
	for _, e := range entries {
		switch e.key {
		case "cores":
			r.Cores, err = e.value.whole("cores", 1, math.MaxInt32)
		case "memory":
			r.Memory, err = e.value.bytes("memory")
		case "gpus":
			r.GPUs, err = e.value.whole("gpus", 0, math.MaxInt32)
		}
		if err != nil {
			return r, err
		}
	}
	return r, nil
}

// bytes reads a size with a unit, such as 4GiB or 500MB.
func (n node) bytes(what string) (int64, error) {
	text := n.scalar()
	size, err := humanize.ParseBytes(text)
	if err != nil || size < 1 || size > math.MaxInt64 || !strings.HasSuffix(strings.ToUpper(text), "B") {
		return 0, Error(n.pos, "a number and a unit, such as 4GiB or 500MB", "%s cannot be %s", what, n.shown())
	}
	return int64(size), nil
}

// duration reads a duration such as 90s or 1h30m, which must not be shorter than least.
func (n node) duration(what string, least time.Duration) (time.Duration, error) {
	d, err := time.ParseDuration(n.scalar())
	if err != nil || d < least {
		return 0, Error(n.pos, "a number and a unit, such as 90s, 15m or 1h30m", "%s cannot be %s", what, n.shown())
	}
	return d, nil
}

// whole reads a whole number from least to most.
func (n node) whole(what string, least, most int64) (int, error) {
	v, err := n.plain(0)
	if err != nil {
		return 0, err
	}
	i, ok := v.(int64)
	if !ok || i < least || i > most {
		return 0, Error(n.pos, "", "%s must be a whole number from %d to %d, not %s", what, least, most, n.shown())
	}
	return int(i), nil
}

// scalar returns the text of a scalar as written, or "" for anything else.
func (n node) scalar() string {
	if _, list := n.ast.(*ast.SequenceNode); list {
		return ""
	}
	return n.argument()
}

// shown returns the value for a message.
func (n node) shown() string {
	if text := n.scalar(); text != "" {
		return text
	}
	return "this value"
}
