package classifier

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/blemish/blemish/autograd"
	"github.com/blemish/blemish/detect"
	"github.com/blemish/blemish/fault"
	"github.com/blemish/blemish/nn"
	"github.com/blemish/blemish/tensor"
	"github.com/blemish/blemish/train"
)

// Data is what a classifier learns from.
type Data struct {
	Classes []string // by label
	Clean   string   // the class of good pictures
	Train   Source
	Valid   Source

	Weights    func(name string) (*tensor.Tensor, error) // pretrained, for layers that learn; nil starts them at random
	Checkpoint string                                    // replaced after every epoch; "" for none
	Resume     bool                                      // go on from Checkpoint if it exists
	Log        func(line string)                         // told of epochs; may be nil
	LogEvery   int                                       // batches between lines; 0 for none
}

// Epoch is how well the classifier does after an epoch.
type Epoch struct {
	Loss      float64 `json:"loss"`       // mean over the epoch's batches
	Train     float64 `json:"train"`      // share of the training pictures that are classified rightly
	Valid     float64 `json:"valid"`      // and of the validation pictures
	ValidLoss float64 `json:"valid_loss"` // cross-entropy without smoothing and class weights
	LR        float64 `json:"learning_rate"`
}

// fit is a training in progress.
type fit struct {
	config Config
	data   Data
	opts   *detect.FitOptions

	net       *network
	optimizer nn.Optimizer
	tape      *autograd.Tape
	random    *rand.PCG // beneath the tape's
	weights   []float32 // of the classes; nil for 1
	loader    *train.Loader
	judged    func(ctx context.Context, epoch int) iter.Seq2[train.Batch, error] // what the training accuracy is measured on
	valid     cached
	scaling   *scaling // of pooled features
	best      *kept
	bases     []float64
	progress  progress
	start     time.Time
}

// progress is what a checkpoint keeps besides tensors.
type progress struct {
	History   []Epoch
	Best      float64 // validation loss
	BestEpoch int     // from 1; 0 before the first
	Plateau   *nn.ReduceLROnPlateau
}

// kept is the best weights so far: a module without parameters, so that checkpoints hold it.
type kept struct{ buffers []nn.Buffer }

// Forward is never asked.
func (k *kept) Forward(_ *autograd.Tape, x *autograd.Var) *autograd.Var { return x }

// Params is empty.
func (k *kept) Params() []*autograd.Var { return nil }

// Buffers are the copies.
func (k *kept) Buffers() []nn.Buffer { return k.buffers }

// FitClasses learns to tell classes apart. The same data, configuration and seed give the same detector, bit for bit, for any number of
// workers.
func (c Config) FitClasses(ctx context.Context, data Data, opts *detect.FitOptions) (*Detector, error) {
	f, err := newFit(c, data, opts)
	if err != nil {
		return nil, err
	}
	if err := f.prepare(ctx); err != nil {
		return nil, err
	}
	if err := f.run(ctx); err != nil {
		return nil, err
	}
	return f.finish(ctx)
}

func newFit(c Config, data Data, opts *detect.FitOptions) (*fit, error) {
	f := &fit{config: c, data: data, opts: opts.WithDefaults(), start: time.Now()}
	if err := c.Validate(); err != nil {
		return nil, err
	}
	if f.opts.Extractor == nil {
		return nil, detect.ErrNoExtractor
	}
	if data.Train == nil || data.Train.Len() == 0 || len(data.Classes) < 2 {
		return nil, ErrNeedsClasses
	}
	if data.Valid == nil || data.Valid.Len() == 0 {
		return nil, &fault.ConfigError{Field: "validation pictures", Value: 0, Reason: "want at least one of each class"}
	}
	if !slices.Contains(data.Classes, data.Clean) {
		return nil, &fault.ConfigError{Field: "clean class", Value: data.Clean, Reason: fmt.Sprintf("want one of %v", data.Classes)}
	}
	if f.data.Log == nil {
		f.data.Log = func(string) {}
	}
	rng := rand.New(rand.NewPCG(f.opts.Seed, 0x636c617373))
	var err error
	if f.net, err = newNetwork(c, f.opts.Extractor.Taps(), len(data.Classes), rng, random(rng)); err != nil {
		return nil, err
	}
	if err := f.net.begin(c, data.Weights, rng); err != nil {
		return nil, err
	}
	groups := f.net.groups(c)
	if c.Optimizer == SGD {
		f.optimizer, err = nn.NewSGD(groups, nn.SGDConfig{Momentum: c.Momentum, WeightDecay: c.Decay})
	} else {
		a := nn.DefaultAdamW()
		a.WeightDecay = c.Decay
		f.optimizer, err = nn.NewAdam(groups, a)
	}
	if err != nil {
		return nil, err
	}
	f.bases = nn.BaseLRs(f.optimizer)
	if c.Schedule == PlateauAccuracy || c.Schedule == PlateauLoss {
		p := nn.DefaultPlateau()
		p.Max, p.Factor, p.Patience = true, c.Factor, c.Patience
		if f.progress.Plateau, err = nn.NewReduceLROnPlateau(f.optimizer, p); err != nil {
			return nil, err
		}
	}
	f.best = &kept{}
	if c.StopAfter > 0 {
		for _, s := range nn.State(f.net) {
			f.best.buffers = append(f.best.buffers, nn.Buffer{Name: "best." + s.Name, Value: s.Value.Clone()})
		}
	}
	f.random = rand.NewPCG(f.opts.Seed, 0x64726f70)
	f.tape = autograd.NewTape()
	f.tape.Rand, f.tape.Workers = rand.New(f.random), f.opts.Workers
	return f, nil
}

// prepare computes the features that never change, and says where batches come from.
func (f *fit) prepare(ctx context.Context) error {
	var err error
	c := f.config
	if f.valid, err = f.cache(ctx, "validation features", f.data.Valid, judged, nil); err != nil {
		return err
	}
	source := train.Source(f.data.Train)
	if c.Views > 0 {
		views, err := f.cache(ctx, "features", f.data.Train, c.Views, nil)
		if err != nil {
			return err
		}
		if c.pooled() {
			s := standardise(views)
			s.apply(views)
			s.apply(f.valid)
			f.scaling = &s
		}
		plain := cached{labels: views.labels}
		for _, v := range views.views {
			plain.views = append(plain.views, v[:1])
		}
		source = views
		f.judged = f.batches(&train.Loader{Source: plain, BatchSize: c.ValidBatch, Workers: f.opts.Workers}, false)
	}
	f.loader = &train.Loader{Source: source, BatchSize: c.BatchSize, Shuffle: true, DropLast: c.DropLast, Seed: f.opts.Seed, Workers: f.opts.Workers}
	if f.judged == nil { // other crops than those just learned from
		f.judged = f.batches(&train.Loader{Source: source, BatchSize: c.ValidBatch, Seed: f.opts.Seed + 1, Workers: f.opts.Workers}, true)
	}
	return nil
}

// batches are a loader's, of features: pictures' are computed batch by batch.
func (f *fit) batches(l *train.Loader, pictures bool) func(context.Context, int) iter.Seq2[train.Batch, error] {
	if !pictures {
		return l.Batches
	}
	return func(ctx context.Context, epoch int) iter.Seq2[train.Batch, error] {
		return func(yield func(train.Batch, error) bool) {
			for b, err := range l.Batches(ctx, epoch) {
				var misfit *fault.ShapeError
				if errors.As(err, &misfit) {
					err = fmt.Errorf("%w: %w", ErrSizes, err)
				}
				if err == nil {
					b.Input, err = f.represent(ctx, b.Input, f.opts.Workers)
				}
				if !yield(b, err) || err != nil {
					return
				}
			}
		}
	}
}

// run trains from one batch to the next.
func (f *fit) run(ctx context.Context) error {
	c := f.config
	if f.weights == nil && c.Balance {
		f.weights = balanced(f.valid.labels, len(f.data.Classes))
		if v, ok := f.loader.Source.(cached); ok {
			f.weights = balanced(v.labels, len(f.data.Classes))
		}
	}
	steps := f.loader.Steps()
	var schedule nn.Schedule
	if c.Schedule == Cosine {
		warm := c.Warmup * steps
		schedule = nn.WarmUp(1/float64(max(warm, 1)), warm, nn.CosineAnnealing(max(1, c.Epochs*steps-warm), 0))
	}
	f.net.training(c, true)
	batches := f.batches(f.loader, c.Views == 0)
	config := train.Config{
		Epochs: c.Epochs, Model: nn.Sequential{f.net, f.best}, Optimizers: []nn.Optimizer{f.optimizer}, Random: f.random, State: &f.progress,
		Checkpoint: f.data.Checkpoint, Resume: f.data.Resume,
		Progress: func(p train.Progress) {
			if f.data.LogEvery > 0 && p.Step%f.data.LogEvery == 0 {
				f.data.Log(fmt.Sprintf("Epoch: %03d/%03d | Batch %04d/%04d | Loss: %.4f", p.Epoch+1, c.Epochs, p.Step, steps, p.Loss))
			}
		},
		EpochEnd: f.epochEnd,
	}
	return train.Run(ctx, config, batches, func(_ context.Context, at train.At, b train.Batch) (float64, error) {
		if schedule != nil {
			schedule.SetLR(f.optimizer, f.bases, at.Total)
		}
		return f.step(b)
	})
}

// balanced weighs each class n/(K·n_k), as scikit-learn's class_weight="balanced".
func balanced(labels []int, classes int) []float32 {
	counts := make([]int, classes)
	for _, l := range labels {
		counts[l]++
	}
	w := make([]float32, classes)
	for k, n := range counts {
		w[k] = float32(float64(len(labels)) / float64(classes*max(n, 1)))
	}
	return w
}

// step learns from a batch and returns its loss.
func (f *fit) step(b train.Batch) (float64, error) {
	t := f.tape
	t.Reset()
	f.optimizer.ZeroGrad()
	logits := f.net.Forward(t, t.Input(b.Input))
	loss := t.CrossEntropy(logits, b.Labels, autograd.Classes{Weight: f.weights, Smoothing: float32(f.config.Smoothing)})
	value := float64(loss.Value.Data[0])
	if err := t.Backward(loss); err != nil {
		return 0, err
	}
	f.optimizer.Step()
	return value, nil
}

// epochEnd measures, logs, lowers rates and stops.
func (f *fit) epochEnd(ctx context.Context, p train.Progress) error {
	c := f.config
	f.net.training(c, false)
	defer f.net.training(c, true)
	e := Epoch{Loss: p.Mean, LR: f.optimizer.Groups()[0].LR}
	right, n := 0, 0
	for b, err := range f.judged(ctx, p.Epoch) {
		if err != nil {
			return err
		}
		r, _ := score(f.logits(b.Input), b.Labels)
		right, n = right+r, n+len(b.Labels)
	}
	e.Train = float64(right) / float64(n)
	logits := f.validLogits()
	right, e.ValidLoss = score(logits, f.valid.labels)
	e.Valid = float64(right) / float64(len(f.valid.labels))
	f.progress.History = append(f.progress.History, e)
	f.data.Log(fmt.Sprintf("Epoch: %03d/%03d | Train: %.2f%% | Validation: %.2f%%", p.Epoch+1, c.Epochs, 100*e.Train, 100*e.Valid))
	f.data.Log(fmt.Sprintf("Time elapsed: %.2f min", time.Since(f.start).Minutes()))
	f.opts.Progress(detect.Progress{Stage: "epoch", Done: p.Epoch + 1, Total: c.Epochs})
	switch c.Schedule {
	case PlateauAccuracy:
		f.progress.Plateau.Step(100 * e.Valid)
	case PlateauLoss:
		f.progress.Plateau.Step(p.Loss)
	}
	if c.StopAfter == 0 {
		return nil
	}
	if f.progress.BestEpoch == 0 || e.ValidLoss < f.progress.Best {
		f.progress.Best, f.progress.BestEpoch = e.ValidLoss, p.Epoch+1
		for i, s := range nn.State(f.net) {
			copy(f.best.buffers[i].Value.Data, s.Value.Data)
		}
	}
	if p.Epoch+1-f.progress.BestEpoch >= c.StopAfter {
		return train.ErrStop
	}
	return nil
}

// logits (N,K) of features, which must fit into one batch. The network is in evaluation.
func (f *fit) logits(x *tensor.Tensor) *tensor.Tensor {
	var out *tensor.Tensor
	f.tape.NoGrad(func() {
		f.tape.Reset()
		out = f.net.Forward(f.tape, f.tape.Input(x)).Value.Clone()
	})
	return out
}

// validLogits are those of all validation pictures. Pictures of different sizes are judged one by one.
func (f *fit) validLogits() *tensor.Tensor {
	return f.logitsOf(f.valid)
}

func (f *fit) logitsOf(c cached) *tensor.Tensor {
	k := len(f.data.Classes)
	out := tensor.New(c.Len(), k)
	for from := 0; from < c.Len(); {
		to := from + 1
		for to < c.Len() && to-from < f.config.ValidBatch && tensor.SameShape(c.views[from][0], c.views[to][0]) {
			to++
		}
		var items []*tensor.Tensor
		for _, v := range c.views[from:to] {
			items = append(items, v[0])
		}
		copy(out.Data[from*k:], f.logits(tensor.Stack(items)).Data)
		from = to
	}
	return out
}
