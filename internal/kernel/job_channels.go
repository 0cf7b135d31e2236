package kernel

import "unsafe"

// meanJob averages each channel of a picture: Out is (C,1,1).
type meanJob struct {
	job
	l Layer
}

// PrepareMean is global average pooling.
func PrepareMean(l Layer) Job {
	return &meanJob{job{phases: []int{l.Out.Blocks()}, own: l.In.W * Block}, l}
}

func (j *meanJob) Do(v *Values, w *Worker, _, block int) {
	in := v.In
	columns := w.Scratch[:in.W*Block]
	copy(columns, in.row(block, 0))
	for y := 1; y < in.H; y++ {
		Affine(columns, columns, in.row(block, y), 1, 1, 0, -unbounded, unbounded)
	}
	var sums [Block]float64
	for i, x := range columns {
		sums[i%Block] += float64(x)
	}
	v.Out.clearRows(block, 0, 1)
	out := v.Out.row(block, 0)
	for i, s := range sums {
		out[i] = float32(s / float64(in.H*in.W))
	}
	j.l.Act.apply(out, j.l.Lo, j.l.Hi)
}

// PrepareGate multiplies each channel by a number of its own: Residual is (C,1,1). Nothing is added.
func PrepareGate(l Layer) Job {
	fn := use().depthwise
	here := []int64{0}
	return perRow(l, func(l *Layer, v *Values, w *Worker, block, y int) {
		w.taps = tapArgs{
			in: unsafe.Pointer(&v.In.Data[v.In.at(block, y, 0)]), offsets: &here[0], taps: 1, weights: &v.Residual.row(block, 0)[0],
			out: unsafe.Pointer(&v.Out.Data[v.Out.at(block, y, 0)]), pixels: v.Out.W, bias: &noBias[0], stride: 4 * Block,
			lo: -unbounded, hi: unbounded,
		}
		if l.Act == NoAct {
			w.taps.lo, w.taps.hi = l.Lo, l.Hi
		}
		fn(&w.taps)
		l.Act.apply(v.Out.row(block, y), l.Lo, l.Hi)
	})
}

// Tokens lays a picture's pixels behind some constant ones in one row, and adds a constant to each: a vision transformer's class token and
// positions (Dosovitskiy et al., ICLR 2021, arXiv:2010.11929, 3.1).
type Tokens struct {
	table Activation
	first int // pixels before the picture's
}

// NewTokens takes the constants (tokens, channels).
func NewTokens(constants []float32, tokens, channels, first int) *Tokens {
	t := &Tokens{Activation{C: channels, H: 1, W: tokens, Lanes: Block}, first}
	t.table.Data = aligned(t.table.Size())
	for p := range tokens {
		for c := range channels {
			t.table.Data[t.table.at(c/Block, 0, p)+c%Block] = constants[p*channels+c]
		}
	}
	return t
}

// Count is the number of tokens.
func (t *Tokens) Count() int { return t.table.W }

// Prepare makes the tokens ready for a layer.
func (t *Tokens) Prepare(l Layer) Job {
	return perRow(l, func(l *Layer, v *Values, _ *Worker, block, _ int) {
		out := v.Out.row(block, 0)
		copy(out, t.table.row(block, 0))
		out = out[t.first*Block:]
		for y := range v.In.H {
			Affine(out[:v.In.W*Block], out[:v.In.W*Block], v.In.row(block, y), 1, 1, 0, l.Lo, l.Hi)
			out = out[v.In.W*Block:]
		}
	})
}
