package reconstruct

import (
	"fmt"
	"math/rand/v2"

	"github.com/blemish/blemish/autograd"
	"github.com/blemish/blemish/nn"
)

// half halves, or in the other direction doubles, the sides of a picture.
var half = autograd.Window{Stride: 2, Pad: autograd.Pad(1)}

// Encoder maps tiles (N,3,T,T) to (N, out, T/2^depth, T/2^depth): Depth convolutions of 4x4 that halve the sides, and one of 1x1.
func (s Settings) Encoder(out int, rng *rand.Rand) nn.Sequential {
	var m nn.Sequential
	in := 3
	for i := range s.Depth {
		channels := s.Base << i
		m = append(m, nn.NewConv2d(fmt.Sprintf("encoder.%d", i), in, channels, 4, half, rng), nn.LeakyReLU(0.2))
		in = channels
	}
	return append(m, nn.NewConv2d("encoder.code", in, out, 1, autograd.Window{}, rng))
}

// Decoder is the way back from a code of Latent channels.
func (s Settings) Decoder(rng *rand.Rand) nn.Sequential {
	in := s.Base << (s.Depth - 1)
	m := nn.Sequential{nn.NewConv2d("decoder.code", s.Latent, in, 1, autograd.Window{}, rng), nn.LeakyReLU(0.2)}
	for i := s.Depth - 1; i > 0; i-- {
		m = append(m, nn.NewConvTranspose2d(fmt.Sprintf("decoder.%d", i), in, in/2, 4, half, 0, rng), nn.LeakyReLU(0.2))
		in /= 2
	}
	return append(m, nn.NewConvTranspose2d("decoder.0", in, 3, 4, half, 0, rng))
}
