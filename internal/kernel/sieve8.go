package kernel

import (
	"math"
	"math/bits"
	"unsafe"

	"github.com/blemish/blemish/internal/parallel"
)

// Sieve8 is a set of vectors, rounded to bytes, packed for finding the few of them that may lie near a query. It looks at four times as many products
// in an instruction as Sieve does, and its sums are exact.
type Sieve8 struct {
	n, dim            int
	set               *int8Set
	weights           []uint8 // of 16 vectors at a time, (dim/4, 16, 4)
	bias              []int32 // what LevelMid adds to sums, less
	offsets           []int64 // of steps
	counts            [1]int64
	scale, base, rest []float32 // base +Inf beyond the last vector
}

const (
	ByteTop  = 127          // the largest byte of a vector
	LevelTop = 126          // the largest level of a query
	LevelMid = LevelTop / 2 // the level that stands for 0
	byteQuad = 4            // values a step

	// Sums of products stay in 16 bits for 16 values, of which each 16-bit lane takes every other pair. Scale8 makes bytes so small that they fit.
	laneTop = (1<<15 - 1) / LevelTop

	queriesAtOnce8 = 42        // whose levels stay in the innermost cache beside a block of vectors
	cached8        = 128 << 10 // bytes of vectors that stay in the second one while all queries pass
)

// FastBytes says whether Sieve8 is faster than Sieve here: where it has assembly.
func FastBytes() bool { return use8().fast }

// Scale8 is the least scale, if bytes are a vector's values by their scale, rounded to the nearest, that makes them fit NewSieve8.
func Scale8(v []float64) float64 {
	const most = laneTop - Block/4.0 // each of a lane's 8 values may be rounded by a half
	largest, fullest := 0.0, 0.0
	for ; len(v) > 0; v = v[min(Block, len(v)):] {
		var sum, size [2]float64
		for i, f := range v[:min(Block, len(v))] {
			lane, abs := i/2%2, math.Abs(f)
			sum[lane] += f
			size[lane] += abs
			if abs > largest {
				largest = abs
			}
		}
		for lane, size := range size { // twice what is above 0, or below
			if twice := size + math.Abs(sum[lane]); twice > fullest {
				fullest = twice
			}
		}
	}
	return max(largest/ByteTop, fullest/(2*most))
}

// Query8 says which vectors a query asks for: those with base + Scale·scale·(level-LevelMid)·bytes - Slope·rest ≤ Limit.
// The assembly knows this layout.
type Query8 struct{ Scale, Slope, Limit float32 }

// Rounded8 are vectors as NewSieve8 takes them: Bytes (n, dim), which fit as Scale8 says, and three constants for each.
type Rounded8 struct {
	Bytes             []int8
	Scale, Base, Rest []float32
}

// NewSieve8 packs vectors of dim bytes, a multiple of 16.
func NewSieve8(v Rounded8, dim int) *Sieve8 {
	n := len(v.Scale)
	if dim < Block || dim%Block != 0 || len(v.Bytes) != n*dim || len(v.Base) != n || len(v.Rest) != n {
		panic("kernel: NewSieve8 of vectors that do not fit their constants, or of a length that is no multiple of 16")
	}
	columns := roundUp(n, Block)
	s := &Sieve8{n: n, dim: dim, set: use8(), counts: [1]int64{int64(dim / byteQuad)}}
	for at := 0; at < dim; at += byteQuad {
		s.offsets = append(s.offsets, int64(at))
	}
	s.weights, s.bias = BytesOf(aligned(columns*dim/4)), make([]int32, columns)
	s.scale, s.base, s.rest = aligned(columns), aligned(columns), aligned(columns)
	copy(s.scale, v.Scale)
	copy(s.base, v.Base)
	copy(s.rest, v.Rest)
	for i := n; i < columns; i++ {
		s.base[i] = float32(math.Inf(1))
	}
	const together = 16 * Block
	parallel.For(0, (n+together-1)/together, func(task int) {
		for i := task * together; i < min(n, (task+1)*together); i++ {
			s.pack(i, v.Bytes[i*dim:][:dim])
		}
	})
	return s
}

// pack writes vector i among its 16.
func (s *Sieve8) pack(i int, bytes []int8) {
	to := s.weights[i/Block*Block*s.dim+i%Block*byteQuad:]
	sum := int32(0)
	for at := 0; at+byteQuad <= len(bytes); at += byteQuad {
		quad, w := bytes[at:at+byteQuad:at+byteQuad], to[at*Block:][:byteQuad]
		w[0], w[1], w[2], w[3] = uint8(quad[0]), uint8(quad[1]), uint8(quad[2]), uint8(quad[3])
		sum += int32(quad[0]) + int32(quad[1]) + int32(quad[2]) + int32(quad[3])
	}
	s.bias[i] = -LevelMid * sum
}

// Pass calls hit for every query, of levels (len(queries), dim), and every vector that it asks for, with the sum of (level-LevelMid)·bytes; hit may
// change queries. Each query meets the vectors in their order. A test is off by at most some units in the last place of its largest term.
func (s *Sieve8) Pass(levels []uint8, queries []Query8, hit func(query, vector int, sum int32)) {
	if len(levels) != len(queries)*s.dim {
		panic("kernel: Pass of queries that do not fit their levels")
	}
	if len(queries) == 0 {
		return
	}
	groups := (len(queries) + queriesAtOnce8 - 1) / queriesAtOnce8
	group := roundUp((len(queries)+groups-1)/groups, 3)
	sums, masks := make([]int32, group*Block), make([]uint16, group)
	chunk := max(1, cached8/(Block*s.dim)) * Block
	for start := 0; start < s.n; start += chunk {
		for query := 0; query < len(queries); query += group {
			rows := min(group, len(queries)-query)
			a := tile8Args{offsets: &s.offsets[0], counts: &s.counts[0], groups: 1, stride: s.dim, in: unsafe.Pointer(&levels[query*s.dim]), sums: &sums[0]}
			for first := start; first < min(s.n, start+chunk); first += Block {
				a.weights, a.bias = (*int8)(unsafe.Pointer(&s.weights[first*s.dim])), &s.bias[first]
				s.set.rows(&a, rows)
				s.set.asked(&masks[0], &sums[0], &queries[query], rows, &s.scale[first], &s.base[first], &s.rest[first])
				for r, mask := range masks[:rows] {
					for ; mask != 0; mask &= mask - 1 {
						if j := bits.TrailingZeros16(mask); first+j < s.n {
							hit(query+r, first+j, sums[r*Block+j])
						}
					}
				}
			}
		}
	}
}

// rows8 multiplies any number of rows by 16 vectors.
func rows8(tiles []tile8Func) func(a *tile8Args, rows int) {
	return func(a *tile8Args, rows int) {
		b := *a
		for rows > 0 {
			tile := tiles[0]
			for _, t := range tiles {
				if t.pixels <= rows {
					tile = t
				}
			}
			tile.run(&b)
			rows -= tile.pixels
			if rows > 0 {
				b.in = unsafe.Add(b.in, tile.pixels*b.stride)
				b.sums = (*int32)(unsafe.Add(unsafe.Pointer(b.sums), tile.pixels*Block*4))
			}
		}
	}
}

// askedGeneric sets bit j of masks[r] where query r asks for vector j of 16, of which it has the sums.
func askedGeneric(masks *uint16, sums *int32, queries *Query8, rows int, scale, base, rest *float32) {
	s, b, e := unsafe.Slice(scale, Block), unsafe.Slice(base, Block), unsafe.Slice(rest, Block)
	for r, q := range unsafe.Slice(queries, rows) {
		var mask uint16
		for j, sum := range unsafe.Slice(sums, rows*Block)[r*Block:][:Block] {
			if b[j]+q.Scale*s[j]*float32(sum)-q.Slope*e[j] <= q.Limit {
				mask |= 1 << j
			}
		}
		unsafe.Slice(masks, rows)[r] = mask
	}
}
