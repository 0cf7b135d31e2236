package nn

import (
	"math"
	"math/rand/v2"

	"github.com/blemish/blemish/autograd"
	"github.com/blemish/blemish/tensor"
)

// MultiheadAttention lets every token of a sequence read every other, as torch.nn.MultiheadAttention with one input for queries, keys and
// values (Vaswani et al., NeurIPS 2017, 3.2).
type MultiheadAttention struct {
	Name  string
	Heads int
	InW   *autograd.Var // in_proj_weight (3·D, D): queries, keys, values
	InB   *autograd.Var // in_proj_bias (3·D)
	Out   *Linear       // out_proj
}

// NewMultiheadAttention starts from PyTorch's distributions. heads divides d.
func NewMultiheadAttention(name string, d, heads int, rng *rand.Rand) *MultiheadAttention {
	if d%heads != 0 {
		panic("nn: " + name + ": the number of heads does not divide the width")
	}
	m := &MultiheadAttention{
		Name: name, Heads: heads,
		InW: autograd.NewParam(name+".in_proj_weight", tensor.New(3*d, d)), InB: autograd.NewParam(name+".in_proj_bias", tensor.New(3*d)),
		Out: NewLinear(name+".out_proj", d, d, rng),
	}
	XavierUniform(m.InW.Value, rng)
	fill(m.Out.Bias.Value, 0)
	return m
}

// Forward maps (N, T, D) to (N, T, D).
func (m *MultiheadAttention) Forward(t *autograd.Tape, x *autograd.Var) *autograd.Var {
	t.Layer(m.Name)
	n, tokens, d := x.Shape()[0], x.Shape()[1], x.Shape()[2]
	width := d / m.Heads
	all := t.Linear(x, m.InW, m.InB)                                             // (N, T, 3·D)
	all = t.Permute(t.Reshape(all, n, tokens, 3, m.Heads, width), 2, 0, 3, 1, 4) // (3, N, heads, T, width)
	part := func(i int) *autograd.Var {                                          // (N, heads, T, width)
		return t.Reshape(t.Narrow(all, 0, i, 1), n, m.Heads, tokens, width)
	}
	scores := t.MatMulT(t.Scale(part(0), float32(1/math.Sqrt(float64(width))), 0), part(1)) // (N, heads, T, T)
	read := t.MatMul(t.Softmax(scores), part(2))                                            // (N, heads, T, width)
	return m.Out.Forward(t, t.Reshape(t.Permute(read, 0, 2, 1, 3), n, tokens, d))
}

// Params are in PyTorch's order.
func (m *MultiheadAttention) Params() []*autograd.Var {
	return append([]*autograd.Var{m.InW, m.InB}, m.Out.Params()...)
}

// TransformerBlock is attention and a two-layer network, each after a layer norm and beside a shortcut (pre-norm), as in torchvision's
// EncoderBlock.
type TransformerBlock struct {
	Norm1, Norm2 *LayerNorm
	Attention    *MultiheadAttention
	Up, Down     *Linear
}

// NewTransformerBlock widens tokens from d to hidden values in between.
func NewTransformerBlock(name string, d, heads, hidden int, rng *rand.Rand) *TransformerBlock {
	b := &TransformerBlock{
		NewLayerNorm(name+".ln_1", d), NewLayerNorm(name+".ln_2", d), NewMultiheadAttention(name+".self_attention", d, heads, rng),
		NewLinear(name+".mlp.0", d, hidden, rng), NewLinear(name+".mlp.3", hidden, d, rng),
	}
	b.Norm1.Eps, b.Norm2.Eps = 1e-6, 1e-6
	return b
}

// Forward maps (N, T, D) to (N, T, D).
func (b *TransformerBlock) Forward(t *autograd.Tape, x *autograd.Var) *autograd.Var {
	x = t.Add(x, b.Attention.Forward(t, b.Norm1.Forward(t, x)))
	h := b.Up.Forward(t, b.Norm2.Forward(t, x))
	return t.Add(x, b.Down.Forward(t, t.GELU(h)))
}

// Params are in torchvision's order.
func (b *TransformerBlock) Params() []*autograd.Var { return Sequential(b.Children()).Params() }

// Children are the layers.
func (b *TransformerBlock) Children() []Module {
	return []Module{b.Norm1, b.Attention, b.Norm2, b.Up, b.Down}
}
