package autograd

import "math"

// cosineEps is the least length that vectors are divided by, PyTorch's default.
const cosineEps = 1e-8

// Cosine is the mean of 1 - cos(x, y) over all vectors that lie along dimension 1 of x and y (N,C,…), the distance of students from
// teachers: cos(x, y) = x·y / (max(|x|, 1e-8)·max(|y|, 1e-8)), as PyTorch's cosine_similarity. Unreduced losses have shape (N,…).
func (t *Tape) Cosine(x, y *Var, r ...Reduction) *Var {
	t.alike("cosine", x, y)
	how, v := chosen(r), t.vectors("cosine", x)
	out := t.reduced(how, v.shape()...)
	j := cosineJob{vectors: v, x: x.Value.Data, y: y.Value.Data, out: out.Value.Data, how: how}
	var sum float64
	if n, each := j.blocks(); many(n, each) {
		sum = t.added(n, each, j.values)
	} else {
		sum = j.values(0, n)
	}
	if how != ReduceNone {
		out.Value.Data[0] = float32(sum / how.divisor(v.shape()))
	}
	if n := t.record("cosine", backCosine, out, x, y); n != nil {
		n.ints[0] = int(how)
	}
	return out
}

// vectors lie along dimension 1 of (N,C,…): n·inner vectors, whose c values are inner apart.
type vectors struct {
	n, c, inner int
	dims        [maxDims]int
	rank        int
}

func (t *Tape) vectors(op string, x *Var) vectors {
	s := x.Shape()
	if len(s) < 2 || s[1] == 0 {
		t.misfit(op, "(N,C,…) with C > 0", s)
	}
	v := vectors{n: s[0], c: s[1], inner: volume(s[2:]), rank: len(s) - 1}
	v.dims[0] = s[0]
	copy(v.dims[1:], s[2:])
	return v
}

// shape is that of one value for each vector.
func (v *vectors) shape() []int { return v.dims[:v.rank] }

func (v *vectors) count() int { return v.n * v.inner }

// start is where vector i begins.
func (v *vectors) start(i int) int { return i/v.inner*v.c*v.inner + i%v.inner }

// strip is how many neighbouring vectors are computed at a time, so that memory is read in its order.
const strip = 64

type cosineJob struct {
	vectors
	x, y, out, dx, dy, g []float32
	scale                float64
	how                  Reduction
}

// blocks is the number of strips and of the values in one.
func (j *cosineJob) blocks() (n, each int) {
	return j.n * ((j.inner + strip - 1) / strip), j.c * min(j.inner, strip)
}

// products holds x·y, x·x and y·y of the vectors of a strip.
type products struct{ xy, xx, yy [strip]float64 }

// block computes the products of strip b: n vectors, the first of them number first, which begins at value at.
func (j *cosineJob) block(b int, p *products) (at, first, n int) {
	row := (j.inner + strip - 1) / strip
	from := b % row * strip
	at, first, n = b/row*j.c*j.inner+from, b/row*j.inner+from, min(strip, j.inner-from)
	*p = products{}
	for c := range j.c {
		x, y := j.x[at+c*j.inner:][:n], j.y[at+c*j.inner:][:n]
		for i, v := range x {
			a, b := float64(v), float64(y[i])
			p.xy[i] += a * b
			p.xx[i] += a * a
			p.yy[i] += b * b
		}
	}
	return at, first, n
}

func (j cosineJob) values(from, to int) (sum float64) {
	var p products
	for b := from; b < to; b++ {
		_, first, n := j.block(b, &p)
		for i := range n {
			v := 1 - p.xy[i]/(max(math.Sqrt(p.xx[i]), cosineEps)*max(math.Sqrt(p.yy[i]), cosineEps))
			if j.how == ReduceNone {
				j.out[first+i] = float32(v)
			}
			sum += v
		}
	}
	return sum
}

func backCosine(t *Tape, n *node) {
	x, y, r := n.in[0], n.in[1], Reduction(n.ints[0])
	j := cosineJob{vectors: t.vectors("cosine", x), x: x.Value.Data, y: y.Value.Data, g: n.out.Grad.Data, how: r}
	j.scale = 1 / r.divisor(j.shape())
	j.dx, j.dy = t.wanted(x), t.wanted(y)
	if n, each := j.blocks(); many(n, each) {
		t.chunks(n, each, j.slopes)
	} else {
		j.slopes(0, n)
	}
}

// With a = max(|x|, ε) and b = max(|y|, ε): dx = -dout·(y/ab - cos·x/(a|x|)), and dy likewise. The last term stays where a is ε: PyTorch, too,
// differentiates the length there as if it had not been raised.
func (j cosineJob) slopes(from, to int) {
	var p products
	var both, alongX, alongY [strip]float64
	for b := from; b < to; b++ {
		at, first, n := j.block(b, &p)
		for i := range n {
			lx, ly := math.Sqrt(p.xx[i]), math.Sqrt(p.yy[i])
			a, b := max(lx, cosineEps), max(ly, cosineEps)
			g := -pull(j.g, first+i, j.how, j.scale)
			both[i] = g / (a * b)
			alongX[i], alongY[i] = 0, 0
			if lx > 0 {
				alongX[i] = g * p.xy[i] / (a * b) / (a * lx)
			}
			if ly > 0 {
				alongY[i] = g * p.xy[i] / (a * b) / (b * ly)
			}
		}
		for c := range j.c {
			o := at + c*j.inner
			for i := range n {
				x, y := float64(j.x[o+i]), float64(j.y[o+i])
				if j.dx != nil {
					j.dx[o+i] += float32(both[i]*y - alongX[i]*x)
				}
				if j.dy != nil {
					j.dy[o+i] += float32(both[i]*x - alongY[i]*y)
				}
			}
		}
	}
}
