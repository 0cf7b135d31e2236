package autograd

import (
	"math"
	"sync"

	"github.com/blemish/blemish/internal/parallel"
)

// ssimSide is the side of the Gaussian window of SSIM.
const ssimSide = 11

// ssimWeights are the values of a normal distribution with σ = 1.5 that sum to 1, from the outermost to the middle. They are symmetric.
var ssimWeights = func() (w [ssimSide/2 + 1]float64) {
	sum := 0.0
	for i := range ssimSide {
		d := float64(i - ssimSide/2)
		v := math.Exp(-d * d / (2 * 1.5 * 1.5))
		sum += v
		if i < len(w) {
			w[i] = v
		}
	}
	for i := range w {
		w[i] /= sum
	}
	return w
}()

// SSIM is 1 minus the mean structural similarity of pictures x and y (N,C,H,W) of equal shapes (Wang et al. 2004): a Gaussian window of
// 11x11 with σ = 1.5 at every position where it lies inside, K1 = 0.01 and K2 = 0.03. dataRange is the difference of the largest and the
// smallest value that a pixel can have.
func (t *Tape) SSIM(x, y *Var, dataRange float32) *Var {
	s := t.ssimShape(x, y)
	out := t.result()
	out.Value.Data[0] = float32(1 - t.similarities(nil, x, y, dataRange)/float64(volume(s[:])))
	if n := t.record("ssim", backSSIM, out, x, y); n != nil {
		n.nums[0] = dataRange
	}
	return out
}

// SSIMMap is the structural similarity at every position where SSIM's window lies inside the pictures: (N,C,H-10,W-10), position (i, j)
// being that of pixel (i+5, j+5). It is 1 where the pictures are equal.
func (t *Tape) SSIMMap(x, y *Var, dataRange float32) *Var {
	s := t.ssimShape(x, y)
	out := t.result(s[:]...)
	t.similarities(out.Value.Data, x, y, dataRange)
	if n := t.record("ssim_map", backSSIM, out, x, y); n != nil {
		n.nums[0] = dataRange
	}
	return out
}

func (t *Tape) ssimShape(x, y *Var) [4]int {
	t.alike("ssim", x, y)
	s := x.Shape()
	if len(s) != 4 || s[2] < ssimSide || s[3] < ssimSide {
		t.misfit("ssim", "(N,C,H,W) with H and W of at least 11", s)
	}
	return [4]int{s[0], s[1], s[2] - ssimSide + 1, s[3] - ssimSide + 1}
}

// similarities returns the sum of the map, added plane by plane, and fills dst with it unless that is nil.
func (t *Tape) similarities(dst []float32, x, y *Var, dataRange float32) float64 {
	s := x.Shape()
	h, w := s[2], s[3]
	sums := make([]float64, s[0]*s[1])
	parallel.For(t.Workers, len(sums), func(i int) {
		a := ssimAreas.Get().(*ssimArea)
		defer ssimAreas.Put(a)
		a.start(x.Value.Data[i*h*w:(i+1)*h*w], y.Value.Data[i*h*w:(i+1)*h*w], h, w, dataRange)
		n := len(a.mx)
		for k := range n {
			a1, a2, b1, b2 := a.terms(k)
			v := a1 * a2 / (b1 * b2)
			sums[i] += v
			if dst != nil {
				dst[i*n+k] = float32(v)
			}
		}
	})
	sum := 0.0
	for _, v := range sums {
		sum += v
	}
	return sum
}

// The similarity is a1·a2/(b1·b2), a function of the windows' means of x, y, x²+y² and xy. A mean's slope with respect to a pixel is the
// weight that the window gives it, so each mean's gradient is filtered once more and multiplied by 1, 2x or y.
func backSSIM(t *Tape, n *node) {
	x, y, g := n.in[0], n.in[1], n.out.Grad.Data
	s := x.Shape()
	planes, h, w := s[0]*s[1], s[2], s[3]
	scale := 1.0
	if n.op == "ssim" { // the mean of 1-similarity
		scale = -1 / float64(planes*(h-ssimSide+1)*(w-ssimSide+1))
	}
	dx, dy, dataRange := t.wanted(x), t.wanted(y), n.nums[0]
	parallel.For(t.Workers, planes, func(i int) {
		a := ssimAreas.Get().(*ssimArea)
		defer ssimAreas.Put(a)
		from, to := i*h*w, (i+1)*h*w
		xs, ys := x.Value.Data[from:to], y.Value.Data[from:to]
		a.start(xs, ys, h, w, dataRange)
		own := g
		if len(g) > 1 {
			own = g[i*len(a.mx) : (i+1)*len(a.mx)]
		}
		a.slopes(own, scale)
		if dx != nil {
			a.spread(dx[from:to], xs, ys, a.dmx)
		}
		if dy != nil {
			a.spread(dy[from:to], ys, xs, a.dmy)
		}
	})
}

var ssimAreas = sync.Pool{New: func() any { return new(ssimArea) }}

// ssimArea is what one plane is computed in. The sums are of float64: a variance is a small difference of large means.
type ssimArea struct {
	h, w                 int
	c1, c2               float64
	in, rows             []float64 // a plane to filter, and its rows filtered
	mx, my, squares, xy  []float64 // the windows' means of x, y, x²+y² and xy
	dmx, dmy, dsq, dxy   []float64 // the gradients of these, amid zeros: the filter's transpose is the filter
	back, backSq, backXY []float64 // these, filtered
}

func sized(b []float64, n int) []float64 {
	if cap(b) < n {
		return make([]float64, n)
	}
	return b[:n]
}

// start computes the means.
func (a *ssimArea) start(x, y []float32, h, w int, dataRange float32) {
	a.h, a.w = h, w
	k1, k2 := 0.01*float64(dataRange), 0.03*float64(dataRange)
	a.c1, a.c2 = k1*k1, k2*k2
	a.in = sized(a.in, h*w)
	mean := func(dst []float64, f func(x, y float64) float64) []float64 {
		for i, v := range x {
			a.in[i] = f(float64(v), float64(y[i]))
		}
		return a.filter(dst, a.in, h, w)
	}
	a.mx = mean(a.mx, func(x, _ float64) float64 { return x })
	a.my = mean(a.my, func(_, y float64) float64 { return y })
	a.squares = mean(a.squares, func(x, y float64) float64 { return x*x + y*y })
	a.xy = mean(a.xy, func(x, y float64) float64 { return x * y })
}

// terms are the factors of the similarity at position k.
func (a *ssimArea) terms(k int) (a1, a2, b1, b2 float64) {
	mx, my := a.mx[k], a.my[k]
	product, power := mx*my, mx*mx+my*my
	return 2*product + a.c1, 2*(a.xy[k]-product) + a.c2, power + a.c1, a.squares[k] - power + a.c2
}

// slopes computes the gradients of the means from the map's, g, which may be one value for all.
func (a *ssimArea) slopes(g []float32, scale float64) {
	margin := ssimSide - 1
	width := a.w + margin
	for _, d := range []*[]float64{&a.dmx, &a.dmy, &a.dsq, &a.dxy} {
		*d = sized(*d, width*(a.h+margin))
		clear(*d)
	}
	ow := a.w - margin
	for k := range a.mx {
		s := scale * float64(g[min(k, len(g)-1)])
		a1, a2, b1, b2 := a.terms(k)
		v := a1 * a2 / (b1 * b2)
		da1, da2, db1, db2 := s*a2/(b1*b2), s*a1/(b1*b2), -s*v/b1, -s*v/b2
		to := (k/ow+margin)*width + k%ow + margin
		mx, my := a.mx[k], a.my[k]
		a.dmx[to] = 2 * (my*(da1-da2) + mx*(db1-db2))
		a.dmy[to] = 2 * (mx*(da1-da2) + my*(db1-db2))
		a.dsq[to] = db2
		a.dxy[to] = 2 * da2
	}
	a.backSq = a.filter(a.backSq, a.dsq, a.h+margin, width)
	a.backXY = a.filter(a.backXY, a.dxy, a.h+margin, width)
}

// spread adds the gradient of a picture to dst: of its own mean dm, and of those of its squares and its products with the other.
func (a *ssimArea) spread(dst, own, other []float32, dm []float64) {
	a.back = a.filter(a.back, dm, a.h+ssimSide-1, a.w+ssimSide-1)
	for i, v := range own {
		dst[i] += float32(a.back[i] + 2*float64(v)*a.backSq[i] + float64(other[i])*a.backXY[i])
	}
}

// filter is the weighted mean of src (h,w) under the window, at every position where it lies inside; first along rows, then down columns.
func (a *ssimArea) filter(dst, src []float64, h, w int) []float64 {
	oh, ow := h-ssimSide+1, w-ssimSide+1
	a.rows = sized(a.rows, h*ow)
	k := &ssimWeights
	for r := range h {
		to := a.rows[r*ow : (r+1)*ow]
		from := src[r*w : (r+1)*w]
		for i := range to {
			s := from[i : i+ssimSide : i+ssimSide]
			to[i] = k[0]*(s[0]+s[10]) + k[1]*(s[1]+s[9]) + k[2]*(s[2]+s[8]) + k[3]*(s[3]+s[7]) + k[4]*(s[4]+s[6]) + k[5]*s[5]
		}
	}
	dst = sized(dst, oh*ow)
	for r := range oh {
		to := dst[r*ow : (r+1)*ow]
		clear(to)
		for i := range ssimSide / 2 {
			above, below := a.rows[(r+i)*ow:][:ow], a.rows[(r+ssimSide-1-i)*ow:][:ow]
			for j, v := range above {
				to[j] += k[i] * (v + below[j])
			}
		}
		for j, v := range a.rows[(r+ssimSide/2)*ow:][:ow] {
			to[j] += k[5] * v
		}
	}
	return dst
}
