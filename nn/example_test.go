package nn_test

import (
	"fmt"
	"math/rand/v2"

	"github.com/blemish/blemish/autograd"
	"github.com/blemish/blemish/nn"
	"github.com/blemish/blemish/tensor"
)

// A small network learns the exclusive or.
func Example() {
	rng := rand.New(rand.NewPCG(1, 1))
	net := nn.Sequential{nn.NewLinear("hidden", 2, 8, rng), nn.Tanh, nn.NewLinear("out", 8, 1, rng)}
	optimizer, err := nn.NewAdam(nn.OneGroup(net, 0.05), nn.DefaultAdam())
	if err != nil {
		panic(err)
	}
	x := tensor.From([]float32{0, 0, 0, 1, 1, 0, 1, 1}, 4, 2)
	y := tensor.From([]float32{0, 1, 1, 0}, 4, 1)
	tape := autograd.NewTape()
	for range 300 {
		loss := tape.BCEWithLogits(net.Forward(tape, tape.Input(x)), tape.Input(y), autograd.BCE{})
		if err := tape.Backward(loss); err != nil {
			panic(err)
		}
		optimizer.Step()
		optimizer.ZeroGrad()
		tape.Reset()
	}
	for i, p := range tape.Sigmoid(net.Forward(tape, tape.Input(x))).Value.Data {
		fmt.Printf("%v xor %v: %.0f\n", x.Data[2*i], x.Data[2*i+1], p)
	}
	// Output:
	// 0 xor 0: 0
	// 0 xor 1: 1
	// 1 xor 0: 1
	// 1 xor 1: 0
}

// A loop of one's own: a frozen body, a rate that warms up and falls, clipped gradients, and validation without gradients.
func Example_customLoop() {
	rng := rand.New(rand.NewPCG(1, 1))
	body := nn.Sequential{nn.NewLinear("body", 3, 64, rng), nn.ReLU}
	head := nn.NewLinear("head", 64, 2, rng)
	nn.Freeze(body, true) // computed, but neither recorded nor learned
	net := nn.Sequential{body, nn.NewDropout(0.1), head}
	optimizer, err := nn.NewSGD(nn.OneGroup(head, 0.5), nn.SGDConfig{Momentum: 0.9})
	if err != nil {
		panic(err)
	}
	const steps = 200
	rates, schedule := nn.BaseLRs(optimizer), nn.WarmUp(0.1, 20, nn.CosineAnnealing(steps-20, 0))
	batch := func() (*tensor.Tensor, []int) { // is the sum of three numbers positive?
		x, y := tensor.New(32, 3), make([]int, 32)
		nn.Uniform(x, 1, rng)
		for i := range y {
			if x.Data[3*i]+x.Data[3*i+1]+x.Data[3*i+2] > 0 {
				y[i] = 1
			}
		}
		return x, y
	}
	tape := autograd.NewTape()
	for step := range steps {
		schedule.SetLR(optimizer, rates, step)
		x, y := batch()
		loss := tape.CrossEntropy(net.Forward(tape, tape.Input(x)), y, autograd.Classes{})
		if err := tape.Backward(loss); err != nil {
			panic(err)
		}
		nn.ClipGradNorm(head.Params(), 1)
		optimizer.Step()
		optimizer.ZeroGrad()
		tape.Reset()
	}
	nn.SetTraining(net, false)
	right := 0
	tape.NoGrad(func() {
		x, y := batch()
		logits := net.Forward(tape, tape.Input(x)).Value.Data
		for i, c := range y {
			if (logits[2*i+1] > logits[2*i]) == (c == 1) {
				right++
			}
		}
	})
	fmt.Println("at least 30 of 32 right:", right >= 30)
	// Output: at least 30 of 32 right: true
}
