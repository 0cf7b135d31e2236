package nn_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"math/rand/v2"
	"testing"

	"github.com/blemish/blemish/autograd"
	"github.com/blemish/blemish/internal/race"
	"github.com/blemish/blemish/nn"
	"github.com/blemish/blemish/tensor"
)

// convNet has everything whose sums or random numbers could depend on who computes them: convolutions, batch norms, dropout, pooling and the
// way back up. Its activations are large enough to be divided among goroutines.
func convNet() nn.Sequential {
	rng := rand.New(rand.NewPCG(2, 3))
	same := autograd.Window{Pad: autograd.Pad(1)}
	return nn.Sequential{
		nn.NewConv2d("conv1", 3, 16, 3, same, rng).NoBias(), nn.NewBatchNorm("bn1", 16), nn.ReLU, nn.MaxPool2d(2, autograd.Window{Stride: 2}),
		nn.NewConv2d("conv2", 16, 24, 3, same, rng), nn.NewBatchNorm("bn2", 24), nn.SiLU, nn.NewDropout(0.3),
		nn.NewConvTranspose2d("up", 24, 8, 4, autograd.Window{Stride: 2, Pad: autograd.Pad(1)}, 0, rng), nn.Tanh,
		nn.NewConv2d("depthwise", 8, 8, 3, autograd.Window{Pad: autograd.Pad(1), Groups: 8}, rng), nn.AvgPool2d(4, autograd.Window{Stride: 4}),
		nn.Flatten, nn.NewLinear("fc", 8*8*8, 130, rng), nn.GELU, nn.NewLinear("out", 130, 5, rng),
	}
}

// trained is the bytes of a network's state after some steps.
func trained(t *testing.T, workers int, make func(net nn.Module) (nn.Optimizer, error)) []byte {
	t.Helper()
	net := convNet()
	optimizer, err := make(net)
	if err != nil {
		t.Fatal(err)
	}
	tape := autograd.NewTape()
	tape.Workers = workers
	rng := rand.New(rand.NewPCG(7, 7))
	for range 4 {
		x := tensor.New(6, 3, 32, 32)
		nn.Uniform(x, 1, rng)
		optimizer.ZeroGrad()
		loss := tape.CrossEntropy(net.Forward(tape, tape.Input(x)), []int{0, 1, 2, 3, 4, 0}, autograd.Classes{})
		if err := tape.Backward(loss); err != nil {
			t.Fatal(err)
		}
		nn.ClipGradNorm(net.Params(), 1)
		optimizer.Step()
		tape.Reset()
	}
	var b bytes.Buffer
	for _, s := range append(nn.State(net), optimizer.State()...) {
		b.WriteString(s.Name)
		if err := binary.Write(&b, binary.LittleEndian, s.Value.Data); err != nil {
			t.Fatal(err)
		}
	}
	return b.Bytes()
}

func TestTrainingGivesTheSameBytesForAnyNumberOfWorkers(t *testing.T) {
	for name, make := range map[string]func(net nn.Module) (nn.Optimizer, error){
		"sgd": func(net nn.Module) (nn.Optimizer, error) {
			return nn.NewSGD(nn.OneGroup(net, 0.05), nn.SGDConfig{Momentum: 0.9, WeightDecay: 1e-3})
		},
		"adamw": func(net nn.Module) (nn.Optimizer, error) {
			return nn.NewAdam(nn.OneGroup(net, 1e-3), nn.DefaultAdamW())
		},
	} {
		first := trained(t, 1, make)
		for _, workers := range []int{2, 3, 7} {
			if again := trained(t, workers, make); !bytes.Equal(again, first) {
				t.Errorf("%s: %d workers give %x, one gives %x", name, workers, sha256.Sum256(again), sha256.Sum256(first))
			}
		}
	}
}

// The digits autoencoder takes 38,000 steps in 100 epochs. After the first, a step allocates nothing, with any optimiser.
func TestAutoencoderStepsAllocateNothing(t *testing.T) {
	for name, make := range map[string]func(net nn.Module) (nn.Optimizer, error){
		"sgd": func(net nn.Module) (nn.Optimizer, error) { return nn.NewSGD(nn.OneGroup(net, 0.002), nn.SGDConfig{}) },
		"momentum": func(net nn.Module) (nn.Optimizer, error) {
			return nn.NewSGD(nn.OneGroup(net, 0.002), nn.SGDConfig{Momentum: 0.9, WeightDecay: 1e-4})
		},
		"adam": func(net nn.Module) (nn.Optimizer, error) {
			return nn.NewAdam(nn.OneGroup(net, 0.002), nn.DefaultAdam())
		},
	} {
		net := autoencoder()
		optimizer, err := make(net)
		if err != nil {
			t.Fatal(err)
		}
		tape := autograd.NewTape()
		batch := tensor.New(10, 65)
		nn.Uniform(batch, 1, rand.New(rand.NewPCG(1, 1)))
		step := func() {
			optimizer.ZeroGrad()
			in := tape.Input(batch)
			if err := tape.Backward(tape.MSE(net.Forward(tape, in), in)); err != nil {
				t.Fatal(err)
			}
			optimizer.Step()
			tape.Reset()
		}
		step()
		if n := testing.AllocsPerRun(200, step); n > 0 && !race.Enabled {
			t.Errorf("%s: %v allocations a step", name, n)
		}
	}
}
