package patchcore

import (
	"testing"

	"github.com/blemish/blemish/detect/detecttest"
)

func TestConformance(t *testing.T) {
	config := DefaultConfig()
	config.Sigma = 2 // the suite's pictures are small
	detecttest.Run(t, detecttest.Method{Trainer: config, Open: Open})
}
