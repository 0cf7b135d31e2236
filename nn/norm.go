package nn

import (
	"github.com/blemish/blemish/autograd"
	"github.com/blemish/blemish/tensor"
)

// BatchNorm normalises channels by the batch's statistics in training, by its running ones in evaluation, as torch.nn.BatchNorm1d and 2d.
type BatchNorm struct {
	Name         string
	Weight, Bias *autograd.Var // (C)
	RunningMean  *tensor.Tensor
	RunningVar   *tensor.Tensor
	Momentum     float64        // 0.1: the weight of the newest batch
	Cumulative   *tensor.Tensor // (1): batches so far; then running statistics are means over all of them, whatever Momentum is
	Eps          float64        // 1e-5
	evaluating   bool
}

// NewBatchNorm starts as PyTorch's: weight and variance 1, bias and mean 0.
func NewBatchNorm(name string, channels int) *BatchNorm {
	return &BatchNorm{
		Name: name, Weight: autograd.NewParam(name+".weight", fill(tensor.New(channels), 1)), Bias: autograd.NewParam(name+".bias", tensor.New(channels)),
		RunningMean: tensor.New(channels), RunningVar: fill(tensor.New(channels), 1), Momentum: 0.1, Eps: 1e-5,
	}
}

// Averaged makes the running statistics plain means over all batches so far, PyTorch's momentum=None.
func (b *BatchNorm) Averaged() *BatchNorm {
	b.Cumulative = tensor.New(1)
	return b
}

// Forward keeps the shape (N, C, …).
func (b *BatchNorm) Forward(t *autograd.Tape, x *autograd.Var) *autograd.Var {
	t.Layer(b.Name)
	r := autograd.Running{Mean: b.RunningMean.Data, Var: b.RunningVar.Data, Momentum: b.Momentum}
	if b.Cumulative != nil && !b.evaluating {
		b.Cumulative.Data[0]++
		r.Momentum = 1 / float64(b.Cumulative.Data[0])
	}
	return t.BatchNorm(x, b.Weight, b.Bias, &r, !b.evaluating, b.Eps)
}

// Params are weight and bias.
func (b *BatchNorm) Params() []*autograd.Var { return []*autograd.Var{b.Weight, b.Bias} }

// Buffers are the running statistics.
func (b *BatchNorm) Buffers() []Buffer {
	buffers := []Buffer{{b.Name + ".running_mean", b.RunningMean}, {b.Name + ".running_var", b.RunningVar}}
	if b.Cumulative != nil {
		buffers = append(buffers, Buffer{b.Name + ".num_batches_tracked", b.Cumulative})
	}
	return buffers
}

// SetTraining chooses the statistics.
func (b *BatchNorm) SetTraining(on bool) { b.evaluating = !on }

// LayerNorm normalises the last dimension, as torch.nn.LayerNorm.
type LayerNorm struct {
	Name         string
	Weight, Bias *autograd.Var // (D)
	Eps          float64       // 1e-5
}

// NewLayerNorm starts as PyTorch's: weight 1, bias 0.
func NewLayerNorm(name string, d int) *LayerNorm {
	return &LayerNorm{name, autograd.NewParam(name+".weight", fill(tensor.New(d), 1)), autograd.NewParam(name+".bias", tensor.New(d)), 1e-5}
}

// Forward keeps the shape (…, D).
func (l *LayerNorm) Forward(t *autograd.Tape, x *autograd.Var) *autograd.Var {
	t.Layer(l.Name)
	return t.LayerNorm(x, l.Weight, l.Bias, l.Eps)
}

// Params are weight and bias.
func (l *LayerNorm) Params() []*autograd.Var { return []*autograd.Var{l.Weight, l.Bias} }
