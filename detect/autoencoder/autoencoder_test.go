package autoencoder

import (
	"testing"

	"github.com/blemish/blemish/detect/detecttest"
)

func TestConformance(t *testing.T) {
	config := DefaultConfig()
	config.Base, config.Depth, config.Epochs, config.Tile = 4, 2, 5, 32
	detecttest.Run(t, detecttest.Method{Trainer: config, Open: Open, Pixels: true})
}
