package infer

import (
	"github.com/blemish/blemish/internal/kernel"
	"github.com/blemish/blemish/internal/parallel"
)

// opConvTranspose is X (N,C,H,W), W (C,M/group,kH,kW), B (M) -> Y (N,M,h,w): the gradient of a convolution by its input. Each input pixel
// adds its multiple of the filter to the output.
func opConvTranspose(c *call) []*array {
	x, w := c.floats(0), c.floats(1)
	check(x.rank() == 4 && w.rank() == 4, "a picture of shape %v and weights of shape %v, want four dimensions", x.shape, w.shape)
	groups := int(c.integer("group", 1))
	n, channels, in := x.shape[0], x.shape[1], shape2D(x)
	check(groups > 0 && groups <= channels && w.shape[0] == channels && channels%groups == 0, "weights of shape %v in %d groups for a picture of shape %v", w.shape, groups, x.shape)
	m, k := w.shape[1]*groups, [2]int{w.shape[2], w.shape[3]}
	stride, dilation, pads, extra := c.list("strides", 2, 1), c.list("dilations", 2, 1), c.list("pads", 4, 0), c.list("output_padding", 2, 0)
	var out [2]int
	for d := range 2 {
		check(k[d] > 0 && stride[d] > 0 && dilation[d] > 0 && extra[d] >= 0, "strides %v, dilations %v, output padding %v", stride, dilation, extra)
		full := (x.shape[2+d]-1)*stride[d] + (k[d]-1)*dilation[d] + 1 + extra[d]
		out[d] = full - pads[d] - pads[2+d]
		total := full
		switch auto := c.text("auto_pad", "NOTSET"); {
		case c.has("output_shape"):
			out[d] = c.list("output_shape", 2, 0)[d]
			total -= out[d]
		case auto == "SAME_UPPER" || auto == "SAME_LOWER":
			out[d] = x.shape[2+d] * stride[d]
			total -= out[d]
		case auto == "VALID":
			out[d] = full
			continue
		default:
			continue
		}
		pads[d] = total - total/2
		if c.text("auto_pad", "NOTSET") == "SAME_UPPER" {
			pads[d] = total / 2
		}
	}
	check(out[0] > 0 && out[1] > 0, "the result would have shape %v", out)
	y := newFloats(n, m, out[0], out[1])
	per, filters, plane := channels/groups, m/groups, in.H*in.W
	rows := filters * k[0] * k[1]
	elements([]int{rows, plane})
	parallel.For(c.workers, n*groups, func(i int) {
		image, g := i/groups, i%groups
		columns := make([]float32, rows*plane)
		kernel.MatMul(1, columns, kernel.Matrix{Data: w.floats[g*per*rows:][:per*rows], Rows: per, Cols: rows, T: true},
			kernel.Matrix{Data: x.floats[(image*channels+g*per)*plane:][:per*plane], Rows: per, Cols: plane}, false)
		for r := range rows {
			f, ky, kx := r/(k[0]*k[1]), r/k[1]%k[0], r%k[1]
			to := y.floats[(image*m+g*filters+f)*out[0]*out[1]:][:out[0]*out[1]]
			for yy := range in.H {
				oy := yy*stride[0] + ky*dilation[0] - pads[0]
				if oy < 0 || oy >= out[0] {
					continue
				}
				for xx, v := range columns[r*plane+yy*in.W:][:in.W] {
					if ox := xx*stride[1] + kx*dilation[1] - pads[1]; ox >= 0 && ox < out[1] {
						to[oy*out[1]+ox] += v
					}
				}
			}
		}
	})
	if b := c.optional(2); b != nil {
		check(b.isFloat() && b.len() == m, "a bias of shape %v for %d channels", b.shape, m)
		addChannels(y.floats, b.floats, out[0]*out[1])
	}
	return one(y)
}
