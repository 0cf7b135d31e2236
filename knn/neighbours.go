package knn

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"slices"

	"github.com/blemish/blemish/internal/kernel"
	"github.com/blemish/blemish/internal/parallel"
)

// Rows is a set of float64 vectors that can be searched for the k nearest of many queries at once. It is immutable and safe for concurrent use.
//
// The expansion ‖y‖²-2q·y, in float32 on the matrix kernels, only shortlists; distances are float64 differences of the rows as they were given,
// and they decide. What is left out of the shortlist is farther than the k-th nearest for certain: see slack.
type Rows struct {
	n, dim int
	width  int       // dim, padded to a multiple of 4
	rows   []float64 // (n, dim), the caller's
	centre []float64 // subtracted before single precision: it keeps norms, and so rounding, small
	scale  float64   // a power of two that makes the longest centred row shorter than 1
	norms  []float64 // ‖y‖² of centred, scaled rows
	slack  float64   // a squared distance is off by less than slack·(‖q‖²+‖y‖²)
	sieve  *kernel.Sieve
}

const (
	queriesAtOnce = 384 // or fewer, if so many do not fit the second cache
	// farAway is the length of a scaled query for which single precision tells nothing about rows shorter than 1.
	farAway = 1 << 40
)

// NewRows prepares n finite rows of dim values, which it keeps; they must not change.
func NewRows(rows []float64, dim int) *Rows {
	if dim < 1 || len(rows) == 0 || len(rows)%dim != 0 {
		panic(fmt.Sprintf("knn: %d values are not rows of %d", len(rows), dim))
	}
	x := &Rows{n: len(rows) / dim, dim: dim, width: (dim + 3) / 4 * 4, rows: rows, centre: make([]float64, dim), scale: 1}
	for i := range x.n {
		for j, v := range x.row(i) {
			x.centre[j] += v / float64(x.n)
		}
	}
	x.norms = make([]float64, x.n)
	largest := 0.0
	for i := range x.n {
		for j, v := range x.row(i) {
			largest = max(largest, math.Abs(v-x.centre[j]))
		}
	}
	if largest > 0 {
		_, exponent := math.Frexp(largest * math.Sqrt(float64(dim)))
		x.scale = math.Ldexp(1, -exponent)
	}
	// A float32 sum of dim+1 products whose absolute values add up to at most (‖q‖+‖y‖)² ≤ 2(‖q‖²+‖y‖²) is off by at most γ = (dim+2)u/(1-(dim+2)u)
	// of that, u = 2^-24; rounding the rows to float32 adds 2u+u², rounding ‖y‖² another u. (Higham, Accuracy and Stability, 3.1)
	x.slack = 2 * (1.1*float64(dim) + 8) * 0x1p-24
	x.pack()
	return x
}

func (x *Rows) row(i int) []float64 { return x.rows[i*x.dim:][:x.dim] }

// pack gives the sieve the rows and, as constants, ‖y‖² less its share of the slack: values for -2q bound squared distances, less ‖q‖², from below.
func (x *Rows) pack() {
	vectors, constants := make([]float32, x.n*x.width), make([]float32, x.n)
	for i := range x.n {
		to := vectors[i*x.width:][:x.dim]
		for j, v := range x.row(i) {
			v = (v - x.centre[j]) * x.scale
			x.norms[i] += v * v
			to[j] = float32(v)
		}
		constants[i] = float32(x.norms[i] * (1 - x.slack))
	}
	x.sieve = kernel.NewSieve(vectors, constants, x.width)
}

// Len is the number of rows.
func (x *Rows) Len() int { return x.n }

// Near is k neighbours of each query, nearest first, lowest index first where distances are equal.
type Near struct {
	K        int
	Index    []int32   // (queries, K)
	Distance []float64 // (queries, K)
}

// Nearest finds the k nearest rows to each query (queries, dim); 1 ≤ k ≤ Len.
func (x *Rows) Nearest(ctx context.Context, queries []float64, k, workers int) (Near, error) {
	if len(queries)%x.dim != 0 || k < 1 || k > x.n {
		panic(fmt.Sprintf("knn: %d nearest of %d rows for %d values, rows of %d", k, x.n, len(queries), x.dim))
	}
	return x.search(ctx, queries, k, workers, func(int) int { return -1 })
}

// Others finds the k nearest other rows to each row, by position: a duplicate is another row; 1 ≤ k < Len.
func (x *Rows) Others(ctx context.Context, k, workers int) (Near, error) {
	if k < 1 || k >= x.n {
		panic(fmt.Sprintf("knn: %d nearest others among %d rows", k, x.n))
	}
	return x.search(ctx, x.rows, k, workers, func(query int) int { return query })
}

// search leaves out the row that skip names for a query.
func (x *Rows) search(ctx context.Context, queries []float64, k, workers int, skip func(query int) int) (Near, error) {
	n := len(queries) / x.dim
	near := Near{K: k, Index: make([]int32, n*k), Distance: make([]float64, n*k)}
	together := min(queriesAtOnce, max(1<<16/x.width, 12))
	tasks := (n + together - 1) / together
	workers = max(1, min(parallel.Workers(workers), tasks))
	lanes := make([]*shortlister, workers)
	parallel.ForWorker(workers, tasks, func(w, task int) {
		if ctx.Err() != nil {
			return
		}
		if lanes[w] == nil {
			lanes[w] = newShortlister(x, k, together)
		}
		s := lanes[w]
		first := task * together
		count := min(together, n-first)
		s.start(queries[first*x.dim:][:count*x.dim], first, skip)
		x.sieve.Pass(s.queries[:count*x.width], s.limits, s.add)
		for i := range count {
			s.decide(i, near.Index[(first+i)*k:][:k], near.Distance[(first+i)*k:][:k])
		}
	})
	return near, ctx.Err()
}

// candidate is a row and the lower bound of its squared distance, less ‖q‖².
type candidate struct {
	bound float32
	index int32
}

// shortlist is a query's candidates so far.
type shortlist struct {
	query      []float64
	norm       float64 // ‖q‖² of the centred, scaled query
	skip       int32
	candidates []candidate
	room       int // candidates at which the list is thinned
}

// shortlister is one goroutine's memory.
type shortlister struct {
	rows    *Rows
	k       int
	lists   []shortlist
	queries []float32 // (len(lists), width): -2q
	limits  []float32 // of each query: no row with a greater bound is among the k nearest
	upper   []float64
	found   []neighbour64
}

type neighbour64 struct {
	squared float64
	index   int32
}

func newShortlister(x *Rows, k, queries int) *shortlister {
	return &shortlister{
		rows: x, k: k, lists: make([]shortlist, queries), queries: kernel.Aligned(queries * x.width), limits: make([]float32, queries),
	}
}

func (s *shortlister) start(queries []float64, first int, skip func(int) int) {
	x := s.rows
	s.lists = s.lists[:len(queries)/x.dim]
	s.limits = s.limits[:len(s.lists)]
	for i := range s.lists {
		l := &s.lists[i]
		*l = shortlist{
			query: queries[i*x.dim:][:x.dim], skip: int32(skip(first + i)),
			candidates: l.candidates[:0], room: max(l.room, 2*s.k+16),
		}
		s.limits[i] = float32(math.Inf(1))
		to := s.queries[i*x.width:][:x.width]
		for j, v := range l.query {
			v = (v - x.centre[j]) * x.scale
			l.norm += v * v
			to[j] = float32(-2 * v)
		}
		if !(l.norm < farAway*farAway) {
			clear(to)
			l.norm = math.Inf(1) // every row is a candidate
		}
	}
}

// add takes a row whose bound is at most the query's limit.
func (s *shortlister) add(query, row int, bound float32) {
	l := &s.lists[query]
	if int32(row) == l.skip {
		return
	}
	l.candidates = append(l.candidates, candidate{bound, int32(row)})
	if len(l.candidates) >= l.room {
		s.thin(query)
		if len(l.candidates) > l.room/2 { // ties and clusters: rounding cannot tell them apart
			l.room *= 2
		}
	}
}

// thin lowers the limit to the k-th smallest upper bound, and drops what is above it.
func (s *shortlister) thin(query int) {
	x, l := s.rows, &s.lists[query]
	if math.IsInf(l.norm, 1) || len(l.candidates) < s.k {
		return
	}
	s.upper = s.upper[:0]
	for _, c := range l.candidates {
		s.upper = append(s.upper, float64(c.bound)+2*x.slack*x.norms[c.index])
	}
	least := selectKth(s.upper, s.k-1) + 2*x.slack*l.norm
	limit := math.Nextafter32(float32(least), float32(math.Inf(1)))
	s.limits[query] = limit
	kept := l.candidates[:0]
	for _, c := range l.candidates {
		if c.bound <= limit {
			kept = append(kept, c)
		}
	}
	l.candidates = kept
}

// decide compares the candidates by direct subtraction.
func (s *shortlister) decide(query int, index []int32, distance []float64) {
	s.thin(query)
	l := &s.lists[query]
	s.found = s.found[:0]
	for _, c := range l.candidates {
		s.found = append(s.found, neighbour64{squared(l.query, s.rows.row(int(c.index))), c.index})
	}
	slices.SortFunc(s.found, func(a, b neighbour64) int {
		if c := cmp.Compare(a.squared, b.squared); c != 0 {
			return c
		}
		return cmp.Compare(a.index, b.index)
	})
	for i := range index {
		index[i], distance[i] = s.found[i].index, math.Sqrt(s.found[i].squared)
	}
}

// squared is ‖a-b‖². Conversions keep Go from fusing products with sums where the processor can: it is the same everywhere.
func squared[T float32 | float64](a, b []T) float64 {
	b = b[:len(a)]
	var s0, s1, s2, s3 float64
	i := 0
	for ; i+4 <= len(a); i += 4 {
		d0, d1 := float64(a[i])-float64(b[i]), float64(a[i+1])-float64(b[i+1])
		d2, d3 := float64(a[i+2])-float64(b[i+2]), float64(a[i+3])-float64(b[i+3])
		s0 += float64(d0 * d0)
		s1 += float64(d1 * d1)
		s2 += float64(d2 * d2)
		s3 += float64(d3 * d3)
	}
	for ; i < len(a); i++ {
		d := float64(a[i]) - float64(b[i])
		s0 += float64(d * d)
	}
	return s0 + s1 + (s2 + s3)
}

// selectKth returns the value that sorting would put at position k, and reorders v.
func selectKth(v []float64, k int) float64 {
	lo, hi := 0, len(v)-1
	for lo < hi {
		pivot := v[lo+(hi-lo)/2]
		i, j := lo, hi
		for i <= j {
			for v[i] < pivot {
				i++
			}
			for v[j] > pivot {
				j--
			}
			if i <= j {
				v[i], v[j] = v[j], v[i]
				i++
				j--
			}
		}
		switch {
		case k <= j:
			hi = j
		case k >= i:
			lo = i
		default:
			return v[k]
		}
	}
	return v[lo]
}
