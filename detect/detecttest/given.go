package detecttest

import (
	"context"
	"fmt"
	"iter"

	"github.com/blemish/blemish/detect"
	"github.com/blemish/blemish/tensor"
)

// Given is an extractor whose feature maps are noise by a formula, which testdata/gen/goldens.py has too: what a method makes of them can be
// compared with a reference. A map is half a pattern of the tap and half the picture's own. Sizes are rounded down, as max pooling rounds them.
type Given []detect.Tap

// Taps are the extractor's own.
func (g Given) Taps() []detect.Tap { return g }

// Defective is the number from which on GivenPictures have a defect: features of their middle rows, in the middle column, are higher by 1.5.
const Defective = 100

// GivenPicture stands for a picture of that number: Given needs no more than its size and number.
func GivenPicture(number, height, width int) *tensor.Tensor {
	t := tensor.New(3, height, width)
	t.Data[0] = float32(number)
	return t
}

// Features returns the maps of the formula.
func (g Given) Features(_ context.Context, batch *tensor.Tensor, _ int) ([]*tensor.Tensor, error) {
	var maps []*tensor.Tensor
	for k, tap := range g {
		h, w := batch.Shape[2]/tap.Stride, batch.Shape[3]/tap.Stride
		m := tensor.New(batch.Shape[0], tap.Channels, h, w)
		for n := range batch.Shape[0] {
			number := int(batch.Item(n).Data[0])
			to := m.Item(n).Data
			for i := range to {
				v := Noise(uint32(k), i)/2 + Noise(uint32(100+number*10+k), i)/2
				y, x := i/w%h, i%w
				if number >= Defective && (y == h/2 || y == h/2-1) && x == w/2 {
					v += 1.5
				}
				to[i] = float32(v)
			}
		}
		maps = append(maps, m)
	}
	return maps, nil
}

// Noise is value i of a pattern, in [-1,1): a 32-bit mix of both, exact in float32.
func Noise(pattern uint32, i int) float64 {
	x := uint32(i)*2654435761 + pattern*40503
	x ^= x >> 15
	x *= 2246822519
	x ^= x >> 13
	x *= 3266489917
	x ^= x >> 16
	return float64(x>>8)/(1<<23) - 1
}

// GivenSizes is a source of GivenPictures of these heights and widths, numbered from 0.
type GivenSizes [][2]int

// Len is the number of sizes.
func (g GivenSizes) Len() int { return len(g) }

// Samples yields the pictures.
func (g GivenSizes) Samples(context.Context) iter.Seq2[detect.Sample, error] {
	return func(yield func(detect.Sample, error) bool) {
		for i, size := range g {
			if !yield(detect.Sample{Name: fmt.Sprint("given ", i), Image: GivenPicture(i, size[0], size[1])}, nil) {
				return
			}
		}
	}
}
