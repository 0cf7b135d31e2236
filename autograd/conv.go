package autograd

import (
	"fmt"

	"github.com/blemish/blemish/internal/kernel"
	"github.com/blemish/blemish/internal/parallel"
)

// Window says how a filter slides over a picture. Zero values of Stride, Dilation and Groups mean 1.
type Window struct {
	Stride, Dilation, Groups int
	Pad                      Padding
}

// Padding is the number of zeros around a picture.
type Padding struct{ Top, Left, Bottom, Right int }

// Pad is n zeros on every side.
func Pad(n int) Padding { return Padding{n, n, n, n} }

func (w Window) normal() Window {
	w.Stride, w.Dilation, w.Groups = max(w.Stride, 1), max(w.Dilation, 1), max(w.Groups, 1)
	return w
}

// sliding is a convolution's shape: filters (outs, ins/groups, kh, kw) over pictures (n, ins, in) make (n, outs, out).
type sliding struct {
	Window
	n, ins, outs, kh, kw int
	in, out              kernel.Shape2D
}

// Conv2d slides filters over pictures: x (N, C, H, W), w (O, C/groups, kh, kw), b (O) or nil, result (N, O, H', W') with
// H' = (H + top + bottom - dilation·(kh-1) - 1)/stride + 1.
func (t *Tape) Conv2d(x, w, b *Var, win Window) *Var {
	win = win.normal()
	xs, ws := x.Shape(), w.Shape()
	if len(xs) != 4 || len(ws) != 4 || ws[1]*win.Groups != xs[1] || ws[0]%win.Groups != 0 {
		t.misfit("conv2d", fmt.Sprintf("(N, C, H, W) for a weight %v (O, C/%d, kh, kw)", ws, win.Groups), xs)
	}
	if win.Pad.Top < 0 || win.Pad.Left < 0 || win.Pad.Bottom < 0 || win.Pad.Right < 0 {
		panic("autograd: negative padding")
	}
	s := sliding{Window: win, n: xs[0], ins: xs[1], outs: ws[0], kh: ws[2], kw: ws[3], in: kernel.Shape2D{H: xs[2], W: xs[3]}}
	s.out.H = positions(xs[2]+win.Pad.Top+win.Pad.Bottom, ws[2], win)
	s.out.W = positions(xs[3]+win.Pad.Left+win.Pad.Right, ws[3], win)
	if s.out.H < 1 || s.out.W < 1 {
		t.misfit("conv2d", fmt.Sprintf("pictures that a %dx%d window fits into", ws[2], ws[3]), xs)
	}
	t.checkBias("conv2d", b, ws[0])
	out := t.result(xs[0], ws[0], s.out.H, s.out.W)
	if c, ok := s.winograd(); ok {
		c.Bias = values(b)
		c.Run(t.Workers, out.Value.Data, x.Value.Data, w.Value.Data, false)
	} else {
		seen := t.windows(x.Value.Data, s)
		seen.slide(out.Value.Data, w.Value.Data, values(b), false)
		seen.free()
	}
	if n := t.record("conv2d", backConv2d, out, x, w, b); n != nil {
		n.sliding = s
	}
	return out
}

// dx slides the turned filters over dout, dw sums dout times what the window saw, db = Σ dout
func backConv2d(t *Tape, n *node) {
	x, w, b, g, s := n.in[0], n.in[1], n.in[2], n.out.Grad.Data, n.sliding
	if b != nil && b.requiresGrad {
		t.sumChannels(t.summed(b), g, s.n, s.outs)
	}
	c, tiled := s.winograd()
	if w.requiresGrad {
		dst, accumulate := t.gradient(w)
		if tiled {
			c.WeightGrad(t.Workers, dst, x.Value.Data, g, accumulate)
		} else {
			seen := t.windows(x.Value.Data, s)
			seen.weights(dst, g, accumulate)
			seen.free()
		}
	}
	if x.requiresGrad {
		dst, accumulate := t.gradient(x)
		if tiled {
			c.InputGrad(t.Workers, dst, g, w.Value.Data, accumulate)
		} else {
			t.slideBack(dst, g, w.Value.Data, nil, s, accumulate)
		}
	}
}

// winograd is the convolution in fewer multiplications, if it is one of 3x3 that this pays for.
func (s *sliding) winograd() (c kernel.Conv3x3, ok bool) {
	if s.kh != 3 || s.kw != 3 || s.Stride != 1 || s.Dilation != 1 || s.Groups != 1 {
		return c, false
	}
	c = kernel.Conv3x3{N: s.n, Ins: s.ins, Outs: s.outs, In: s.in, Out: s.out, Top: s.Pad.Top, Left: s.Pad.Left}
	return c, c.Suits()
}

// ConvTranspose2d is the gradient of Conv2d with respect to its input, as a layer: x (N, C, H, W), w (C, O/groups, kh, kw), b (O) or nil,
// result (N, O, H', W') with H' = (H-1)·stride - top - bottom + dilation·(kh-1) + extra + 1; extra rows and columns are added below and to the
// right (PyTorch's output_padding).
func (t *Tape) ConvTranspose2d(x, w, b *Var, win Window, extra int) *Var {
	win = win.normal()
	xs, ws := x.Shape(), w.Shape()
	if len(xs) != 4 || len(ws) != 4 || ws[0] != xs[1] || ws[0]%win.Groups != 0 {
		t.misfit("conv_transpose2d", fmt.Sprintf("(N, C, H, W) for a weight %v (C, O/%d, kh, kw)", ws, win.Groups), xs)
	}
	if extra < 0 || extra > 0 && extra >= max(win.Stride, win.Dilation) {
		panic(fmt.Sprintf("autograd: conv_transpose2d with an output padding of %d: want less than the larger of stride %d and dilation %d", extra, win.Stride, win.Dilation))
	}
	// the convolution it is the gradient of reads what this one makes
	s := sliding{Window: win, n: xs[0], ins: ws[1] * win.Groups, outs: xs[1], kh: ws[2], kw: ws[3], out: kernel.Shape2D{H: xs[2], W: xs[3]}}
	s.in.H = (xs[2]-1)*win.Stride - win.Pad.Top - win.Pad.Bottom + win.Dilation*(ws[2]-1) + extra + 1
	s.in.W = (xs[3]-1)*win.Stride - win.Pad.Left - win.Pad.Right + win.Dilation*(ws[3]-1) + extra + 1
	if s.in.H < 1 || s.in.W < 1 {
		t.misfit("conv_transpose2d", "pictures that are larger than the padding", xs)
	}
	t.checkBias("conv_transpose2d", b, s.ins)
	out := t.result(xs[0], s.ins, s.in.H, s.in.W)
	t.slideBack(out.Value.Data, x.Value.Data, w.Value.Data, values(b), s, false)
	if n := t.record("conv_transpose2d", backConvTranspose2d, out, x, w, b); n != nil {
		n.sliding = s
	}
	return out
}

// dx slides the filters over dout, dw sums x times what the window sees of dout, db = Σ dout
func backConvTranspose2d(t *Tape, n *node) {
	x, w, b, g, s := n.in[0], n.in[1], n.in[2], n.out.Grad.Data, n.sliding
	if b != nil && b.requiresGrad {
		t.sumChannels(t.summed(b), g, s.n, s.ins)
	}
	if !w.requiresGrad && !x.requiresGrad {
		return
	}
	seen := t.windows(g, s)
	defer seen.free()
	if w.requiresGrad {
		dst, accumulate := t.gradient(w)
		seen.weights(dst, x.Value.Data, accumulate)
	}
	if x.requiresGrad {
		dst, accumulate := t.gradient(x)
		seen.slide(dst, w.Value.Data, nil, accumulate)
	}
}

// positions is how often a window fits into n values.
func positions(n, kernel int, w Window) int {
	if n < w.Dilation*(kernel-1)+1 {
		return 0
	}
	return (n-w.Dilation*(kernel-1)-1)/w.Stride + 1
}

func (t *Tape) checkBias(op string, b *Var, outs int) {
	if b != nil && (len(b.Shape()) != 1 || b.Shape()[0] != outs) {
		t.misfit(op, fmt.Sprintf("a bias of %d", outs), b.Shape())
	}
}

// values are a bias's, if there is one.
func values(b *Var) []float32 {
	if b == nil {
		return nil
	}
	return b.Value.Data
}

// sumChannels adds the sum over pictures and positions of each channel of g (n, channels, …) to dst.
func (t *Tape) sumChannels(dst, g []float32, n, channels int) {
	plane := len(g) / (n * channels)
	parallel.For(t.Workers, channels, func(c int) {
		sum := 0.0
		for i := range n {
			row := g[(i*channels+c)*plane:][:plane]
			s, _ := kernel.Moments(row, row, 0, 0)
			sum += s
		}
		dst[c] += float32(sum)
	})
}

// lay copies x into planes for windows of the given taps.
func (t *Tape) lay(x []float32, n, c int, in kernel.Shape2D, stride, top, left int, taps []kernel.Tap, out kernel.Shape2D) *kernel.Planes {
	p := &kernel.Planes{N: n, C: c, Stride: stride, H: out.H, W: out.W}
	for _, tap := range taps {
		p.H, p.W = max(p.H, out.H+tap.Row), max(p.W, out.W+tap.Column)
	}
	p.Data = t.memory.take(kernel.PlanesSize(n, c, stride, kernel.Shape2D{H: p.H, W: p.W}))
	p.Fill(t.Workers, x, in, top, left)
	return p
}

// single reports whether a window sees single values, none left out: then a picture is as good as one long row.
func (s *sliding) single() bool {
	return s.kh == 1 && s.kw == 1 && s.Stride == 1 && s.Pad == Padding{} && s.in.H*s.in.W%4 == 0
}

// windows are what filters slide over: planes of pictures (n, ins, in), and the positions of a window.
type windows struct {
	sliding
	tape   *Tape
	planes *kernel.Planes
	taps   []kernel.Tap
	shape  kernel.Shape2D // of the results
	owned  bool           // the planes' memory
}

// windows lays x out.
func (t *Tape) windows(x []float32, s sliding) windows {
	w := windows{sliding: s, tape: t, shape: s.out}
	if !s.single() {
		w.taps = kernel.SlidingTaps(nil, s.kh, s.kw, s.Stride, s.Dilation)
		w.planes = t.lay(x, s.n, s.ins, s.in, s.Stride, s.Pad.Top, s.Pad.Left, w.taps, s.out)
		w.owned = true
		return w
	}
	w.taps, w.shape = []kernel.Tap{{}}, kernel.Shape2D{H: 1, W: s.in.H * s.in.W}
	w.planes = &kernel.Planes{N: s.n, C: s.ins, Stride: 1, H: 1, W: w.shape.W}
	need := kernel.PlanesSize(s.n, s.ins, 1, w.shape)
	if cap(x) >= need { // x itself
		w.planes.Data = x[:need]
		return w
	}
	w.planes.Data, w.owned = t.memory.take(need), true
	copy(w.planes.Data, x)
	return w
}

func (w *windows) free() {
	if w.owned {
		w.tape.memory.give(w.planes.Data)
	}
}

// correlation is that of group g with results y (n, outs, out).
func (w *windows) correlation(g int, y []float32) kernel.Correlation {
	ins, outs := w.ins/w.Groups, w.outs/w.Groups
	return kernel.Correlation{Planes: w.planes, First: g * ins, C: ins, Taps: w.taps, Out: w.shape, M: outs, Y: y, At: g * outs, Channels: w.outs}
}

// part is what of the filters belongs to group g.
func (w *windows) part(filters []float32, g int) []float32 {
	n := w.outs / w.Groups * (w.ins / w.Groups) * len(w.taps)
	return filters[g*n:][:n]
}

// slide computes y (n, outs, out) from filters and bias, or adds to it.
func (w *windows) slide(y, filters, bias []float32, accumulate bool) {
	w.tape.eachGroup(w.Groups, func(g, workers int) {
		c := w.correlation(g, y)
		c.Weights = w.part(filters, g)
		if bias != nil {
			c.Bias = bias[g*c.M:][:c.M]
		}
		c.Run(workers, accumulate)
	})
}

// weights computes the gradient of slide's filters from dy (n, outs, out), or adds to it.
func (w *windows) weights(grad, dy []float32, accumulate bool) {
	w.tape.eachGroup(w.Groups, func(g, workers int) {
		c := w.correlation(g, dy)
		c.WeightGrad(workers, w.part(grad, g), accumulate)
	})
}

// eachGroup runs groups side by side if there are several.
func (t *Tape) eachGroup(groups int, f func(g, workers int)) {
	if groups == 1 {
		f(0, t.Workers)
		return
	}
	parallel.For(t.Workers, groups, func(g int) { f(g, 1) })
}
