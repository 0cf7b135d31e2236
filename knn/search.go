package knn

import (
	"cmp"
	"math"
	"slices"

	"github.com/blemish/blemish/internal/kernel"
)

// search finds the k nearest vectors to a few queries at a time; it is one goroutine's memory.
//
// Rounded vectors tell which ones may be near: a vector is a candidate as long as the least distance that it can have is not above the k-th least
// of the largest distances that those before it can have. Single precision, then double, decide among the candidates.
type search struct {
	index   *Index
	k       int
	queries []float32 // (len(seekers), width)
	levels  []uint8   // of queries, likewise
	asks    []kernel.Query8
	singles []float32 // or -2 times queries from the centre, likewise
	limits  []float32
	seekers []seeker
	chosen  []neighbour64
	lowers  []float64
	from    []float64 // a query from the centre
}

// seeker is what is known of a query's neighbours.
type seeker struct {
	scale, norm, rest float64   // as of the vectors; see rounded
	uppers            []float64 // the k least distances, at most, so far, ascending; none if every vector is a candidate
	candidates        []possible
	room              int // candidates at which the list is thinned
}

// possible is a vector and the least distance that it can have.
type possible struct {
	lower float64
	index int32
}

func newSearch(x *Index, k, queries int) *search {
	s := &search{index: x, k: k, seekers: make([]seeker, queries), queries: make([]float32, queries*x.width), from: make([]float64, x.dim)}
	if x.rounded.bytes != nil {
		s.levels, s.asks = make([]uint8, queries*x.width), make([]kernel.Query8, queries)
	} else {
		s.singles, s.limits = make([]float32, queries*x.width), make([]float32, queries)
	}
	return s
}

// find writes k neighbours of each query (n, dim), n at most as many as the search was made for.
func (s *search) find(queries []float32, out []Neighbour) {
	x := s.index
	n := len(queries) / x.dim
	for i := range n {
		s.start(i, queries[i*x.dim:][:x.dim])
	}
	switch r := x.rounded; {
	case r.bytes != nil:
		r.bytes.Pass(s.levels[:n*x.width], s.asks[:n], s.addBytes)
	case r.singles != nil:
		r.singles.Pass(s.singles[:n*x.width], s.limits[:n], s.addSingles)
	}
	for i := range n {
		s.decide(i, out[i*s.k:][:s.k])
	}
}

// tooFar is the length of a query, in units of the longest vector, beyond which single precision would overflow.
const tooFar = 1 << 50

func (s *search) start(i int, query []float32) {
	x, r, q := s.index, s.index.rounded, &s.seekers[i]
	copy(s.queries[i*x.width:], query) // zeros behind remain
	q.uppers, q.candidates, q.room = q.uppers[:0], q.candidates[:0], max(q.room, 2*s.k+64)
	if r.bytes != nil {
		q.scale, q.norm, q.rest = r.queryLevels(query, s.levels[i*x.width:][:x.dim], s.from)
		s.asks[i] = kernel.Query8{Limit: float32(math.Inf(-1))}
	} else {
		q.norm, q.rest = r.singlesOf(query, s.singles[i*x.width:][:x.dim], s.from, -2)
		s.limits[i] = float32(math.Inf(-1))
	}
	if r.bytes == nil && r.singles == nil || !(q.norm*r.unit*r.unit < tooFar*tooFar && finite(q.rest)) { // nothing is told apart from there
		if r.bytes == nil {
			clear(s.singles[i*x.width:][:x.dim]) // they may be infinite
		}
		for v := range x.n {
			q.candidates = append(q.candidates, possible{index: int32(v)})
		}
		return
	}
	for range s.k {
		q.uppers = append(q.uppers, math.Inf(1))
	}
	s.ask(i, math.Sqrt(q.norm)+r.longest)
}

// ask asks for the vectors whose rounded distance is at most reach plus their rest. With the square of that written out, the terms of one vector,
// those of one query, and their product stand apart: ‖y‖² - rest² - 2q·y - 2·reach·rest ≤ reach² - ‖q‖².
func (s *search) ask(i int, reach float64) {
	r, q := s.index.rounded, &s.seekers[i]
	reach *= (1 + relative) * r.unit
	norm := q.norm * r.unit * r.unit
	if r.bytes != nil {
		s.asks[i] = kernel.Query8{
			Scale: float32(-2 * q.scale * r.unit),
			Slope: float32(2 * reach * (1 + sieving)),
			Limit: float32(reach*reach - norm + sieving*(reach*reach+norm) + underflow),
		}
		return
	}
	reach += r.mostLeft * r.unit
	s.limits[i] = float32(reach*reach - norm + r.summing()*norm + sieving*(reach*reach+norm) + underflow)
}

// addBytes takes a vector that the sieve let through.
func (s *search) addBytes(query, vector int, sum int32) {
	r, q := s.index.rounded, &s.seekers[query]
	norms := q.norm + r.norms[vector]
	s.add(query, vector, norms-2*q.scale*r.scales[vector]*float64(sum), exact*norms)
}

// exact bounds what a sum of a few float64 products is off by, relative to them.
const exact = 0x1p-48

func (s *search) addSingles(query, vector int, value float32) {
	r, q := s.index.rounded, &s.seekers[query]
	norm, slack, perUnit := r.norms[vector], r.summing(), 1/(r.unit*r.unit)
	s.add(query, vector, q.norm+slack*norm+float64(value)*perUnit, (slack+exact)*(q.norm+norm)+underflow*perUnit)
}

// add takes a vector and the squared distance of what is rounded, which may be off by so much.
func (s *search) add(query, vector int, squared, off float64) {
	q := &s.seekers[query]
	rests := q.rest + s.index.rounded.rests[vector]
	lower := math.Sqrt(max(0, squared-off))*(1-relative) - rests // sums in double precision that round to the same are as near
	upper := math.Sqrt(max(0, squared+off)) + rests
	worst := q.uppers[s.k-1]
	if lower > worst {
		return
	}
	q.candidates = append(q.candidates, possible{lower, int32(vector)})
	if upper < worst {
		at, _ := slices.BinarySearch(q.uppers, upper)
		copy(q.uppers[at+1:], q.uppers[at:])
		q.uppers[at] = upper
		if worst = q.uppers[s.k-1]; !math.IsInf(worst, 1) {
			s.ask(query, worst+q.rest)
		}
	}
	if len(q.candidates) >= q.room {
		q.thin(worst)
		if len(q.candidates) > q.room/2 { // ties and clusters: rounding cannot tell them apart
			q.room *= 2
		}
	}
}

// thin drops candidates that are farther than a distance.
func (q *seeker) thin(limit float64) {
	kept := q.candidates[:0]
	for _, c := range q.candidates {
		if c.lower <= limit {
			kept = append(kept, c)
		}
	}
	q.candidates = kept
}

// decide writes the k nearest candidates, nearest first, lowest index first where distances are equal.
func (s *search) decide(i int, out []Neighbour) {
	x, q := s.index, &s.seekers[i]
	if len(q.uppers) == s.k {
		q.thin(q.uppers[s.k-1])
	}
	// those which promise most come first: they may rule out the others before those are looked at
	s.lowers = s.lowers[:0]
	for _, c := range q.candidates {
		s.lowers = append(s.lowers, c.lower)
	}
	promising := selectKth(s.lowers, s.k-1)
	query := s.queries[i*x.width:][:x.width]
	s.chosen = s.chosen[:0]
	for _, c := range q.candidates {
		if c.lower <= promising {
			s.choose(query, c.index)
		}
	}
	limit := s.kth()
	for _, c := range q.candidates {
		if c.lower > promising && c.lower <= math.Sqrt(limit) {
			s.choose(query, c.index)
		}
	}
	limit = s.kth()
	near := s.chosen[:0]
	for _, c := range s.chosen {
		if !(c.squared > limit) {
			near = append(near, neighbour64{squared(query[:x.dim], x.Vector(int(c.index))), c.index})
		}
	}
	slices.SortFunc(near, func(a, b neighbour64) int {
		return cmp.Or(cmp.Compare(a.squared, b.squared), cmp.Compare(a.index, b.index))
	})
	for j := range out {
		out[j] = Neighbour{int(near[j].index), float32(math.Sqrt(near[j].squared))}
	}
}

func (s *search) choose(query []float32, vector int32) {
	s.chosen = append(s.chosen, neighbour64{float64(kernel.SqDist(query, s.index.row(int(vector)))), vector})
}

// kth is a bound of the k-th least squared distance that single precision has found so far: nothing which it finds farther is among the k nearest.
// A sum of width rounded squares is off by less than (width+3)·2^-24 of itself, and by the least numbers. (Higham, Accuracy and Stability, 3.1)
func (s *search) kth() float64 {
	s.lowers = s.lowers[:0]
	for _, c := range s.chosen {
		s.lowers = append(s.lowers, c.squared)
	}
	width := float64(s.index.width)
	bound := selectKth(s.lowers, s.k-1)*(1+4*(width+4)*0x1p-24) + 4*width*math.SmallestNonzeroFloat32
	if bound > math.MaxFloat32 { // sums may have overflowed
		return math.Inf(1)
	}
	return bound
}
