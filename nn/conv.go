package nn

import (
	"math"
	"math/rand/v2"

	"github.com/blemish/blemish/autograd"
	"github.com/blemish/blemish/tensor"
)

// Conv2d slides filters over pictures, as torch.nn.Conv2d.
type Conv2d struct {
	Name   string
	Weight *autograd.Var // (out, in/groups, k, k)
	Bias   *autograd.Var // (out), or nil: NewConv2d's has one, as PyTorch's default
	Window autograd.Window
}

// NewConv2d starts from PyTorch's default distribution: weight and bias uniform within 1/√fan_in.
func NewConv2d(name string, in, out, k int, win autograd.Window, rng *rand.Rand) *Conv2d {
	w := tensor.New(out, in/max(win.Groups, 1), k, k)
	c := &Conv2d{name, autograd.NewParam(name+".weight", w), autograd.NewParam(name+".bias", tensor.New(out)), win}
	KaimingUniform(w, rng)
	fan, _ := fans(w.Shape)
	Uniform(c.Bias.Value, 1/math.Sqrt(float64(fan)), rng)
	return c
}

// NoBias removes the bias: what follows, a batch norm, has its own.
func (c *Conv2d) NoBias() *Conv2d {
	c.Bias = nil
	return c
}

// Forward maps (N, in, H, W) to (N, out, H', W').
func (c *Conv2d) Forward(t *autograd.Tape, x *autograd.Var) *autograd.Var {
	t.Layer(c.Name)
	return t.Conv2d(x, c.Weight, c.Bias, c.Window)
}

// Params are weight and bias.
func (c *Conv2d) Params() []*autograd.Var { return some(c.Weight, c.Bias) }

// ConvTranspose2d enlarges pictures by learned filters, as torch.nn.ConvTranspose2d.
type ConvTranspose2d struct {
	Name   string
	Weight *autograd.Var // (in, out/groups, k, k)
	Bias   *autograd.Var // (out), or nil
	Window autograd.Window
	Extra  int // PyTorch's output_padding
}

// NewConvTranspose2d starts from PyTorch's default distribution: uniform within 1/√fan_in, which for this layer is counted from out.
func NewConvTranspose2d(name string, in, out, k int, win autograd.Window, extra int, rng *rand.Rand) *ConvTranspose2d {
	w := tensor.New(in, out/max(win.Groups, 1), k, k)
	c := &ConvTranspose2d{name, autograd.NewParam(name+".weight", w), autograd.NewParam(name+".bias", tensor.New(out)), win, extra}
	KaimingUniform(w, rng)
	fan, _ := fans(w.Shape)
	Uniform(c.Bias.Value, 1/math.Sqrt(float64(fan)), rng)
	return c
}

// Forward maps (N, in, H, W) to (N, out, H', W').
func (c *ConvTranspose2d) Forward(t *autograd.Tape, x *autograd.Var) *autograd.Var {
	t.Layer(c.Name)
	return t.ConvTranspose2d(x, c.Weight, c.Bias, c.Window, c.Extra)
}

// Params are weight and bias.
func (c *ConvTranspose2d) Params() []*autograd.Var { return some(c.Weight, c.Bias) }
