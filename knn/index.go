// Package knn finds exact nearest neighbours by Euclidean distance, and greedy k-centre subsets, without ever storing a matrix of distances.
package knn

import (
	"context"
	"fmt"

	"github.com/blemish/blemish/internal/kernel"
	"github.com/blemish/blemish/internal/parallel"
)

// Index is a set of finite vectors that can be searched. It is immutable and safe for concurrent use.
type Index struct {
	n, dim  int
	width   int // dim, padded for the kernels
	vectors []float32
	rounded *rounded
}

// NewIndex copies n vectors of dim values, row by row.
func NewIndex(vectors []float32, dim int) *Index {
	if dim < 1 || len(vectors) == 0 || len(vectors)%dim != 0 {
		panic(fmt.Sprintf("knn: %d values are not vectors of %d", len(vectors), dim))
	}
	return newIndex(vectors, dim, kernel.FastBytes())
}

func newIndex(vectors []float32, dim int, toBytes bool) *Index {
	x := &Index{n: len(vectors) / dim, dim: dim, width: kernel.Dim(dim)}
	x.vectors = pad(vectors, dim, x.width)
	x.rounded = newRounded(x.vectors, dim, x.width, toBytes)
	return x
}

// pad copies rows of dim values into rows of width, zeros behind.
func pad(vectors []float32, dim, width int) []float32 {
	n := len(vectors) / dim
	out := kernel.Aligned(n * width)
	for i := range n {
		copy(out[i*width:], vectors[i*dim:][:dim])
	}
	return out
}

func (x *Index) row(i int) []float32 { return x.vectors[i*x.width:][:x.width] }

// Len is the number of vectors.
func (x *Index) Len() int { return x.n }

// Neighbour is a vector of the index and its distance from a query.
type Neighbour struct {
	Index    int
	Distance float32
}

// queriesATask is how many queries a goroutine takes to the vectors at most: many, since vectors are read once for all of them.
const queriesATask = 168

// Nearest finds the nearest vector to each query, row by row; the one of lowest index where several are equally near, in double precision. The result
// is the same on every instruction set. Values that are not finite are refused.
// Cost: n·dim products of bytes per query, and direct subtraction for the few vectors among which bytes cannot decide.
func (x *Index) Nearest(ctx context.Context, queries []float32, workers int) ([]Neighbour, error) {
	return x.NearestK(ctx, queries, 1, workers)
}

// NearestK finds the k nearest vectors to each query (queries, k), as Nearest does; nearest first, lowest index first where distances are equal.
func (x *Index) NearestK(ctx context.Context, queries []float32, k, workers int) ([]Neighbour, error) {
	if len(queries)%x.dim != 0 || k < 1 || k > x.n {
		panic(fmt.Sprintf("knn: %d nearest of %d vectors for %d values, vectors of %d", k, x.n, len(queries), x.dim))
	}
	if x.rounded.nonFinite >= 0 {
		return nil, fmt.Errorf("vector %d of %d to search has values that are not finite", x.rounded.nonFinite, x.n)
	}
	if i := firstNonFinite(queries); i >= 0 {
		return nil, fmt.Errorf("query %d of %d has value %v: only finite ones have neighbours", i/x.dim, len(queries)/x.dim, queries[i])
	}
	n := len(queries) / x.dim
	out := make([]Neighbour, n*k)
	workers = parallel.Workers(workers)
	rounds := (n + workers*queriesATask - 1) / (workers * queriesAtOnce)
	tasks := max(1, rounds*workers) // all workers have as many
	together := (n + tasks - 1) / tasks
	searches := make([]*search, workers)
	parallel.ForWorker(workers, tasks, func(w, task int) {
		first, last := min(task*together, n), min((task+1)*together, n)
		if ctx.Err() != nil || first == last {
			return
		}
		if searches[w] == nil {
			searches[w] = newSearch(x, k, together)
		}
		searches[w].find(queries[first*x.dim:last*x.dim], out[first*k:last*k])
	})
	return out, ctx.Err()
}

func firstNonFinite(v []float32) int {
	for i, f := range v {
		if f-f != 0 {
			return i
		}
	}
	return -1
}

// Neighbours finds the k nearest vectors to one finite query, or all if there are fewer; nearest first, lowest index first where distances are equal.
func (x *Index) Neighbours(query []float32, k int) []Neighbour {
	k = min(k, x.n)
	out := make([]Neighbour, k)
	newSearch(x, k, 1).find(query[:x.dim], out)
	return out
}

// Vector returns vector i.
func (x *Index) Vector(i int) []float32 { return x.row(i)[:x.dim] }
