package contract

import (
	"fmt"
	"strconv"
	"strings"
)

// Shard is one worker's share of a run that several workers compute together: share I of N, counted from 1. A worker
// runs the command shard of the stage, which saves the results of its share in the store. Then the command run with
// --sharded takes the results of all shards and writes the outputs. It computes what is missing, so the outputs never
// depend on the workers.
type Shard struct{ I, N int }

// MaxShards is the largest number of workers.
const MaxShards = 10000

func (s Shard) String() string { return fmt.Sprintf("%d/%d", s.I, s.N) }

// UnmarshalText implements encoding.TextUnmarshaler.
func (s *Shard) UnmarshalText(text []byte) error {
	a, b, ok := strings.Cut(string(text), "/")
	i, err1 := strconv.Atoi(a)
	n, err2 := strconv.Atoi(b)
	if !ok || err1 != nil || err2 != nil || i < 1 || i > n || n > MaxShards {
		return fmt.Errorf("want i/n with 1 <= i <= n <= %d, such as 2/4, got %q", MaxShards, text)
	}
	*s = Shard{i, n}
	return nil
}

// Owns reports whether part i of the run, counted from 0, belongs to the shard.
func (s Shard) Owns(i int) bool { return i%s.N == s.I-1 }
