package infer

import (
	"math"

	"github.com/blemish/blemish/internal/parallel"
)

// pool combines the pixels under each window, given the part of the window that lies in the picture.
func (c *call) pool(combine func(plane []float32, width int, rows, columns span, size int) float32) []*array {
	x := c.floats(0)
	check(x.rank() >= 3 && c.has("kernel_shape"), "a picture of shape %v without a kernel_shape", x.shape)
	s := c.window2D(x, nil, c.integer("ceil_mode", 0) != 0)
	in := shape2D(x)
	y := newFloats(pictureShape(x, x.shape[1], s.out)...)
	parallel.For(c.workers, x.shape[0]*x.shape[1], func(i int) {
		plane := x.floats[i*in.H*in.W:][:in.H*in.W]
		to := y.floats[i*s.out.H*s.out.W:][:s.out.H*s.out.W]
		for oy := range s.out.H {
			rows, high := s.under(0, oy, in.H)
			for ox := range s.out.W {
				columns, wide := s.under(1, ox, in.W)
				to[oy*s.out.W+ox] = combine(plane, in.W, rows, columns, high*wide)
			}
		}
	})
	return one(y)
}

// span is first, first+step … below end.
type span struct{ first, end, step int }

// under is what position at of the window sees of a picture of n pixels, and how many positions it has there and in the padding.
func (s sliding) under(d, at, n int) (seen span, padded int) {
	first := at*s.stride[d] - s.before[d]
	end := first + (s.kernel[d]-1)*s.dilation[d] + 1
	seen = span{first, min(end, n), s.dilation[d]}
	if first < 0 {
		seen.first += (-first + s.dilation[d] - 1) / s.dilation[d] * s.dilation[d]
	}
	padded = (min(end, n+s.after[d]) - first + s.dilation[d] - 1) / s.dilation[d]
	return seen, padded
}

// opMaxPool is the largest value under each window; what lies outside does not count.
func opMaxPool(c *call) []*array {
	if len(c.node.Out) > 1 && c.node.Out[1] != "" {
		unsupported("MaxPool with indices")
	}
	return c.pool(func(plane []float32, width int, rows, columns span, _ int) float32 {
		best := float32(math.Inf(-1))
		for y := rows.first; y < rows.end; y += rows.step {
			row := plane[y*width:][:width]
			for x := columns.first; x < columns.end; x += columns.step {
				best = max(best, row[x])
			}
		}
		return best
	})
}

// opAveragePool is the mean under each window, of the pixels in the picture or, with count_include_pad, of those in the padding, too.
func opAveragePool(c *call) []*array {
	withPad := c.integer("count_include_pad", 0) != 0
	return c.pool(func(plane []float32, width int, rows, columns span, size int) float32 {
		sum, seen := 0.0, 0
		for y := rows.first; y < rows.end; y += rows.step {
			row := plane[y*width:][:width]
			for x := columns.first; x < columns.end; x += columns.step {
				sum += float64(row[x])
				seen++
			}
		}
		if withPad {
			seen = size
		}
		if seen == 0 {
			return 0
		}
		return float32(sum / float64(seen))
	})
}

// opGlobalAveragePool is the mean of each channel.
func opGlobalAveragePool(c *call) []*array {
	return global(c, meanOf)
}

// opGlobalMaxPool is the largest value of each channel.
func opGlobalMaxPool(c *call) []*array {
	return global(c, maxOf)
}

func global(c *call, of func([]float32) float32) []*array {
	x := c.floats(0)
	check(x.rank() >= 3 && x.len() > 0, "a picture of shape %v", x.shape)
	shape := append([]int{}, x.shape[:2]...)
	for range x.shape[2:] {
		shape = append(shape, 1)
	}
	y := newFloats(shape...)
	n := x.len() / y.len()
	for i := range y.floats {
		y.floats[i] = of(x.floats[i*n:][:n])
	}
	return one(y)
}
