package infer

import (
	"github.com/blemish/blemish/internal/kernel"
	"github.com/blemish/blemish/internal/parallel"
)

// sliding is how a window of two dimensions moves over a picture.
type sliding struct {
	kernel, stride, dilation [2]int
	before, after            [2]int // pixels of padding
	out                      kernel.Shape2D
}

// window2D reads the attributes that convolutions and pooling share. A picture of one dimension (N,C,L) is one of height 1.
func (c *call) window2D(x *array, kernelShape []int, ceil bool) sliding {
	n := x.rank() - 2
	check(n == 1 || n == 2, "a picture of %d dimensions, want 1 or 2", n)
	k := c.list("kernel_shape", n, 0)
	if !c.has("kernel_shape") {
		check(len(kernelShape) == n, "a kernel of shape %v for %d dimensions", kernelShape, n)
		copy(k, kernelShape)
	}
	stride, dilation, pads := c.list("strides", n, 1), c.list("dilations", n, 1), c.list("pads", 2*n, 0)
	s := sliding{kernel: [2]int{1, 1}, stride: [2]int{1, 1}, dilation: [2]int{1, 1}}
	auto := c.text("auto_pad", "NOTSET")
	sizes := [2]int{1, x.shape[2]}
	var out [2]int
	if n == 2 {
		sizes[0], sizes[1] = x.shape[2], x.shape[3]
	}
	for d := range 2 {
		if n == 1 && d == 0 {
			out[0] = 1
			continue
		}
		i := d - (2 - n)
		check(k[i] > 0 && stride[i] > 0 && dilation[i] > 0 && pads[i] >= 0 && pads[n+i] >= 0 && k[i] <= 1<<12 && dilation[i] <= 1<<12,
			"a window of %v with strides %v, dilations %v and pads %v", k, stride, dilation, pads)
		s.kernel[d], s.stride[d], s.dilation[d] = k[i], stride[i], dilation[i]
		s.before[d], s.after[d] = pads[i], pads[n+i]
		size, span := sizes[d], (k[i]-1)*dilation[i]+1
		switch auto {
		case "NOTSET":
		case "VALID":
			s.before[d], s.after[d] = 0, 0
		case "SAME_UPPER", "SAME_LOWER":
			total := max(0, ((size+stride[i]-1)/stride[i]-1)*stride[i]+span-size)
			s.before[d] = total / 2
			if auto == "SAME_LOWER" {
				s.before[d] = total - total/2
			}
			s.after[d] = total - s.before[d]
		default:
			unsupported("auto_pad %s", auto)
		}
		room := size + s.before[d] + s.after[d] - span
		check(room >= 0, "a picture of shape %v is too small for a window of %v", x.shape, k)
		out[d] = room/stride[i] + 1
		if ceil && room%stride[i] != 0 && out[d]*stride[i] < size+s.before[d] { // windows that begin behind the picture do not count
			out[d]++
		}
	}
	s.out = kernel.Shape2D{H: out[0], W: out[1]}
	return s
}

// shape2D is a picture's height and width.
func shape2D(x *array) kernel.Shape2D {
	if x.rank() == 3 {
		return kernel.Shape2D{H: 1, W: x.shape[2]}
	}
	return kernel.Shape2D{H: x.shape[2], W: x.shape[3]}
}

// pictureShape is the shape (N,C) and out, of as many dimensions as x has.
func pictureShape(x *array, channels int, out kernel.Shape2D) []int {
	if x.rank() == 3 {
		return []int{x.shape[0], channels, out.W}
	}
	return []int{x.shape[0], channels, out.H, out.W}
}

// opConv is X (N,C,H,W), W (M,C/group,kH,kW), B (M) -> Y (N,M,h,w).
func opConv(c *call) []*array {
	x, w := c.floats(0), c.floats(1)
	check(x.rank() >= 3 && w.rank() == x.rank(), "a picture of shape %v and weights of shape %v", x.shape, w.shape)
	s := c.window2D(x, w.shape[2:], false)
	groups := int(c.integer("group", 1))
	m := w.shape[0]
	check(groups > 0 && m%groups == 0 && w.shape[1]*groups == x.shape[1] && w.len() == m*w.shape[1]*s.kernel[0]*s.kernel[1],
		"weights of shape %v in %d groups for a picture of shape %v", w.shape, groups, x.shape)
	y := newFloats(pictureShape(x, m, s.out)...)
	if y.len() == 0 || w.len() == 0 {
		return one(y)
	}
	if s.stride[0] == s.stride[1] {
		convolve(c.workers, y.floats, x, w, s, s.stride[0], groups)
	} else {
		convolveUneven(c.workers, y.floats, x, w, s, groups)
	}
	if b := c.optional(2); b != nil {
		check(b.isFloat() && b.len() == m, "a bias of shape %v for %d channels", b.shape, m)
		addChannels(y.floats, b.floats, s.out.H*s.out.W)
	}
	return one(y)
}

// convolve slides the filters by the same stride in both directions.
func convolve(workers int, y []float32, x, w *array, s sliding, stride, groups int) {
	n, channels, m := x.shape[0], x.shape[1], w.shape[0]
	in := shape2D(x)
	per, filters := channels/groups, m/groups
	size := per * s.kernel[0] * s.kernel[1] // of a filter
	// positions that are left out at the end are those of convolveUneven
	if s.kernel == [2]int{1, 1} && stride == 1 && s.before == [2]int{} && s.out == in && groups == 1 {
		for i := range n {
			kernel.MatMul(workers, y[i*m*in.H*in.W:][:m*in.H*in.W], kernel.Matrix{Data: w.floats, Rows: m, Cols: channels},
				kernel.Matrix{Data: x.floats[i*channels*in.H*in.W:][:channels*in.H*in.W], Rows: channels, Cols: in.H * in.W}, false)
		}
		return
	}
	phase := kernel.Shape2D{H: s.out.H + (s.kernel[0]-1)*s.dilation[0]/stride, W: s.out.W + (s.kernel[1]-1)*s.dilation[1]/stride}
	elements([]int{n, channels, stride, stride, phase.H, phase.W})
	planes := &kernel.Planes{N: n, C: channels, Stride: stride, H: phase.H, W: phase.W, Data: make([]float32, kernel.PlanesSize(n, channels, stride, phase))}
	planes.Fill(workers, x.floats, in, s.before[0], s.before[1])
	var taps []kernel.Tap
	for ky := range s.kernel[0] {
		for kx := range s.kernel[1] {
			dy, dx := ky*s.dilation[0], kx*s.dilation[1]
			taps = append(taps, kernel.Tap{Phase: dy%stride*stride + dx%stride, Row: dy / stride, Column: dx / stride})
		}
	}
	within := max(1, workers/groups)
	parallel.For(workers/within, groups, func(g int) {
		(&kernel.Correlation{
			Planes: planes, First: g * per, C: per, Taps: taps, Out: s.out, M: filters, Weights: w.floats[g*filters*size:][:filters*size],
			Y: y, At: g * filters, Channels: m,
		}).Run(within, false)
	})
}

// convolveUneven slides by one pixel and keeps the positions of both strides.
func convolveUneven(workers int, y []float32, x, w *array, s sliding, groups int) {
	dense := s
	dense.out.H, dense.out.W = (s.out.H-1)*s.stride[0]+1, (s.out.W-1)*s.stride[1]+1
	all := newFloats(x.shape[0], w.shape[0], dense.out.H, dense.out.W)
	convolve(workers, all.floats, x, w, dense, 1, groups)
	gather(y, all.floats, []int{x.shape[0] * w.shape[0], s.out.H, s.out.W}, []int{dense.out.H * dense.out.W, s.stride[0] * dense.out.W, s.stride[1]}, 0)
}

// addChannels adds b[c] to each plane of y (N,C,plane).
func addChannels(y, b []float32, plane int) {
	for i := 0; i < len(y)/max(plane, 1); i++ {
		part := y[i*plane:][:plane]
		v := b[i%len(b)]
		for j := range part {
			part[j] += v
		}
	}
}
