package explain

import (
	"context"
	"math"

	"github.com/blemish/blemish/autograd"
	"github.com/blemish/blemish/nn"
	"github.com/blemish/blemish/tensor"
)

// Question is what a map is to explain: it gives the factor of each class's logit in the score whose gradient is taken.
type Question func(logits []float32) []float32

// Class asks what speaks for a class: the score is its logit.
func Class(class int) Question {
	return func(logits []float32) []float32 {
		factors := make([]float32, len(logits))
		factors[class] = 1
		return factors
	}
}

// Against asks what speaks against a class: the score is the log-odds log((1-p)/p) of its probability p. The factors are that score's
// derivatives: -1 for the class itself, the softmax over the others for these.
func Against(class int) Question {
	return func(logits []float32) []float32 {
		highest := math.Inf(-1)
		for k, v := range logits {
			if k != class {
				highest = max(highest, float64(v))
			}
		}
		total := 0.0
		for k, v := range logits {
			if k != class {
				total += math.Exp(float64(v) - highest)
			}
		}
		factors := make([]float32, len(logits))
		for k, v := range logits {
			factors[k] = float32(math.Exp(float64(v)-highest) / total)
		}
		factors[class] = -1
		return factors
	}
}

// Gradients computes the logits (N,K) of features (N,C,h,w) by the layers after them, which must be in evaluation, and the gradients
// (N,C,h,w) of each picture's score. Parameters of those layers must be frozen, so that none of their gradients is computed.
func Gradients(ctx context.Context, rest nn.Module, features *tensor.Tensor, ask Question, workers int) (logits, gradients *tensor.Tensor, err error) {
	defer autograd.Catch(&err)
	if err := ctx.Err(); err != nil {
		return nil, nil, err
	}
	t := autograd.NewTape()
	t.Workers = workers
	in := autograd.NewParam("features", features)
	out := t.Keep(rest.Forward(t, in))
	logits = out.Value.Clone()
	n, k := logits.Shape[0], logits.Shape[1]
	factors := tensor.New(n, k)
	for i := range n {
		copy(factors.Data[i*k:], ask(logits.Data[i*k:][:k]))
	}
	if err := t.Backward(t.Sum(t.Mul(out, t.Input(factors)))); err != nil {
		return nil, nil, err
	}
	if in.Grad == nil { // the logits do not depend on the features
		return logits, tensor.New(features.Shape...), nil
	}
	return logits, in.Grad.Clone(), nil
}
