package reconstruct

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"math"
	"math/rand/v2"

	"github.com/blemish/blemish/autograd"
	"github.com/blemish/blemish/detect"
	"github.com/blemish/blemish/fault"
	"github.com/blemish/blemish/nn"
	"github.com/blemish/blemish/tensor"
	"github.com/blemish/blemish/train"
)

// Network gives tiles (N,3,T,T) of mean 0 and deviation 1 back. Forward is how it judges.
type Network interface {
	nn.Module
	// Learn is Forward in training, with what is added to the loss, or nil.
	Learn(t *autograd.Tape, x *autograd.Var) (back, penalty *autograd.Var)
}

// Method is a method's configuration: Settings, embedded, and what is its own.
type Method interface {
	Validate() error
	Build(rng *rand.Rand) Network // starts from random weights
	Common() Settings
}

// Common are the settings of every method of this kind.
func (s Settings) Common() Settings { return s }

// units are what pixels are measured in: numbers found in the training pictures.
type units struct {
	mean, deviation float32 // of all pixels
	span            float32 // from the smallest to the largest: the range of SSIM
}

func (u units) in(t *autograd.Tape, x *autograd.Var) *autograd.Var {
	return t.Scale(x, 1/u.deviation, -u.mean/u.deviation)
}

func (u units) out(t *autograd.Tape, x *autograd.Var) *autograd.Var {
	return t.Scale(x, u.deviation, u.mean)
}

// loss compares what came back with x: the squared error in the network's units, the similarity in the pixels' own.
func (s Settings) loss(t *autograd.Tape, x, back *autograd.Var, u units) *autograd.Var {
	if s.Loss == MSE {
		return t.MSE(back, x)
	}
	ssim := t.SSIM(u.out(t, back), u.out(t, x), u.span)
	if s.Loss == SSIM {
		return ssim
	}
	return t.Add(t.MSE(back, x), ssim)
}

// tile is one of a picture.
type tile struct {
	picture int
	spot
}

// Fit trains the method's network on tiles of the samples, which may differ in size. Memory: all pictures at once.
func Fit(ctx context.Context, m Method, samples detect.Source, opts *detect.FitOptions) (detect.Detector, error) {
	if err := m.Validate(); err != nil {
		return nil, err
	}
	s, o := m.Common(), opts.WithDefaults()
	pictures, err := s.read(ctx, samples, o)
	if err != nil {
		return nil, err
	}
	rng := rand.New(rand.NewPCG(o.Seed, 0x7265636f6e)) // a stream of its own
	given := make([]*tensor.Tensor, len(pictures))
	for i, p := range pictures {
		given[i] = p.Tensor
	}
	learner, err := NewLearner(s, m.Build(rng), given, rng, o.Workers)
	if err != nil {
		return nil, err
	}
	var tiles []tile
	for i, p := range pictures {
		for _, at := range spots(p.Shape[1], p.Shape[2], s) {
			tiles = append(tiles, tile{i, at})
		}
	}
	size := 3 * s.Tile * s.Tile
	memory := make([]float32, min(s.BatchSize, len(tiles))*size)
	batches := func(context.Context, int) iter.Seq2[*tensor.Tensor, error] {
		rng.Shuffle(len(tiles), func(i, j int) { tiles[i], tiles[j] = tiles[j], tiles[i] })
		return func(yield func(*tensor.Tensor, error) bool) {
			for at := 0; at < len(tiles); at += s.BatchSize {
				part := tiles[at:min(at+s.BatchSize, len(tiles))]
				for k, t := range part {
					cut(memory[k*size:][:size], given[t.picture], t.spot, s.Tile)
				}
				if !yield(tensor.From(memory[:len(part)*size], len(part), 3, s.Tile, s.Tile), nil) {
					return
				}
			}
		}
	}
	bases := nn.BaseLRs(learner.optimizer)
	steps := (len(tiles) + s.BatchSize - 1) / s.BatchSize
	fall := nn.CosineAnnealing(s.Epochs*steps, 0)
	err = train.Run(ctx, train.Config{
		Epochs: s.Epochs, Model: learner.net, Optimizers: []nn.Optimizer{learner.optimizer},
		EpochEnd: func(_ context.Context, p train.Progress) error {
			o.Progress(detect.Progress{Stage: "epochs", Done: p.Epoch + 1, Total: s.Epochs})
			return nil
		},
	}, batches, func(_ context.Context, at train.At, batch *tensor.Tensor) (float64, error) {
		if s.Schedule == Cosine {
			fall.SetLR(learner.optimizer, bases, at.Total)
		}
		return learner.Step(batch)
	})
	if err != nil {
		return nil, err
	}
	nn.Freeze(learner.net, true)
	d := &Detector{settings: s, config: m, net: learner.net, units: learner.units}
	if s.Typical > 0 {
		if err := d.learnTypical(ctx, pictures, o); err != nil {
			return nil, err
		}
	}
	return d, nil
}

// Learner trains a network batch by batch.
type Learner struct {
	settings  Settings
	net       Network
	units     units
	optimizer nn.Optimizer
	tape      *autograd.Tape
}

// NewLearner measures pixels by the pictures (3,H,W), and draws what is random from rng.
func NewLearner(s Settings, net Network, pictures []*tensor.Tensor, rng *rand.Rand, workers int) (*Learner, error) {
	optimizer, err := s.optimizer(net)
	if err != nil {
		return nil, err
	}
	l := &Learner{s, net, measure(pictures), optimizer, autograd.NewTape()}
	l.tape.Workers, l.tape.Rand = workers, rng
	return l, nil
}

// Step learns from tiles (N,3,T,T) and returns the loss that they had before it.
func (l *Learner) Step(tiles *tensor.Tensor) (float64, error) {
	defer l.tape.Reset()
	x := l.units.in(l.tape, l.tape.Input(tiles))
	back, penalty := l.net.Learn(l.tape, x)
	loss := l.settings.loss(l.tape, x, back, l.units)
	if penalty != nil {
		loss = l.tape.Add(loss, penalty)
	}
	value := float64(loss.Value.Data[0])
	l.optimizer.ZeroGrad()
	if err := l.tape.Backward(loss); err != nil {
		return 0, err
	}
	l.optimizer.Step()
	return value, nil
}

func (s Settings) optimizer(m nn.Module) (nn.Optimizer, error) {
	groups := nn.OneGroup(m, s.LR)
	if s.Optimizer == SGD {
		return nn.NewSGD(groups, nn.SGDConfig{Momentum: 0.9, WeightDecay: s.WeightDecay})
	}
	settings := nn.DefaultAdam()
	settings.WeightDecay = s.WeightDecay
	return nn.NewAdam(groups, settings)
}

// seen is a picture as the network sees it, and the size that it came in.
type seen struct {
	*tensor.Tensor
	h, w int
}

// read returns the samples' pictures.
func (s Settings) read(ctx context.Context, samples detect.Source, o *detect.FitOptions) ([]seen, error) {
	var pictures []seen
	for sample, err := range samples.Samples(ctx) {
		if err != nil {
			return nil, err
		}
		if err := check(sample.Image); err != nil {
			return nil, fmt.Errorf("%s: %w", sample.Name, err)
		}
		pictures = append(pictures, seen{s.enter(sample.Image), sample.Image.Shape[1], sample.Image.Shape[2]})
		o.Progress(detect.Progress{Stage: "pictures", Done: len(pictures), Total: samples.Len()})
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if len(pictures) == 0 {
		return nil, errors.New("no samples to learn from")
	}
	return pictures, nil
}

func check(picture *tensor.Tensor) error {
	if len(picture.Shape) != 3 || picture.Shape[0] != 3 || len(picture.Data) == 0 {
		return &fault.ShapeError{What: "picture", Want: "(3,H,W)", Got: picture.Shape}
	}
	if !detect.Usable(picture.Data) {
		return detect.ErrUnusable
	}
	return nil
}

func measure(pictures []*tensor.Tensor) units {
	var sum, square, n float64
	low, high := math.Inf(1), math.Inf(-1)
	for _, p := range pictures {
		for _, v := range p.Data {
			v := float64(v)
			sum += v
			square += v * v
			low, high = min(low, v), max(high, v)
		}
		n += float64(len(p.Data))
	}
	mean := sum / n
	u := units{float32(mean), float32(math.Sqrt(max(0, square/n-mean*mean))), float32(high - low)}
	if !(u.deviation > 1e-6) || !(u.span > 1e-6) { // all pixels alike
		u.deviation, u.span = 1, 1
	}
	return u
}
