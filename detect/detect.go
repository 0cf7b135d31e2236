// Package detect is the contract every anomaly detection method keeps: a Trainer learns from good pictures and
// returns a Detector, which scores new ones. The methods are the packages below this one; they never import each other.
package detect

import (
	"context"
	"encoding/json"
	"iter"

	"github.com/blemish/blemish/tensor"
)

// Sample is one picture ready for a network.
type Sample struct {
	Name  string         // path or identifier, for messages
	Image *tensor.Tensor // (3,H,W), normalised for the backbone; H and W may differ from sample to sample
}

// Source is an ordered set of samples that can be ranged over again and again, each time in the same order.
type Source interface {
	Len() int
	// Samples yields every sample, or stops after the first error.
	Samples(ctx context.Context) iter.Seq2[Sample, error]
}

// Tap describes a feature map that an Extractor returns.
type Tap struct {
	Name     string // the layer's name in the network's state dict, such as "layer2"
	Channels int
	Stride   int // input pixels per feature position
}

// Extractor turns pictures into feature maps: a backbone cut at named layers. It is safe for concurrent use,
// and its results depend neither on workers nor on what else is in the batch.
type Extractor interface {
	Taps() []Tap
	// Features takes a batch (N,3,H,W) and returns one map (N,C,h,w) per tap, in the order of Taps.
	Features(ctx context.Context, batch *tensor.Tensor, workers int) ([]*tensor.Tensor, error)
}

// Trainer is a method's configuration: what can be fitted.
type Trainer interface {
	// Validate names the first field that is out of range.
	Validate() error
	// Fit learns from good samples. The same samples, configuration and seed give the same detector,
	// bit for bit, for any number of workers.
	Fit(ctx context.Context, train Source, opts *FitOptions) (Detector, error)
}

// Detector is a fitted method: immutable and safe for concurrent use.
type Detector interface {
	// Score judges a batch (N,3,H,W), one Result per picture in order. A picture's result does not depend on
	// the others in its batch, nor on opts.
	Score(ctx context.Context, batch *tensor.Tensor, opts *ScoreOptions) ([]Result, error)
	// State is what a model file keeps of the detector. Opening a State gives a detector with bit-identical scores.
	State() (State, error)
}

// Result is the judgement of one picture.
type Result struct {
	Score float32        // raw; higher is more anomalous; the method documents its unit
	Map   *tensor.Tensor // (H,W) raw anomaly map at the batch's own size, or nil where the method has none

	Classes []float32 // probability of each class, by label; nil where the method knows none
}

// State is a fitted detector as data: plain numbers, never code.
type State struct {
	Config  json.RawMessage           // the method's Config
	Tensors map[string]*tensor.Tensor // named arrays
	Doubles map[string]Doubles        // named arrays that single precision would round
}

// Doubles is an array in double precision.
type Doubles struct {
	Shape []int
	Data  []float64
}

// FitOptions says how to run a fit; it never changes what is learned, except by Seed and Extractor. Nil means defaults.
type FitOptions struct {
	Extractor Extractor      // feature maps, for the methods that need a backbone
	Seed      uint64         // of every random choice
	Workers   int            // goroutines; 0 means GOMAXPROCS
	Progress  func(Progress) // called from one goroutine at a time; may be nil
}

// ScoreOptions says how to run a scoring; it never changes a result. Nil means defaults.
type ScoreOptions struct {
	Workers int // goroutines; 0 means GOMAXPROCS
}

// Progress reports how far a long operation is.
type Progress struct {
	Stage string // "features", "coreset", …
	Done  int
	Total int // 0 where unknown
}
