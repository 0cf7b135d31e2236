package reconstruct

import (
	"math"

	"github.com/blemish/blemish/tensor"
)

// enter is a picture (3,H,W) as the network sees it, at least a tile large. In logarithms another exposure adds the same number to every pixel, and
// the same relative difference counts alike in bright and dark places; the offset keeps the noise of black pixels small. Pixels below 0, which only
// other preprocessing than the default makes, are mirrored.
func (s Settings) enter(picture *tensor.Tensor) *tensor.Tensor {
	if s.LogOffset > 0 {
		tone := tensor.New(picture.Shape...)
		for i, v := range picture.Data {
			v := float64(v)
			tone.Data[i] = float32(math.Copysign(math.Log1p(math.Abs(v)/s.LogOffset), v))
		}
		picture = tone
	}
	return padded(picture, s.Margin, s.Tile)
}

// leave turns what the network sees back into pixels, in place.
func (s Settings) leave(picture *tensor.Tensor) {
	if s.LogOffset == 0 {
		return
	}
	for i, v := range picture.Data {
		v := float64(v)
		picture.Data[i] = float32(math.Copysign(s.LogOffset*math.Expm1(math.Abs(v)), v))
	}
}
