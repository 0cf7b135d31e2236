package kernel

import "unsafe"

// Attention is softmax(scale·q·kᵀ)·v for each head (Vaswani et al., 2017, arXiv:1706.03762, 3.2). The input's channels are all heads' q, then
// their k, then their v; each head begins with a block of channels, and what its last block has to spare is zero.
type Attention struct {
	Heads, Dim int // Dim is the channels of a head
	Scale      float32
}

// Padded is the channels of a head with those to spare.
func (a Attention) Padded() int { return roundUp(a.Dim, Block) }

// queries are how many tokens an item looks from: their scores stay in the second cache.
const queries = 48

type attentionJob struct {
	job
	a           Attention
	set         *set
	l           Layer
	tokens      int
	padded      int // tokens, to whole blocks
	spans       int // of queries
	tiles       [2][]placed
	offsets     []int64 // of a head's blocks
	here        []int64
	head, total int // floats of k, or of v, of a head; blocks of a head
}

// Prepare makes the attention ready for tokens in one row.
func (a Attention) Prepare(l Layer) Job {
	j := &attentionJob{a: a, set: use(), l: l, tokens: l.In.W, padded: roundUp(l.In.W, Block), total: a.Padded() / Block, here: []int64{0}}
	j.spans = (j.tokens + queries - 1) / queries
	last := j.tokens - (j.spans-1)*queries
	j.tiles = [2][]placed{j.set.cover(min(queries, j.tokens)), j.set.cover(last)}
	for b := range j.total {
		j.offsets = append(j.offsets, int64(4*b*l.In.plane()))
	}
	j.head = j.padded * a.Padded()
	j.phases = []int{2 * a.Heads, a.Heads * j.spans}
	j.shared = 2 * a.Heads * j.head
	j.own = queries * j.padded
	return j
}

func (j *attentionJob) Do(v *Values, w *Worker, phase, item int) {
	if phase == 1 {
		j.look(v, w, item/j.spans, item%j.spans)
		return
	}
	head := item % j.a.Heads
	to := v.Scratch[item*j.head:][:j.head]
	if item < j.a.Heads {
		j.packKeys(v.In, (j.a.Heads+head)*j.total, to)
	} else {
		j.packValues(v.In, (2*j.a.Heads+head)*j.total, to)
	}
}

// packKeys lays keys out as weights: (groups of blocks of tokens, channels, a group's tokens).
func (j *attentionJob) packKeys(in *Activation, block int, to []float32) {
	channels, blocks := j.total*Block, j.padded/Block
	for first := 0; first < blocks; first += j.set.blocks {
		width := min(j.set.blocks, blocks-first) * Block
		for b := range j.total {
			row := in.row(block+b, 0)
			for t := range width {
				dst := to[(first*channels+b*width)*Block+t:]
				token := first*Block + t
				if token >= j.tokens {
					for c := range Block {
						dst[c*width] = 0
					}
					continue
				}
				for c, k := range row[token*Block:][:Block] {
					dst[c*width] = k
				}
			}
		}
	}
}

// packValues lays values out as weights: (groups of blocks of channels, tokens, a group's channels).
func (j *attentionJob) packValues(in *Activation, block int, to []float32) {
	for first := 0; first < j.total; first += j.set.blocks {
		n := min(j.set.blocks, j.total-first)
		for b := range n {
			row := in.row(block+first+b, 0)
			for t := range j.padded {
				dst := to[first*j.padded*Block+(t*n+b)*Block:][:Block]
				if t < j.tokens {
					copy(dst, row[t*Block:])
				} else {
					clear(dst)
				}
			}
		}
	}
}

// look computes one head's results for some queries.
func (j *attentionJob) look(v *Values, w *Worker, head, span int) {
	first := span * queries
	n := min(queries, j.tokens-first)
	tiles := j.tiles[0]
	if span == j.spans-1 {
		tiles = j.tiles[1]
	}
	in, out := v.In, v.Out
	scores := w.Scratch[:n*j.padded]
	keys, values := v.Scratch[head*j.head:], v.Scratch[(j.a.Heads+head)*j.head:]
	a := &w.tile
	*a = tileArgs{offsets: &j.offsets[0], steps: j.total, quads: Block / 4, bias: &noBias[0], stride: 4 * Block, lo: -unbounded, hi: unbounded, pitch: 4 * j.padded}
	for b := 0; b < j.padded/Block; b += j.set.blocks {
		blocks := min(j.set.blocks, j.padded/Block-b)
		a.weights = &keys[b*j.total*Block*Block]
		for i := range tiles {
			a.in = unsafe.Pointer(&in.Data[in.at(head*j.total, 0, first+tiles[i].x)])
			at := tiles[i].x*j.padded + b*Block
			a.out0, a.out1 = unsafe.Pointer(&scores[at]), unsafe.Pointer(&scores[at+(blocks-1)*Block])
			a.more = tiles[i].more
			tiles[i].tile.run[blocks-1](a)
		}
	}
	for q := range n {
		row := scores[q*j.padded:][:j.padded]
		spare := row[j.tokens:]
		for i := range spare {
			spare[i] = -unbounded
		}
		j.set.softmax(&row[0], len(row), j.a.Scale)
		clear(spare)
	}
	*a = tileArgs{offsets: &j.here[0], steps: 1, quads: j.padded / 4, bias: &noBias[0], stride: 4 * j.padded, lo: j.l.Lo, hi: j.l.Hi, pitch: 4 * Block}
	for b := 0; b < j.total; b += j.set.blocks {
		blocks := min(j.set.blocks, j.total-b)
		a.weights = &values[b*j.padded*Block]
		for i := range tiles {
			a.in = unsafe.Pointer(&scores[tiles[i].x*j.padded])
			at := out.at(head*j.total+b, 0, first+tiles[i].x)
			a.out0, a.out1 = unsafe.Pointer(&out.Data[at]), unsafe.Pointer(&out.Data[at+(blocks-1)*out.plane()])
			a.more = tiles[i].more
			tiles[i].tile.run[blocks-1](a)
		}
	}
}
