package reconstruct

import (
	"github.com/blemish/blemish/tensor"
)

// starts are where tiles begin along a side of n pixels: they share at least overlap pixels, and the last one ends with the side.
func starts(n, tile, overlap int) []int {
	at := []int{0}
	for last := 0; last+tile < n; {
		last = min(last+tile-overlap, n-tile)
		at = append(at, last)
	}
	return at
}

// spot is a tile's upper left corner.
type spot struct{ y, x int }

func spots(h, w int, s Settings) []spot {
	var all []spot
	for _, y := range starts(h, s.Tile, s.Overlap) {
		for _, x := range starts(w, s.Tile, s.Overlap) {
			all = append(all, spot{y, x})
		}
	}
	return all
}

// padded is a picture (3,H,W) mirrored outwards by margin pixels, and farther to the right and below until it is a tile large.
func padded(p *tensor.Tensor, margin, tile int) *tensor.Tensor {
	h, w := p.Shape[1], p.Shape[2]
	if margin == 0 && h >= tile && w >= tile {
		return p
	}
	out := tensor.New(3, max(h+2*margin, tile), max(w+2*margin, tile))
	for c := range 3 {
		for y := range out.Shape[1] {
			from := p.Data[(c*h+mirror(y-margin, h))*w:][:w]
			row := out.Data[(c*out.Shape[1]+y)*out.Shape[2]:][:out.Shape[2]]
			for x := range row {
				row[x] = from[mirror(x-margin, w)]
			}
		}
	}
	return out
}

// mirror is the pixel of n that lies at i, as often mirrored at the borders as needed. Border pixels come twice.
func mirror(i, n int) int {
	i = ((i % (2 * n)) + 2*n) % (2 * n)
	return min(i, 2*n-1-i)
}

// crop copies the h x w pixels of each channel that begin margin pixels from the upper left corner.
func crop(p *tensor.Tensor, margin, h, w int) *tensor.Tensor {
	out := tensor.New(p.Shape[0], h, w)
	for i := range out.Shape[0] * h {
		copy(out.Data[i*w:][:w], p.Data[(i/h*p.Shape[1]+margin+i%h)*p.Shape[2]+margin:])
	}
	return out
}

// cut copies a tile of a picture (3,H,W) to dst (3,tile,tile).
func cut(dst []float32, p *tensor.Tensor, at spot, tile int) {
	h, w := p.Shape[1], p.Shape[2]
	for c := range 3 {
		for y := range tile {
			copy(dst[(c*tile+y)*tile:][:tile], p.Data[(c*h+at.y+y)*w+at.x:])
		}
	}
}

// blend is a picture that tiles are added to. Where tiles overlap, each counts more the farther the pixel is from its border.
type blend struct {
	sum     *tensor.Tensor // (3,H,W)
	weights []float32      // (H,W)
	ramp    []float32      // of a tile's side
}

func newBlend(h, w int, s Settings) *blend {
	b := &blend{sum: tensor.New(3, h, w), weights: make([]float32, h*w), ramp: make([]float32, s.Tile)}
	for i := range b.ramp {
		b.ramp[i] = float32(min(i+1, s.Tile-i, s.Overlap+1)) / float32(s.Overlap+1)
	}
	return b
}

func (b *blend) add(tile []float32, at spot) {
	n, h, w := len(b.ramp), b.sum.Shape[1], b.sum.Shape[2]
	for y, fy := range b.ramp {
		for x, fx := range b.ramp {
			p := (at.y+y)*w + at.x + x
			b.weights[p] += fy * fx
			for c := range 3 {
				b.sum.Data[c*h*w+p] += fy * fx * tile[(c*n+y)*n+x]
			}
		}
	}
}

// picture divides by the weights.
func (b *blend) picture() *tensor.Tensor {
	for i := range b.sum.Data {
		b.sum.Data[i] /= b.weights[i%len(b.weights)]
	}
	return b.sum
}
