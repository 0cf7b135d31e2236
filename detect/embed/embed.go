// Package embed makes patch embeddings of feature maps: what several methods compare.
package embed

import (
	"github.com/blemish/blemish/tensor"
	"github.com/blemish/blemish/transform"
)

// Patches are the embeddings of a picture's positions, row by row: H·W rows of Width values.
type Patches struct {
	H, W  int
	Dim   int       // values of an embedding
	Width int       // Dim, rounded up to a multiple of Align; zeros behind
	Data  []float32 // (H·W, Width)
}

// Align is what row lengths are multiples of, as the distance kernels want them.
const Align = 16

// Width is the row length for embeddings of dim values.
func Width(dim int) int { return (dim + Align - 1) / Align * Align }

// Concat joins maps (C,h,w) into embeddings: deeper maps are resized bilinearly to the first one's size. (PatchCore, eq. 2 and 3)
func Concat(maps []*tensor.Tensor) Patches {
	p := Patches{H: maps[0].Shape[1], W: maps[0].Shape[2]}
	for _, m := range maps {
		p.Dim += m.Shape[0]
	}
	p.Width = Width(p.Dim)
	p.Data = make([]float32, p.H*p.W*p.Width)
	at := 0
	for _, m := range maps {
		m = transform.ResizeMaps(m, p.H, p.W)
		for c := range m.Shape[0] {
			for i, v := range m.Data[c*p.H*p.W:][:p.H*p.W] {
				p.Data[i*p.Width+at] = v
			}
			at++
		}
	}
	return p
}

// Pool3x3 averages every 3x3 neighbourhood of maps (C,h,w); outside the map are zeros, which count: torch.nn.AvgPool2d(3, 1, 1), the local
// aggregation of PatchCore (eq. 1) as anomalib has it.
func Pool3x3(m *tensor.Tensor) *tensor.Tensor {
	h, w := m.Shape[1], m.Shape[2]
	out := tensor.New(m.Shape...)
	sums := make([]float32, w) // of three rows
	for c := range m.Shape[0] {
		in, to := m.Data[c*h*w:][:h*w], out.Data[c*h*w:][:h*w]
		for y := range h {
			copy(sums, in[y*w:][:w])
			for _, other := range [2]int{y - 1, y + 1} {
				if other >= 0 && other < h {
					for x, v := range in[other*w:][:w] {
						sums[x] += v
					}
				}
			}
			row := to[y*w:][:w]
			left := float32(0)
			for x, v := range sums {
				sum := left + v
				if x+1 < w {
					sum += sums[x+1]
				}
				row[x] = sum / 9
				left = v
			}
		}
	}
	return out
}
