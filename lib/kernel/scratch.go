package kernel

import (
	"sync"
	"unsafe"
)

// scratch is working memory that kernels share: they run one after the other, so they do not need separate memory. At
// construction, a kernel announces how much memory it will take. Every buffer is made large enough for all kernels, so
// nothing is allocated in steady state.
type scratch[T Float] struct {
	mu   sync.Mutex
	size int // elements in the largest announced request
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

// take fills bufs with buffers of at least n elements each, with arbitrary content.
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

// give returns the buffers for reuse and sets bufs to nil slices.
func (s *scratch[T]) give(bufs [][]T) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.free = append(s.free, bufs...)
	clear(bufs)
}

// padded makes a slice that shares no cache line with other memory. This prevents false sharing: two cores that write
// to different parts of one line pass the line back and forth at every write.
func padded[E any](n int) []E {
	const line = 128 // bytes: processors fetch lines of 64 in pairs
	margin := line/int(unsafe.Sizeof(*new(E))) + 1
	return make([]E, n+2*margin)[margin : n+margin : n+margin]
}
