package blemish

import (
	"encoding/json"

	"github.com/blemish/blemish/transform"
)

// Info is what a model file says of itself.
type Info struct {
	Format      int              `json:"format"` // of the model file
	Method      string           `json:"method"`
	Options     json.RawMessage  `json:"options"` // the method's configuration
	Backbone    BackboneInfo     `json:"backbone"`
	Preprocess  transform.Config `json:"preprocess"`
	Calibration Calibration      `json:"calibration"`
	Provenance  Provenance       `json:"provenance"`
}

// BackboneInfo names the network whose feature maps a model sees.
type BackboneInfo struct {
	Name   string   `json:"name"`
	Layers []string `json:"layers"`
	Digest string   `json:"digest"` // SHA-256 over the names, shapes and values of the weights used

	Weights string `json:"weights,omitempty"` // "none" where they were random; else pretrained
}

// Provenance is where a model comes from. It holds no time and no machine, so that the same training gives the same file.
type Provenance struct {
	Blemish        string `json:"blemish"`  // version that trained it
	Pictures       int    `json:"pictures"` // given as good, suspects among them
	HeldOut        int    `json:"held_out"` // of them, for calibration alone
	Data           string `json:"data"`     // SHA-256 over the pictures' names and pixels, in order
	Seed           uint64 `json:"seed"`
	InstructionSet string `json:"instruction_set"` // floating-point results are bit-identical within one

	Suspects []Suspect `json:"suspects,omitempty"` // pictures left out since they may not be good, the most suspicious first
}
