// Package vae is a variational autoencoder: the code of a picture is a normal distribution, held close to the standard normal, and in training what
// is given back comes from a random code of it. (Kingma and Welling, "Auto-encoding variational Bayes", ICLR 2014, arXiv:1312.6114; the weight of
// the divergence: Higgins et al., "beta-VAE", ICLR 2017)
package vae

import (
	"context"
	"encoding/json"
	"math/rand/v2"

	"github.com/blemish/blemish/autograd"
	"github.com/blemish/blemish/detect"
	"github.com/blemish/blemish/detect/reconstruct"
	"github.com/blemish/blemish/fault"
	"github.com/blemish/blemish/nn"
	"github.com/blemish/blemish/tensor"
)

// Config are the hyper-parameters.
type Config struct {
	reconstruct.Settings
	Beta float64 `json:"beta"` // weight of the divergence, beside a loss that is summed over pixels and channels as the paper's
}

// DefaultConfig weighs the divergence as the paper's bound does, on tiles of 64x64.
func DefaultConfig() Config { return Config{reconstruct.DefaultSettings(), 1} }

// Validate names the first field that is out of range.
func (c Config) Validate() error {
	if !(c.Beta >= 0 && c.Beta <= 1e6) {
		return &fault.ConfigError{Field: "beta", Value: c.Beta, Reason: "want 0 or more, such as 1"}
	}
	return c.Settings.Validate()
}

// Fit trains a network from random weights. It looks at pixels: it needs no extractor.
func (c Config) Fit(ctx context.Context, train detect.Source, opts *detect.FitOptions) (detect.Detector, error) {
	if err := c.Validate(); err != nil {
		return nil, err
	}
	d, err := reconstruct.Fit(ctx, c.Settings, c, c.build, train, opts)
	if err != nil {
		return nil, err
	}
	return d, nil
}

// Open restores a detector from its State.
func Open(s detect.State, _ detect.Extractor) (detect.Detector, error) {
	var c Config
	if err := json.Unmarshal(s.Config, &c); err != nil {
		return nil, &fault.FormatError{Format: "VAE", Reason: "its configuration is damaged", Err: err}
	}
	if err := c.Validate(); err != nil {
		return nil, &fault.FormatError{Format: "VAE", Reason: "its configuration is damaged", Err: err}
	}
	d, err := reconstruct.Open(c.Settings, c, c.build, s)
	if err != nil {
		return nil, err
	}
	return d, nil
}

func (c Config) build(rng *rand.Rand) reconstruct.Network {
	return network{c.Encoder(2*c.Latent, rng), c.Decoder(rng), c.Latent, float32(c.Beta)}
}

// network has an encoder whose first latent channels are the code's mean, the others the logarithm of its variance.
type network struct {
	encoder, decoder nn.Sequential
	latent           int
	beta             float32
}

func (n network) Params() []*autograd.Var { return append(n.encoder.Params(), n.decoder.Params()...) }

// Forward gives back the mean code: judging is not random.
func (n network) Forward(t *autograd.Tape, x *autograd.Var) *autograd.Var {
	return n.decoder.Forward(t, t.Narrow(n.encoder.Forward(t, x), 1, 0, n.latent))
}

// Learn gives back a random code, mean + deviation·noise, so that gradients reach the encoder. The loss is a mean over pixels and channels, so the
// divergence is divided by their number.
func (n network) Learn(t *autograd.Tape, x *autograd.Var) (back, penalty *autograd.Var) {
	code := n.encoder.Forward(t, x)
	mean, logvar := t.Narrow(code, 1, 0, n.latent), t.Narrow(code, 1, n.latent, n.latent)
	noise := tensor.New(mean.Shape()...)
	for i := range noise.Data {
		noise.Data[i] = float32(t.Rand.NormFloat64())
	}
	random := t.Add(mean, t.Mul(t.Exp(t.Scale(logvar, 0.5, 0)), t.Input(noise)))
	pixels := len(x.Value.Data) / x.Shape()[0]
	return n.decoder.Forward(t, random), t.Scale(t.GaussianKL(mean, logvar), n.beta/float32(pixels), 0)
}
