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

// padded is a picture (3,H,W) that is at least a tile large: its last row and column are repeated.
func padded(p *tensor.Tensor, tile int) *tensor.Tensor {
	h, w := p.Shape[1], p.Shape[2]
	if h >= tile && w >= tile {
		return p
	}
	out := tensor.New(3, max(h, tile), max(w, tile))
	for c := range 3 {
		for y := range out.Shape[1] {
			from := p.Data[(c*h+min(y, h-1))*w:][:w]
			row := out.Data[(c*out.Shape[1]+y)*out.Shape[2]:][:out.Shape[2]]
			for x := range row {
				row[x] = from[min(x, w-1)]
			}
		}
	}
	return out
}

// crop copies the upper left h x w pixels of each channel.
func crop(p *tensor.Tensor, h, w int) *tensor.Tensor {
	out := tensor.New(p.Shape[0], h, w)
	for i := range out.Shape[0] * h {
		copy(out.Data[i*w:][:w], p.Data[(i/h*p.Shape[1]+i%h)*p.Shape[2]:])
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
