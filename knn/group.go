package knn

import (
	"fmt"
	"math"

	"github.com/blemish/blemish/internal/kernel"
)

// Group is a small set of vectors, such as the patches of a picture, that is as far from a query as its nearest vector. It is for many groups and many
// queries: distances are ‖y‖²-2q·y+‖q‖² in single precision, of which vectors that lie closer than a thousandth of their length keep little.
type Group struct{ sieve *kernel.Sieve }

// NewGroup packs finite vectors (n, dim), at least one, dim a multiple of 4 (zeros behind a vector change nothing).
func NewGroup(vectors []float32, dim int) *Group {
	n := rowsOf(vectors, dim)
	norms := make([]float32, n)
	for i := range norms {
		norms[i] = squaredLength(vectors[i*dim:][:dim])
	}
	return &Group{kernel.NewSieve(vectors, norms, dim)}
}

// Probe is queries prepared to be held against groups. One goroutine at a time may use it.
type Probe struct {
	scaled []float32 // -2q
	norms  []float32
	least  []float32
}

// NewProbe prepares finite queries (n, dim).
func NewProbe(queries []float32, dim int) *Probe {
	n := rowsOf(queries, dim)
	p := &Probe{kernel.Aligned(len(queries)), make([]float32, n), make([]float32, n)}
	for i, v := range queries {
		p.scaled[i] = -2 * v
	}
	for i := range p.norms {
		p.norms[i] = squaredLength(queries[i*dim:][:dim])
	}
	return p
}

// Distances returns the Euclidean distance of each query from the group, of vectors of the same dim, in memory that the probe's next call uses again.
func (g *Group) Distances(p *Probe) []float32 {
	for i := range p.least {
		p.least[i] = float32(math.Inf(1))
	}
	g.sieve.Pass(p.scaled, p.least, func(query, _ int, value float32) { p.least[query] = value })
	for i, v := range p.least {
		p.least[i] = float32(math.Sqrt(float64(max(0, v+p.norms[i]))))
	}
	return p.least
}

func rowsOf(values []float32, dim int) int {
	if dim < 1 || len(values) == 0 || len(values)%dim != 0 {
		panic(fmt.Sprintf("knn: %d values are not vectors of %d", len(values), dim))
	}
	return len(values) / dim
}

func squaredLength(v []float32) float32 {
	sum := 0.0
	for _, x := range v {
		sum += float64(x) * float64(x)
	}
	return float32(sum)
}
