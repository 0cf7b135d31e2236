// Package vae is a variational autoencoder: the code of a picture is a normal distribution, held close to the standard normal, and in training what
// is given back comes from a random code of it. (Kingma and Welling, "Auto-encoding variational Bayes", ICLR 2014, arXiv:1312.6114; the weight of
// the divergence: Higgins et al., "beta-VAE", ICLR 2017)
package vae

import (
	"context"
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
	return reconstruct.Fit(ctx, c, train, opts)
}

// Open restores a detector from its State.
func Open(s detect.State, _ detect.Extractor) (detect.Detector, error) {
	return reconstruct.Open[Config]("VAE", s)
}

// Build makes the network, which starts from random weights.
func (c Config) Build(rng *rand.Rand) reconstruct.Network {
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

// Learn gives back a random code.
func (n network) Learn(t *autograd.Tape, x *autograd.Var) (back, penalty *autograd.Var) {
	code := n.encoder.Forward(t, x)
	shape := code.Shape()
	noise := tensor.New(shape[0], n.latent, shape[2], shape[3])
	for i := range noise.Data {
		noise.Data[i] = float32(t.Rand.NormFloat64())
	}
	return n.learn(t, x, code, noise)
}

// learn gives back mean + deviation·noise, so that gradients reach the encoder. The loss is a mean over pixels and channels, so the divergence is
// divided by their number.
func (n network) learn(t *autograd.Tape, x, code *autograd.Var, noise *tensor.Tensor) (back, penalty *autograd.Var) {
	mean, logvar := t.Narrow(code, 1, 0, n.latent), t.Narrow(code, 1, n.latent, n.latent)
	random := t.Add(mean, t.Mul(t.Exp(t.Scale(logvar, 0.5, 0)), t.Input(noise)))
	pixels := len(x.Value.Data) / x.Shape()[0]
	return n.decoder.Forward(t, random), t.Scale(t.GaussianKL(mean, logvar), n.beta/float32(pixels), 0)
}
