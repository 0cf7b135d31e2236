package kernel

import (
	"math"
	"math/bits"
	"unsafe"
)

// Sieve is a set of vectors y, each with a constant c, packed for finding the few of them whose c + q·y is small for a query q.
type Sieve struct {
	n, dim    int
	set       *set
	weights   []float32 // in groups of columns, as a tile reads them
	constants []float32 // 0 beyond the last vector
}

// NewSieve packs vectors (len(constants), dim), dim a multiple of 4.
func NewSieve(vectors, constants []float32, dim int) *Sieve {
	n := len(constants)
	if dim < 4 || dim%4 != 0 || len(vectors) != n*dim {
		panic("kernel: NewSieve of vectors that do not fit their constants, or of a length that is no multiple of 4")
	}
	s := &Sieve{n: n, dim: dim, set: use()}
	columns := roundUp(n, Block)
	s.weights, s.constants = aligned(columns*dim), aligned(columns)
	copy(s.constants, constants)
	group := s.set.blocks * Block
	for first := 0; first < n; first += group {
		width := min(group, columns-first)
		to := s.weights[first*dim:][:width*dim]
		for j := range min(width, n-first) {
			for i, v := range vectors[(first+j)*dim:][:dim] {
				to[i*width+j] = v
			}
		}
	}
	return s
}

// Pass calls hit for every query, of (len(limits), Dim), and vector whose value c + q·y is at most the query's limit; hit may lower limits. Each
// query meets the vectors in their order. All values are sums in one order, whatever the queries beside them.
func (s *Sieve) Pass(queries, limits []float32, hit func(query, vector int, value float32)) {
	if len(queries) != len(limits)*s.dim {
		panic("kernel: Pass of queries that do not fit their limits")
	}
	var out [2][maxPixels * Block]float32
	offset := int64(0)
	inf := float32(math.Inf(1))
	a := tileArgs{
		offsets: &offset, steps: 1, quads: s.dim / 4, out0: unsafe.Pointer(&out[0]), out1: unsafe.Pointer(&out[1]),
		stride: 4 * s.dim, lo: -inf, hi: inf, pitch: 4 * Block,
	}
	widest := s.set.tiles[len(s.set.tiles)-1]
	for first := 0; first < s.n; first += s.set.blocks * Block {
		blocks := min(s.set.blocks, (len(s.constants)-first)/Block)
		a.weights, a.bias = &s.weights[first*s.dim], &s.constants[first]
		for query := 0; query < len(limits); {
			tile := widest
			if left := len(limits) - query; left < 2*widest.pixels {
				tile = s.set.tileFor(left)
			}
			a.in = unsafe.Pointer(&queries[query*s.dim])
			tile.run[blocks-1](&a)
			for b := range blocks {
				for some := s.set.atMost(&out[b][0], &limits[query], tile.pixels); some != 0; some &= some - 1 {
					p := bits.TrailingZeros64(some)
					s.sift((*[Block]float32)(out[b][p*Block:]), limits, query+p, first+b*Block, hit)
				}
			}
			query += tile.pixels
		}
	}
}

func (s *Sieve) sift(values *[Block]float32, limits []float32, query, first int, hit func(query, vector int, value float32)) {
	for i, v := range values[:min(Block, s.n-first)] {
		if v <= limits[query] {
			hit(query, first+i, v)
		}
	}
}

// atMostGeneric sets bit r where one of the 16 values of row r is at most limits[r], of up to 64 rows.
func atMostGeneric(values, limits *float32, rows int) uint64 {
	var mask uint64
	for r, limit := range unsafe.Slice(limits, rows) {
		v := (*[Block]float32)(floats(unsafe.Add(unsafe.Pointer(values), r*4*Block), Block))
		if v[0] <= limit || v[1] <= limit || v[2] <= limit || v[3] <= limit || v[4] <= limit || v[5] <= limit || v[6] <= limit || v[7] <= limit ||
			v[8] <= limit || v[9] <= limit || v[10] <= limit || v[11] <= limit || v[12] <= limit || v[13] <= limit || v[14] <= limit || v[15] <= limit {
			mask |= 1 << r
		}
	}
	return mask
}
