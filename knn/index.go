// Package knn finds exact nearest neighbours by Euclidean distance, and greedy k-centre subsets, without ever storing a matrix of distances.
package knn

import (
	"context"
	"fmt"
	"math"

	"github.com/blemish/blemish/internal/kernel"
	"github.com/blemish/blemish/internal/parallel"
)

// Index is a set of vectors that can be searched. It is immutable and safe for concurrent use.
type Index struct {
	n, dim  int
	width   int // dim, padded for the kernels
	vectors []float32
	bank    *kernel.Bank
	maxNorm float64 // largest ‖y‖
}

// chunk is how many vectors share one running minimum: small enough to search again, large enough to be cheap to keep.
const chunk = 128

// NewIndex copies n vectors of dim values, row by row.
func NewIndex(vectors []float32, dim int) *Index {
	if dim < 1 || len(vectors) == 0 || len(vectors)%dim != 0 {
		panic(fmt.Sprintf("knn: %d values are not vectors of %d", len(vectors), dim))
	}
	x := &Index{n: len(vectors) / dim, dim: dim, width: kernel.Dim(dim)}
	x.vectors = pad(vectors, dim, x.width)
	x.bank = kernel.NewBank(x.vectors, x.width)
	for i := range x.n {
		x.maxNorm = max(x.maxNorm, norm(x.row(i)))
	}
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

func norm(v []float32) float64 {
	sum := 0.0
	for _, x := range v {
		sum += float64(x) * float64(x)
	}
	return math.Sqrt(sum)
}

func (x *Index) row(i int) []float32 { return x.vectors[i*x.width:][:x.width] }

// Len is the number of vectors.
func (x *Index) Len() int { return x.n }

// Neighbour is a vector of the index and its distance from a query.
type Neighbour struct {
	Index    int
	Distance float32
}

// Nearest finds the nearest vector to each query, row by row; the one of lowest index where several are equally near.
// Cost: n·dim products per query, on the matrix kernels.
//
// The expansion ‖y‖²-2q·y only shortlists: it loses digits where distances are small against norms. A chunk of vectors can hold the nearest one only
// if its minimum is within the expansion's rounding error of the best; those chunks are searched again by direct subtraction, which decides.
func (x *Index) Nearest(ctx context.Context, queries []float32, workers int) ([]Neighbour, error) {
	if len(queries)%x.dim != 0 {
		panic(fmt.Sprintf("knn: %d values are not queries of %d", len(queries), x.dim))
	}
	out := make([]Neighbour, len(queries)/x.dim)
	group := x.bank.Queries()
	tasks := (len(out) + group - 1) / group
	chunks := (x.n + chunk - 1) / chunk
	parallel.ForWorker(workers, tasks, func(_, task int) {
		if ctx.Err() != nil {
			return
		}
		first := task * group
		count := min(group, len(out)-first)
		q := pad(queries[first*x.dim:][:count*x.dim], x.dim, x.width)
		mins := make([]float32, chunks*count)
		for c := range chunks {
			x.bank.Minima(q, c*chunk, min((c+1)*chunk, x.n), mins[c*count:][:count])
		}
		for i := range count {
			out[first+i] = x.decide(q[i*x.width:][:x.width], mins[i:], count)
		}
	})
	return out, ctx.Err()
}

// decide searches the chunks that may hold the nearest vector; mins[c·stride] is chunk c's smallest expansion.
func (x *Index) decide(q []float32, mins []float32, stride int) Neighbour {
	best := float32(math.Inf(1))
	for c := 0; c < len(mins); c += stride {
		best = min(best, mins[c])
	}
	// A float32 sum of width+1 terms whose absolute values add up to at most (‖q‖+‖y‖)² is off by at most (width+1)·2^-24 of that, and the
	// rounding of its norm by 2^-24 more; twice that separates two such sums for certain. (Higham, Accuracy and Stability, 3.1)
	reach := norm(q) + x.maxNorm
	slack := float32(2 * float64(x.width+2) * 0x1p-24 * reach * reach)
	found := Neighbour{Index: -1, Distance: float32(math.Inf(1))}
	for c := 0; c < len(mins); c += stride {
		if mins[c] > best+slack {
			continue
		}
		first := c / stride * chunk
		for i := first; i < min(first+chunk, x.n); i++ {
			if d := kernel.SqDist(q, x.row(i)); d < found.Distance || found.Index < 0 {
				found = Neighbour{i, d}
			}
		}
	}
	found.Distance = float32(math.Sqrt(float64(found.Distance)))
	return found
}

// Neighbours finds the k nearest vectors to one query, nearest first, lowest index first where distances are equal, by direct subtraction.
func (x *Index) Neighbours(query []float32, k int) []Neighbour {
	q := pad(query, x.dim, x.width)
	k = min(k, x.n)
	out := make([]Neighbour, 0, k+1)
	for i := range x.n {
		d := kernel.SqDist(q, x.row(i))
		if len(out) == k && d >= out[k-1].Distance {
			continue
		}
		at := len(out)
		for at > 0 && out[at-1].Distance > d {
			at--
		}
		out = append(out[:at], append([]Neighbour{{i, d}}, out[at:]...)...)
		out = out[:min(k, len(out))]
	}
	for i := range out {
		out[i].Distance = float32(math.Sqrt(float64(out[i].Distance)))
	}
	return out
}

// Vector returns vector i.
func (x *Index) Vector(i int) []float32 { return x.row(i)[:x.dim] }
