// Package classifier learns from labelled pictures: a pretrained network, frozen but for its last layers, tells good pictures from defective
// ones, or the kinds of defect from each other. Its score is the probability that a picture is not good; its map is a class activation map of
// the log-odds.
package classifier

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/blemish/blemish/detect"
	"github.com/blemish/blemish/explain"
	"github.com/blemish/blemish/fault"
)

// Head is what is put on a backbone's feature maps.
type Head string

const (
	Linear Head = "linear" // global average pooling, dropout, one linear layer: for every backbone
	VGG    Head = "vgg"    // torchvision's: pooled to 7x7, three linear layers with ReLU and dropout between (classifier.0, .3, .6)
)

// Config says what is trained, and how. Its fields are method options by their JSON names.
type Config struct {
	Network string `json:"network"` // the backbone's name; set by who trains
	Head    Head   `json:"head"`
	Width   int    `json:"width"` // of the VGG head's hidden layers

	TrainFrom string `json:"train_from"` // first layer of the backbone that learns, such as features.24; all; or "" for the head alone
	TrainLast int    `json:"train_last"` // of the VGG head's three linear layers
	Norms     Norms  `json:"norms"`      // of a backbone that learns

	// Scales are further sizes, as shares of a picture's own, at which pooled features are read, too: the verdict is the mean over all sizes.
	Scales []float64 `json:"scales,omitempty"`

	Epochs     int       `json:"epochs"`
	BatchSize  int       `json:"batch_size"`
	ValidBatch int       `json:"valid_batch_size"` // pictures judged at once; it changes no figure
	TestBatch  int       `json:"test_batch_size"`  // pictures of a test judged at once; 0 for as many as there are workers. It changes no figure
	DropLast   bool      `json:"drop_last"`        // leave a last, smaller batch out
	Optimizer  Optimizer `json:"optimizer"`
	LR         float64   `json:"learning_rate"`
	BackboneLR float64   `json:"backbone_rate"` // the backbone's learning rate is this share of LR
	Momentum   float64   `json:"momentum"`
	Decay      float64   `json:"weight_decay"`
	Schedule   Schedule  `json:"schedule"`
	Warmup     int       `json:"warmup"`     // epochs of rising rates before a cosine
	Factor     float64   `json:"factor"`     // by which a plateau lowers the rate
	Patience   int       `json:"patience"`   // epochs that a plateau is borne
	StopAfter  int       `json:"stop_after"` // epochs without a better validation loss, then the best weights are kept; 0 never stops and keeps the last
	Smoothing  float64   `json:"label_smoothing"`
	Dropout    float64   `json:"dropout"`
	Balance    bool      `json:"balance"` // classes count alike, however many pictures they have

	Views   int     `json:"views"` // augmented views of each picture whose features are computed once for all; 0 augments anew every epoch
	Augment Augment `json:"augment"`

	Temper bool           `json:"temper"` // scale the probabilities to the validation pictures
	Flips  bool           `json:"flips"`  // judge mirrored pictures, too, if validation says that it helps
	Map    explain.Method `json:"map"`
}

// Optimizer is how weights follow gradients.
type Optimizer string

// Schedule is how learning rates change.
type Schedule string

// Norms says which statistics a learning backbone's batch norms use.
type Norms string

const (
	SGD   Optimizer = "sgd"
	AdamW Optimizer = "adamw"

	Constant        Schedule = "constant"
	Cosine          Schedule = "cosine"
	PlateauAccuracy Schedule = "plateau-accuracy" // ReduceLROnPlateau, mode max, on the validation accuracy
	PlateauLoss     Schedule = "plateau-loss"     // mode max, too, but on the last minibatch's loss, as the chapter's code may be told

	FrozenNorms Norms = "frozen" // those of the pretraining
	BatchNorms  Norms = "batch"  // those of each batch: for networks that learn from scratch
)

// All, as TrainFrom, trains the whole backbone.
const All = "all"

// DefaultConfig trains a linear head on pooled features of augmented views at two sizes. docs/classifier.md says how its settings were chosen.
func DefaultConfig() Config {
	return Config{
		Head: Linear, Width: 4096, TrainLast: 3, Norms: FrozenNorms, Scales: []float64{4. / 7},
		Epochs: 200, BatchSize: 64, ValidBatch: 64, Optimizer: AdamW, LR: 3e-3, BackboneLR: 0.1, Momentum: 0.9, Decay: 0.05,
		Schedule: Cosine, Warmup: 3, Factor: 0.1, Patience: 10, Smoothing: 0.1, Dropout: 0.2, Balance: true,
		Views: 4, Augment: Augment{Mirror: true, Jitter: 0.2, Rotate: 10}, Temper: true, Map: explain.Evidence,
	}
}

// FineTuning is DefaultConfig for a backbone that learns from the layer from on, or All: fewer epochs, which cost much more, and the best of
// them kept, since a whole network learns few pictures by heart.
func FineTuning(from string) Config {
	c := DefaultConfig()
	c.TrainFrom, c.Scales = from, nil
	c.Epochs, c.Warmup, c.StopAfter, c.BatchSize = 30, 1, 5, 32
	if from == All {
		c.Views = 0 // features of pictures are the pictures: views of all would fill the memory
	}
	return c
}

// Chapter are the settings of the published VGG-16 study: random crops, cross-entropy, SGD with momentum, ReduceLROnPlateau, five epochs.
func Chapter() Config {
	return Config{
		Head: VGG, Width: 4096, TrainLast: 3, Norms: FrozenNorms,
		Epochs: 5, BatchSize: 128, ValidBatch: 206, TestBatch: 63, DropLast: true, Optimizer: SGD, LR: 0.01, BackboneLR: 1, Momentum: 0.9,
		Schedule: PlateauAccuracy, Factor: 0.1, Patience: 10, Dropout: 0.5, Map: explain.GradCAM,
	}
}

// Validate names the first field that is out of range.
func (c Config) Validate() error {
	for _, f := range []struct {
		name   string
		value  any
		ok     bool
		reason string
	}{
		{"head", c.Head, c.Head == Linear || c.Head == VGG, "known are linear and vgg"},
		{"width", c.Width, c.Width >= 1 && c.Width <= 1<<16, "want 1 to 65536"},
		{"train_last", c.TrainLast, c.TrainLast >= 1 && c.TrainLast <= 3, "want 1, 2 or 3 of the head's linear layers"},
		{"norms", c.Norms, c.Norms == FrozenNorms || c.Norms == BatchNorms, "known are frozen and batch"},
		{"scales", c.Scales, len(c.Scales) == 0 || c.pooled() && len(c.Scales) <= 8 && !slices.ContainsFunc(c.Scales, func(s float64) bool { return !(s >= 1./16 && s <= 4) }),
			"want up to 8 shares from 1/16 to 4, for a linear head on a frozen backbone"},
		{"epochs", c.Epochs, c.Epochs >= 1, "want 1 or more"},
		{"batch_size", c.BatchSize, c.BatchSize >= 1, "want 1 or more"},
		{"valid_batch_size", c.ValidBatch, c.ValidBatch >= 1, "want 1 or more"},
		{"test_batch_size", c.TestBatch, c.TestBatch >= 0, "want 1 or more, or 0"},
		{"optimizer", c.Optimizer, c.Optimizer == SGD || c.Optimizer == AdamW, "known are sgd and adamw"},
		{"learning_rate", c.LR, c.LR > 0 && c.LR < 1e3, "want more than 0, such as 0.01"},
		{"backbone_rate", c.BackboneLR, c.BackboneLR >= 0 && c.BackboneLR < 1e3, "want 0 or more, such as 0.1"},
		{"momentum", c.Momentum, c.Momentum >= 0 && c.Momentum < 1, "want at least 0 and less than 1"},
		{"weight_decay", c.Decay, c.Decay >= 0 && c.Decay < 1e3, "want 0 or more"},
		{"schedule", c.Schedule, slices.Contains([]Schedule{Constant, Cosine, PlateauAccuracy, PlateauLoss}, c.Schedule),
			"known are constant, cosine, plateau-accuracy and plateau-loss"},
		{"warmup", c.Warmup, c.Warmup >= 0, "want 0 or more epochs"},
		{"epochs", c.Epochs, c.Schedule != Cosine || c.Warmup < c.Epochs,
			fmt.Sprintf("the rates rise for %d of them (warmup) and a cosine needs at least one more: want %d epochs or more, or less warm-up, such as --warmup %d",
				c.Warmup, c.Warmup+1, c.Epochs-1)},
		{"factor", c.Factor, c.Factor > 0 && c.Factor < 1, "want more than 0 and less than 1"},
		{"patience", c.Patience, c.Patience >= 0, "want 0 or more epochs"},
		{"stop_after", c.StopAfter, c.StopAfter >= 0, "want 0 or more epochs"},
		{"label_smoothing", c.Smoothing, c.Smoothing >= 0 && c.Smoothing < 1, "want at least 0 and less than 1"},
		{"dropout", c.Dropout, c.Dropout >= 0 && c.Dropout < 1, "want at least 0 and less than 1"},
		{"views", c.Views, c.Views >= 0 && c.Views <= 1000, "want 0 to 1000"},
		{"map", c.Map, slices.Contains(explain.Methods(), c.Map), fmt.Sprintf("known are %v", explain.Methods())},
	} {
		if !f.ok {
			return &fault.ConfigError{Field: f.name, Value: f.value, Reason: f.reason}
		}
	}
	return c.Augment.Validate()
}

// ErrNeedsClasses is returned by Fit: good pictures alone teach a classifier nothing.
var ErrNeedsClasses = errors.New("a classifier learns from labelled pictures of at least two classes: give class folders, good beside folders of defects")

// Fit refuses: a detect.Source has no labels. Use FitClasses.
func (c Config) Fit(context.Context, detect.Source, *detect.FitOptions) (detect.Detector, error) {
	return nil, ErrNeedsClasses
}
