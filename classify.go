package blemish

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"

	"github.com/blemish/blemish/backbone"
	"github.com/blemish/blemish/calibrate"
	"github.com/blemish/blemish/checkpoint"
	"github.com/blemish/blemish/dataset"
	"github.com/blemish/blemish/detect"
	"github.com/blemish/blemish/detect/classifier"
	"github.com/blemish/blemish/fault"
	"github.com/blemish/blemish/internal/cpu"
	"github.com/blemish/blemish/nn"
	"github.com/blemish/blemish/tensor"
	"github.com/blemish/blemish/train"
	"github.com/blemish/blemish/transform"
)

// ClassifierMethod is the name of the method that TrainClassifier trains.
const ClassifierMethod = "classifier"

// Preset is a set of a classifier's settings that others are laid over.
type Preset string

const (
	DefaultPreset Preset = "default"
	ChapterPreset Preset = "chapter" // of the published VGG-16 study
)

// ClassifierConfig is everything that decides what a classifier learns from given pictures. Zero fields take defaults.
type ClassifierConfig struct {
	Preset     Preset            // DefaultPreset if empty
	Options    json.RawMessage   // JSON object over the preset's classifier.Config
	Backbone   string            // DefaultBackbone if empty; vgg16 for ChapterPreset
	Untrained  bool              // the backbone starts from random weights, and learns from scratch what it learns
	Layers     []string          // feature taps of a linear head; the backbone's last one if empty
	Preprocess *transform.Config // the preset's if nil
	Seed       uint64
	Threshold  float64 // of the score, the probability of not being good; DefaultProbability if 0
	PixelFalse float64 // false-alarm rate of the map's threshold, by picture; DefaultFalseAlarmRate if 0
	Checkpoint string  // file that is replaced after every epoch; "" for none
	Resume     bool    // go on from Checkpoint if it exists
	Log        func(line string)
	LogEvery   int // batches between lines of their losses; 0 for none
}

// Lengths of a picture's shorter side in DefaultPreset: of linear heads, which read it at 4/7 of that, too, and where a backbone or a vgg head
// learns.
const (
	ClassifierSize = 448
	FineTuningSize = 320
)

// DefaultProbability of a defect above which a picture is called anomalous: the more probable verdict.
const DefaultProbability = 0.5

// Labels are pictures whose Kind is known. Kinds are the classes, "good" among them.
type Labels struct{ Train, Valid Source }

// classifierPlan is a ClassifierConfig with every default filled in.
type classifierPlan struct {
	method     classifier.Config
	spec       backbone.Spec
	taps       []string
	preprocess transform.Config
}

// Validate names the first setting that is unknown or out of range.
func (c ClassifierConfig) Validate() error {
	_, err := c.resolve()
	return err
}

func (c ClassifierConfig) resolve() (p classifierPlan, err error) {
	name := or(c.Backbone, DefaultBackbone)
	switch c.Preset {
	case "", DefaultPreset:
		if p.method, err = c.defaults(); err != nil {
			return p, err
		}
	case ChapterPreset:
		p.method = classifier.Chapter()
		name = or(c.Backbone, "vgg16")
	default:
		return p, &fault.ConfigError{Field: "preset", Value: string(c.Preset), Reason: "known are default and chapter"}
	}
	if len(c.Options) > 0 {
		d := json.NewDecoder(bytes.NewReader(c.Options))
		d.DisallowUnknownFields()
		if err := d.Decode(&p.method); err != nil {
			return p, fmt.Errorf("method configuration: %w", err)
		}
	}
	if p.spec, err = backbone.Lookup(name); err != nil {
		return p, err
	}
	p.method.Network = p.spec.Name
	if c.Untrained && p.method.TrainFrom != "" {
		p.method.Norms = classifier.BatchNorms
	}
	if err := p.method.Validate(); err != nil {
		return p, err
	}
	if p.method.Head == classifier.VGG && p.spec.Name != "vgg16" && !c.Untrained && p.method.TrainLast < 3 {
		return p, &fault.ConfigError{Field: "train_last", Value: p.method.TrainLast, Reason: p.spec.Name + " has no pretrained layers of this head: train all 3"}
	}
	before, err := classifier.LayerBefore(p.spec.Graph(), p.method.TrainFrom)
	if err != nil {
		return p, err
	}
	p.taps = []string{before}
	if len(c.Layers) > 0 {
		if p.method.Head != classifier.Linear || p.method.TrainFrom != "" {
			return p, &fault.ConfigError{Field: "layers", Value: c.Layers, Reason: "only a linear head on a frozen backbone has a choice of layers"}
		}
		p.taps = c.Layers
	}
	p.preprocess = DefaultPreprocess(p.spec)
	p.preprocess.Size = c.Size()
	if c.Preset == ChapterPreset {
		p.preprocess.Resize, p.preprocess.Height, p.preprocess.Width = transform.Exact, 70, 70
		p.preprocess.CropHeight, p.preprocess.CropWidth = 64, 64
	}
	if c.Preprocess != nil {
		p.preprocess = *c.Preprocess
	}
	if err := p.preprocess.Validate(); err != nil {
		return p, fmt.Errorf("preprocessing: %w", err)
	}
	if c.Threshold < 0 || c.Threshold >= 1 {
		return p, &fault.ConfigError{Field: "threshold", Value: c.Threshold, Reason: "want a probability, more than 0 and less than 1"}
	}
	return p, CalibrationConfig{FalseAlarmRate: c.PixelFalse}.Validate()
}

// chosen are the options that others' defaults depend on.
type chosen struct {
	Head      classifier.Head `json:"head"`
	TrainFrom string          `json:"train_from"`
}

func (c ClassifierConfig) chosen() (chosen, error) {
	var o chosen
	if len(c.Options) == 0 {
		return o, nil
	}
	if err := json.Unmarshal(c.Options, &o); err != nil {
		return o, fmt.Errorf("method configuration: %w", err)
	}
	return o, nil
}

// defaults are DefaultPreset's settings for what is to learn.
func (c ClassifierConfig) defaults() (classifier.Config, error) {
	o, err := c.chosen()
	method := classifier.DefaultConfig()
	if o.TrainFrom != "" {
		method = classifier.FineTuning(o.TrainFrom)
	}
	if o.Head == classifier.VGG {
		method.Scales = nil
	}
	return method, err
}

// Size is the shorter side of DefaultPreset's pictures.
func (c ClassifierConfig) Size() int {
	if o, err := c.chosen(); err == nil && (o.TrainFrom != "" || o.Head == classifier.VGG) {
		return FineTuningSize
	}
	return ClassifierSize
}

// TrainClassifier learns to tell good pictures from defective ones, or from each of several kinds of defect. The model's threshold is a
// probability; that of its maps is calibrated on the good validation pictures.
//
// The same pictures, configuration and instruction set give the same model, byte for byte, for any number of workers.
func TrainClassifier(ctx context.Context, labels Labels, config ClassifierConfig, opts *Options) (*Model, error) {
	p, err := config.resolve()
	if err != nil {
		return nil, err
	}
	lookup, kept, closeWeights, err := classifierWeights(p, config, opts)
	if err != nil {
		return nil, err
	}
	defer closeWeights()
	extract, err := backbone.New(p.spec, p.taps, kept.lookup)
	if err != nil {
		return nil, err
	}
	digest := ""
	if labels.Train, digest, err = survey(ctx, labels.Train, opts); err != nil {
		return nil, err
	}
	if labels.Valid, _, err = survey(ctx, labels.Valid, opts); err != nil {
		return nil, err
	}
	classes, err := classesOf(ctx, labels)
	if err != nil {
		return nil, err
	}
	data := classifier.Data{
		Classes: classes, Clean: dataset.Good,
		Train: labelledPictures{labels.Train, p, classes}, Valid: labelledPictures{labels.Valid, p, classes},
		Weights: lookup, Checkpoint: config.Checkpoint, Resume: config.Resume, Log: config.Log, LogEvery: config.LogEvery,
	}
	detector, err := p.method.FitClasses(ctx, data, &detect.FitOptions{
		Extractor: extract, Seed: config.Seed, Workers: opts.workers(), Progress: opts.report,
	})
	if err != nil {
		return nil, err
	}
	state, err := detector.State()
	if err != nil {
		return nil, err
	}
	start := ""
	if config.Untrained {
		start = "none"
	}
	m := &Model{
		info: Info{
			Format: modelFormat, Method: ClassifierMethod, Options: state.Config,
			Backbone:   BackboneInfo{Name: p.spec.Name, Layers: p.taps, Digest: weightsDigest(kept.entries), Weights: start},
			Preprocess: p.preprocess,
			Provenance: Provenance{
				Blemish: Version, Pictures: labels.Train.Len(), HeldOut: labels.Valid.Len(), Data: digest, Seed: config.Seed,
				InstructionSet: cpu.Active().String(),
			},
		},
		weights: kept.entries, extract: extract, detector: detector,
	}
	return m, m.calibrateClassifier(ctx, labels.Valid, config, opts)
}

// calibrateClassifier sets the threshold of scores, and finds that of the maps on good pictures.
func (m *Model) calibrateClassifier(ctx context.Context, valid Source, config ClassifierConfig, opts *Options) error {
	var good []int
	for i := range valid.Len() {
		p, err := valid.Picture(ctx, i)
		if err != nil {
			return err
		}
		if !p.Defective {
			good = append(good, i)
		}
	}
	scores, err := m.goodScores(ctx, subset{valid, good}, opts, "calibration")
	if err != nil {
		return err
	}
	maps := &Options{Warn: func(message string) { opts.warn("maps: " + message) }}
	c, err := CalibrationConfig{FalseAlarmRate: config.PixelFalse}.decide(scores, maps)
	if err != nil {
		return err
	}
	threshold := config.Threshold
	if threshold == 0 {
		threshold = DefaultProbability
	}
	slices.Sort(scores.image)
	c.Image = &calibrate.Threshold{Method: calibrate.MethodManual, Value: threshold, Scores: scores.image}
	m.info.Calibration = c
	return nil
}

// classifierWeights returns what layers that learn start from, nil for random numbers, and what the frozen backbone is made of.
func classifierWeights(p classifierPlan, config ClassifierConfig, opts *Options) (func(string) (*tensor.Tensor, error), *keptWeights, func(), error) {
	if config.Untrained {
		random, err := randomWeights(p, config.Seed)
		return nil, &keptWeights{file: random, seen: map[string]bool{}}, func() {}, err
	}
	store, err := opts.weights()
	if err != nil {
		return nil, nil, nil, err
	}
	file, err := store.Open(p.spec.Name)
	if err != nil {
		return nil, nil, nil, fmt.Errorf("%w\nor train from scratch with --backbone-weights none", err)
	}
	lookup := file.Read
	if p.method.Head == classifier.VGG && p.spec.Name != "vgg16" && p.method.TrainFrom == "" {
		lookup = nil
	}
	return lookup, &keptWeights{file: file, seen: map[string]bool{}}, func() { file.Close() }, nil
}

// randomWeights are a backbone's as PyTorch starts it (He et al., ICCV 2015), with batch norms that change nothing.
func randomWeights(p classifierPlan, seed uint64) (*checkpoint.File, error) {
	params, err := p.spec.Graph().Params(p.taps)
	if err != nil {
		return nil, err
	}
	rng := rand.New(rand.NewPCG(seed, 0x6261636b))
	var entries []checkpoint.Entry
	for _, q := range params {
		t := tensor.New(q.Shape...)
		switch {
		case len(q.Shape) == 4:
			nn.KaimingNormal(t, rng)
		case strings.HasSuffix(q.Name, ".running_var"), strings.HasSuffix(q.Name, ".weight"): // a batch norm's
			for i := range t.Data {
				t.Data[i] = 1
			}
		}
		entries = append(entries, checkpoint.Entry{Name: q.Name, DType: checkpoint.F32, Tensor: t})
	}
	var file bytes.Buffer
	if err := checkpoint.WriteSafetensors(&file, nil, entries); err != nil {
		return nil, err
	}
	return checkpoint.NewFile(bytes.NewReader(file.Bytes()), int64(file.Len()))
}

// classesOf lists the kinds of pictures, good first.
func classesOf(ctx context.Context, l Labels) ([]string, error) {
	classes := []string{}
	for i := range l.Train.Len() {
		p, err := l.Train.Picture(ctx, i)
		if err != nil {
			return nil, err
		}
		if p.Kind == "" {
			return nil, fmt.Errorf("%s: its class is not known: put it in a class folder", p.Path)
		}
		if !slices.Contains(classes, p.Kind) {
			classes = append(classes, p.Kind)
		}
	}
	slices.SortFunc(classes, func(a, b string) int {
		switch {
		case a == b:
			return 0
		case a == dataset.Good || b != dataset.Good && a < b:
			return -1
		}
		return 1
	})
	if len(classes) < 2 || classes[0] != dataset.Good {
		return nil, classifier.ErrNeedsClasses
	}
	return classes, nil
}

// labelledPictures are pictures as a classifier learns from them.
type labelledPictures struct {
	source  Source
	plan    classifierPlan
	classes []string
}

// Len is the number of pictures.
func (l labelledPictures) Len() int { return l.source.Len() }

// Name is a picture's path.
func (l labelledPictures) Name(i int) string {
	p, err := l.source.Picture(context.Background(), i)
	if err != nil {
		return fmt.Sprintf("picture %d", i)
	}
	return p.Path
}

// Load prepares a picture: augmented and cropped at random by rng, or, without it, as it is judged.
func (l labelledPictures) Load(ctx context.Context, i int, rng *rand.Rand) (train.Sample, error) {
	p, err := l.source.Picture(ctx, i)
	if err != nil {
		return train.Sample{}, err
	}
	label := slices.Index(l.classes, p.Kind)
	if label < 0 {
		return train.Sample{}, fmt.Errorf("%s: class %q is not among the training pictures", p.Path, p.Kind)
	}
	how := l.plan.preprocess
	height, width := how.CropHeight, how.CropWidth
	if rng != nil {
		how.CropHeight, how.CropWidth = 0, 0
	}
	x, _, err := how.Apply(p.Image)
	if err == nil && rng != nil {
		x = l.plan.method.Augment.Apply(x, how.Mean, how.Std, rng)
		if height > 0 {
			x, err = classifier.Crop(x, height, width, rng)
		}
	}
	if err != nil {
		return train.Sample{}, fmt.Errorf("%s: %w", p.Path, err)
	}
	return train.Sample{Input: x, Label: label}, nil
}

// Classifier is what training found out about a classifier.
type Classifier = classifier.Fitted

// Epoch is how well a classifier did after an epoch of its training.
type Epoch = classifier.Epoch

// Classifier returns a classifier's settings, classes and history.
func (m *Model) Classifier() (Classifier, error) {
	d, ok := m.detector.(*classifier.Detector)
	if !ok {
		return Classifier{}, errors.New("a " + m.info.Method + " model is no classifier")
	}
	return d.Fitted(), nil
}

// name says which class a classifier's probabilities make a picture.
func (m *Model) name(r *Result, probabilities []float32) {
	d, ok := m.detector.(*classifier.Detector)
	if !ok || len(probabilities) == 0 {
		return
	}
	best := 0
	for k, p := range probabilities {
		if p > probabilities[best] {
			best = k
		}
	}
	r.Class, r.Probabilities = d.Fitted().Classes[best], probabilities
}

// classified measures how often a classifier's classes are the pictures' own: nothing where there are no classes.
func (e *Evaluation) classified(classes []string) {
	c := ClassEvaluation{Classes: classes, Confusion: make([][]int, len(classes))}
	for k := range c.Confusion {
		c.Confusion[k] = make([]int, len(classes))
	}
	right, shares, present := 0, 0.0, 0
	for _, p := range e.Pictures {
		truth, verdict := slices.Index(classes, p.Kind), slices.Index(classes, p.Class)
		if truth < 0 || verdict < 0 {
			e.note("class figures are left out: %q is no class of the model", p.Kind)
			return
		}
		c.Confusion[truth][verdict]++
		if truth == verdict {
			right++
		}
	}
	for k, row := range c.Confusion {
		n := 0
		for _, v := range row {
			n += v
		}
		if n > 0 {
			shares += float64(row[k]) / float64(n)
			present++
		}
	}
	c.Accuracy, c.BalancedAccuracy = float64(right)/float64(len(e.Pictures)), shares/float64(present)
	e.Class = &c
}
