package autoencoder

import (
	"math/rand/v2"
	"testing"

	"github.com/blemish/blemish/detect/detecttest"
	"github.com/blemish/blemish/detect/reconstruct"
	"github.com/blemish/blemish/detect/reconstruct/reconstructtest"
)

func TestConformance(t *testing.T) {
	config := DefaultConfig()
	config.Base, config.Depth, config.Epochs, config.Tile, config.Overlap = 4, 2, 5, 32, 0
	detecttest.Run(t, detecttest.Method{Trainer: config, Open: Open, Pixels: true})
}

func TestLearnsAsPyTorch(t *testing.T) {
	reconstructtest.LearnsAsPyTorch(t, func(s reconstruct.Settings) reconstruct.Network {
		return Config{s}.Build(rand.New(rand.NewPCG(1, 1)))
	})
}
