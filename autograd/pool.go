package autograd

import "github.com/blemish/blemish/internal/kernel"

// pool keeps memory of finished steps for the next ones. A training loop asks for the same sizes again and again, so memory is found by its
// size alone, and after the first step nothing is allocated.
type pool struct {
	free   map[int][][]float32
	index  map[int][][]int32
	values int // allocated in all
}

func size(n int) int { return (n + kernel.Block - 1) / kernel.Block * kernel.Block }

// take returns n values that may be anything.
func (p *pool) take(n int) []float32 {
	free := p.free[size(n)]
	if k := len(free); k > 0 {
		b := free[k-1]
		p.free[size(n)] = free[:k-1]
		return b[:n]
	}
	p.values += size(n)
	return kernel.Aligned(size(n) + kernel.Slack)[:n] // convolutions read on
}

func (p *pool) give(b []float32) {
	if p.free == nil {
		p.free = map[int][][]float32{}
	}
	p.free[size(len(b))] = append(p.free[size(len(b))], b)
}

func (p *pool) takeIndex(n int) []int32 {
	free := p.index[n]
	if k := len(free); k > 0 {
		p.index[n] = free[:k-1]
		return free[k-1]
	}
	p.values += n
	return make([]int32, n)
}

func (p *pool) giveIndex(b []int32) {
	if p.index == nil {
		p.index = map[int][][]int32{}
	}
	p.index[len(b)] = append(p.index[len(b)], b)
}
