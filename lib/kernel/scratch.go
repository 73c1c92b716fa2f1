package kernel

import (
	"sync"
	"unsafe"
)

// scratch is working memory that kernels share: a program's kernels run one after the other, so what each needs while
// it runs need not be held by all of them. A kernel states at construction how much it will ask for; buffers are made
// that large at once, so that steady state allocates nothing.
type scratch[T Float] struct {
	mu   sync.Mutex
	size int // of the largest request there can be
	free [][]T
}

var (
	scratch32 scratch[float32]
	scratch64 scratch[float64]
)

func scratchOf[T Float]() *scratch[T] {
	if s, ok := any(&scratch32).(*scratch[T]); ok {
		return s
	}
	return any(&scratch64).(*scratch[T])
}

// reserve announces requests of up to n elements.
func (s *scratch[T]) reserve(n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.size = max(s.size, n)
}

// take fills bufs with buffers of at least n elements each, whose content is arbitrary.
func (s *scratch[T]) take(bufs [][]T, n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range bufs {
		bufs[i] = nil
		if last := len(s.free) - 1; last >= 0 {
			bufs[i], s.free[last], s.free = s.free[last], nil, s.free[:last]
		}
		if len(bufs[i]) < n {
			bufs[i] = make([]T, max(n, s.size))
		}
	}
}

// give takes buffers back.
func (s *scratch[T]) give(bufs [][]T) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.free = append(s.free, bufs...)
	clear(bufs)
}

// padded makes a slice that shares no cache line with another: two cores that write to one line, each to its own part
// of it, pass it back and forth at every write (false sharing).
func padded[E any](n int) []E {
	const line = 128 // bytes; processors fetch lines of 64 in pairs
	margin := line/int(unsafe.Sizeof(*new(E))) + 1
	return make([]E, n+2*margin)[margin : n+margin : n+margin]
}
