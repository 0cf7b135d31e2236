package blemish

import (
	"encoding/json"
	"fmt"
	"strings"

	"github.com/blemish/blemish/backbone"
	"github.com/blemish/blemish/checkpoint"
	"github.com/blemish/blemish/detect"
	"github.com/blemish/blemish/fault"
	"github.com/blemish/blemish/transform"
)

// Config is everything that decides what a model learns from given pictures. Zero fields take the defaults named here.
type Config struct {
	Method        string            // "patchcore" if empty
	MethodOptions json.RawMessage   // JSON object over the method's defaults; see Method.Defaults
	Backbone      string            // a known name or the path of an .onnx file; "efficientnet-lite0" if empty; methods without a backbone take none
	Layers        []string          // feature taps; the backbone's default taps if empty
	WeightType    checkpoint.DType  // F16 or BF16 rounds a frozen backbone's filters and matrices to 16 bits, for smaller files; as they come if empty
	Preprocess    *transform.Config // DefaultPreprocess of the backbone if nil
	Seed          uint64            // of every random choice
	Calibration   CalibrationConfig // how the threshold is found
	Contamination Contamination     // how many of the good pictures are left out because they may be defective
}

// Defaults of Config.
const (
	DefaultMethod   = "patchcore"
	DefaultBackbone = "efficientnet-lite0"
	DefaultSize     = 256 // pixels of a picture's shorter side, for a backbone
	PlainSize       = 128 // likewise, for methods without one
)

// NoBackbone is the name of the backbone of methods that look at pixels.
const NoBackbone = "none"

// PlainPreprocess is what methods without a backbone see: the shorter side PlainSize pixels, samples from 0 to 1.
func PlainPreprocess() transform.Config {
	c := transform.DefaultConfig()
	c.Resize, c.Size = transform.Shorter, PlainSize
	c.Mean, c.Std = [3]float32{}, [3]float32{1, 1, 1}
	return c
}

// DefaultPreprocess keeps a picture's shape: its shorter side becomes DefaultSize pixels, or it is fitted into the one size that the network
// was exported for.
func DefaultPreprocess(spec backbone.Spec) transform.Config {
	c := transform.DefaultConfig()
	c.Resize, c.Size = transform.Shorter, DefaultSize
	if h, w, ok := spec.InputSize(); ok {
		c.Resize, c.Size, c.Height, c.Width = transform.Letterbox, 0, h, w
	}
	c.Mean, c.Std = spec.Mean, spec.Std
	return c
}

// plan is a Config with every default filled in and everything named looked up.
type plan struct {
	method     Method
	trainer    detect.Trainer
	options    json.RawMessage
	spec       backbone.Spec
	taps       []string
	preprocess transform.Config
	weightType checkpoint.DType // "": as they come
}

// Validate names the first setting that is unknown or out of range.
func (c Config) Validate() error {
	_, err := c.resolve()
	return err
}

func (c Config) resolve() (plan, error) {
	var p plan
	var err error
	if p.method, err = lookupMethod(or(c.Method, DefaultMethod)); err != nil {
		return plan{}, err
	}
	if p.trainer, err = p.method.parse(c.MethodOptions); err != nil {
		return plan{}, err
	}
	if p.options, err = json.Marshal(p.trainer); err != nil {
		return plan{}, err
	}
	if err := p.resolveBackbone(c); err != nil {
		return plan{}, err
	}
	if c.Preprocess != nil {
		p.preprocess = *c.Preprocess
	}
	if err := p.preprocess.Validate(); err != nil {
		return plan{}, fmt.Errorf("preprocessing: %w", err)
	}
	if err := c.Contamination.Validate(); err != nil {
		return plan{}, err
	}
	return p, c.Calibration.Validate()
}

func (p *plan) resolveBackbone(c Config) error {
	if c.WeightType != "" && !p.method.frozen() {
		return &fault.ConfigError{Field: "weight type", Value: string(c.WeightType), Reason: fmt.Sprintf(
			"%s keeps no frozen backbone whose weights could be rounded; methods that do are %s", p.method.Name, strings.Join(frozenMethods(), ", "))}
	}
	if p.method.Pixels {
		if c.Backbone != "" && c.Backbone != NoBackbone || len(c.Layers) > 0 {
			return &fault.ConfigError{Field: "backbone", Value: or(c.Backbone, strings.Join(c.Layers, ",")), Reason: p.method.Name + " looks at pixels: leave backbone and layers out"}
		}
		p.preprocess = PlainPreprocess()
		return nil
	}
	var err error
	if p.spec, err = backbone.Find(or(c.Backbone, DefaultBackbone)); err != nil {
		return err
	}
	p.taps = c.Layers
	if len(p.taps) == 0 {
		p.taps = p.spec.DefaultTaps
	}
	p.preprocess = DefaultPreprocess(p.spec)
	switch p.weightType = c.WeightType; p.weightType {
	case "", checkpoint.F16, checkpoint.BF16:
		return nil
	}
	return &fault.ConfigError{Field: "weight type", Value: string(c.WeightType), Reason: "known are F16 and BF16"}
}

// frozen says whether models of the method keep a backbone as it came.
func (m Method) frozen() bool { return !m.Pixels && m.Name != ClassifierMethod }

func frozenMethods() []string {
	var names []string
	for _, m := range methods {
		if m.frozen() {
			names = append(names, m.Name)
		}
	}
	return names
}

func or(s, fallback string) string {
	if s == "" {
		return fallback
	}
	return s
}

// CalibrationConfig says how a threshold is found from good pictures.
type CalibrationConfig struct {
	FalseAlarmRate float64 // share of good pictures that may be called anomalous; DefaultFalseAlarmRate if 0
	Strategy       CalibrationStrategy
	Folds          int // of CrossConformal; DefaultFolds if 0
}

// CalibrationStrategy says which good pictures give the calibration scores.
type CalibrationStrategy string

const (
	// AutoCalibration holds pictures out if a fifth of them is enough for the rate asked, else crosses.
	AutoCalibration CalibrationStrategy = ""
	// SplitConformal holds out a fifth of the pictures, which the model never sees.
	SplitConformal CalibrationStrategy = "split"
	// CrossConformal fits once for each fold on the other folds, and the model itself on all pictures.
	CrossConformal CalibrationStrategy = "cross"
	// NoCalibration leaves the model without a threshold.
	NoCalibration CalibrationStrategy = "none"
)

// Defaults of CalibrationConfig.
const (
	DefaultFalseAlarmRate = 0.01
	DefaultFolds          = 5
)

func (c CalibrationConfig) rate() float64 {
	if c.FalseAlarmRate == 0 {
		return DefaultFalseAlarmRate
	}
	return c.FalseAlarmRate
}

func (c CalibrationConfig) folds() int {
	if c.Folds == 0 {
		return DefaultFolds
	}
	return c.Folds
}

// Validate names the first field that is out of range.
func (c CalibrationConfig) Validate() error {
	if c.FalseAlarmRate < 0 || c.FalseAlarmRate >= 1 {
		return &fault.ConfigError{Field: "false alarm rate", Value: c.FalseAlarmRate, Reason: "want more than 0 and less than 1, such as 0.01"}
	}
	if c.Folds < 0 || c.Folds == 1 {
		return &fault.ConfigError{Field: "folds", Value: c.Folds, Reason: "want at least 2"}
	}
	switch c.Strategy {
	case AutoCalibration, SplitConformal, CrossConformal, NoCalibration:
		return nil
	}
	return &fault.ConfigError{Field: "calibration strategy", Value: string(c.Strategy), Reason: "known are split, cross and none"}
}
