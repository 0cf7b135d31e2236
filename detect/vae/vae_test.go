package vae

import (
	"math/rand/v2"
	"testing"

	"github.com/blemish/blemish/autograd"
	"github.com/blemish/blemish/detect/detecttest"
	"github.com/blemish/blemish/detect/reconstruct"
	"github.com/blemish/blemish/detect/reconstruct/reconstructtest"
	"github.com/blemish/blemish/tensor"
)

func TestConformance(t *testing.T) {
	config := DefaultConfig()
	config.Base, config.Depth, config.Epochs, config.Tile, config.Overlap = 4, 2, 5, 32, 0
	detecttest.Run(t, detecttest.Method{Trainer: config, Open: Open, Pixels: true})
}

// noisy is a network whose noise is that of ../reconstruct/testdata/gen/losses.py.
type noisy struct {
	network
	step uint32
}

func (n *noisy) Learn(t *autograd.Tape, x *autograd.Var) (back, penalty *autograd.Var) {
	code := n.encoder.Forward(t, x)
	shape := code.Shape()
	noise := tensor.New(shape[0], n.latent, shape[2], shape[3])
	for i := range noise.Data {
		noise.Data[i] = float32(detecttest.Noise(1000+n.step, i) * 1.7)
	}
	n.step++
	return n.learn(t, x, code, noise)
}

func TestLearnsAsPyTorch(t *testing.T) {
	reconstructtest.LearnsAsPyTorch(t, func(s reconstruct.Settings) reconstruct.Network {
		return &noisy{network: Config{s, 2}.Build(rand.New(rand.NewPCG(1, 1))).(network)}
	})
}
