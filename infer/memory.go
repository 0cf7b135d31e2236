package infer

import (
	"sync"

	"github.com/blemish/blemish/internal/kernel"
)

// arenas keeps the memory of finished runs for the next ones.
type arenas struct {
	mu   sync.Mutex
	free [][]float32
}

func (a *arenas) take(size int) []float32 {
	a.mu.Lock()
	defer a.mu.Unlock()
	for i, m := range a.free {
		if len(m) >= size {
			a.free = append(a.free[:i], a.free[i+1:]...)
			return m
		}
	}
	if n := len(a.free); n > 0 { // too small a one makes room
		a.free = a.free[:n-1]
	}
	return kernel.Aligned(size + size/8)
}

func (a *arenas) give(m []float32) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.free = append(a.free, m)
}
