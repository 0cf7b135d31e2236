// Package autoencoder learns to give good pictures back through a code too narrow to copy them; what is not like them comes back wrong. (Masci et
// al., "Stacked convolutional auto-encoders for hierarchical feature extraction", ICANN 2011; to learn by structural similarity as Bergmann et al.,
// VISAPP 2019, arXiv:1807.02011, set the loss to ssim)
package autoencoder

import (
	"context"
	"math/rand/v2"

	"github.com/blemish/blemish/autograd"
	"github.com/blemish/blemish/detect"
	"github.com/blemish/blemish/detect/reconstruct"
	"github.com/blemish/blemish/nn"
)

// Config are the hyper-parameters.
type Config struct {
	reconstruct.Settings
}

// DefaultConfig learns tiles of 64x64 by squared error.
func DefaultConfig() Config { return Config{reconstruct.DefaultSettings()} }

// Fit trains a network from random weights. It looks at pixels: it needs no extractor.
func (c Config) Fit(ctx context.Context, train detect.Source, opts *detect.FitOptions) (detect.Detector, error) {
	return reconstruct.Fit(ctx, c, train, opts)
}

// Open restores a detector from its State.
func Open(s detect.State, _ detect.Extractor) (detect.Detector, error) {
	return reconstruct.Open[Config]("autoencoder", s)
}

// Build makes the network, which starts from random weights.
func (c Config) Build(rng *rand.Rand) reconstruct.Network {
	return network{append(c.Encoder(c.Latent, rng), c.Decoder(rng)...)}
}

// network is encoder and decoder.
type network struct{ nn.Sequential }

func (n network) Learn(t *autograd.Tape, x *autograd.Var) (back, penalty *autograd.Var) {
	return n.Forward(t, x), nil
}
