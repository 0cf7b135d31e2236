package outlier

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"math"
	"math/rand/v2"
	"slices"

	"github.com/blemish/blemish/autograd"
	"github.com/blemish/blemish/nn"
	"github.com/blemish/blemish/tensor"
	"github.com/blemish/blemish/train"
)

// unbiased makes a network of linear layers without biases, with an activation between them: it maps 0 to 0, so that no choice of weights but 0
// maps all rows to a center elsewhere. Names are those of a torch.nn.Sequential, behind a prefix. rng nil leaves the weights 0.
func unbiased(widths []int, between, prefix string, rng *rand.Rand) nn.Sequential {
	f, _ := activation("activation", between)
	var net nn.Sequential
	for i := range len(widths) - 1 {
		if i > 0 && f != nil {
			net = append(net, f)
		}
		weight := tensor.New(widths[i+1], widths[i])
		if rng != nil {
			nn.KaimingUniform(weight, rng) // PyTorch's default
		}
		net = append(net, &nn.Linear{Name: fmt.Sprintf("%s%d", prefix, 2*i), Weight: autograd.NewParam(weightName(prefix, i), weight)})
	}
	return net
}

// weightName counts activations too.
func weightName(prefix string, layer int) string { return fmt.Sprintf("%s%d.weight", prefix, 2*layer) }

// decoder is the way back from the network's output to rows of d values: the network's widths turned, an activation first.
func (m *SVDD) decoder(d int, rng *rand.Rand) nn.Sequential {
	widths := slices.Clone(m.config.Hidden)
	slices.Reverse(widths)
	net := unbiased(append(widths, d), m.config.Activation, "decoder.", rng)
	if f, _ := activation("activation", m.config.Activation); f != nil {
		net = append(nn.Sequential{f}, net...)
	}
	return net
}

// matrix32 is (Rows, Cols), row-major.
type matrix32 struct {
	rows, cols int
	data       []float32
}

func (m matrix32) row(i int) []float32 { return m.data[i*m.cols:][:m.cols:m.cols] }

// svddLearning is a network on its way.
type svddLearning struct {
	*SVDD
	opts   *Options
	scaled matrix32
	order  func() []int // of the rows, for each epoch
	radius float64      // of the soft boundary
}

// leastCenter is how far from zero each coordinate of the center is at least.
const leastCenter = 0.1

// placeCenter takes the mean of the rows' images. A coordinate at zero would be reached too easily.
func (m *SVDD) placeCenter(ctx context.Context, x Matrix, workers int) error {
	k := m.config.Hidden[len(m.config.Hidden)-1]
	images := make([]float32, x.Rows*k)
	if err := m.images(ctx, x, workers, func(i int, image []float32) { copy(images[i*k:], image) }); err != nil {
		return err
	}
	if slices.Max(images) == 0 && slices.Min(images) == 0 {
		return errors.New("all rows are equal once scaled: the network maps them to 0, and there is nothing to learn")
	}
	m.center = make([]float32, k)
	for j := range m.center {
		sum := 0.0
		for i := range x.Rows {
			sum += float64(images[i*k+j])
		}
		c := sum / float64(x.Rows)
		if math.Abs(c) < leastCenter {
			c = math.Copysign(leastCenter, c)
		}
		m.center[j] = float32(c)
	}
	return nil
}

// pretrain makes the network the first half of one that gives the rows back: mean Σ(row - output)² of a batch.
func (l *svddLearning) pretrain(ctx context.Context, decoder nn.Sequential) error {
	whole := append(slices.Clone(l.net), decoder...)
	d := float32(l.scaled.cols)
	return l.run(ctx, whole, l.config.Pretrain, l.config.PretrainDecay, 0, func(tape *autograd.Tape, in *autograd.Var, _ int) *autograd.Var {
		return tape.Scale(tape.MSE(whole.Forward(tape, in), in), d, 0)
	}, nil)
}

// learn draws the rows' images towards the center.
func (l *svddLearning) learn(ctx context.Context) error {
	k := len(l.center)
	batch := min(l.config.BatchSize, l.scaled.rows)
	centers := tensor.New(batch, k)
	for i := range batch {
		copy(centers.Data[i*k:], l.center)
	}
	last := tensor.From(centers.Data[:l.scaled.rows%batch*k], l.scaled.rows%batch, k)
	loss := func(tape *autograd.Tape, in *autograd.Var, epoch int) *autograd.Var {
		target := centers
		if in.Shape()[0] < batch {
			target = last
		}
		out := l.net.Forward(tape, in)
		if l.config.Objective == oneClass {
			return tape.Scale(tape.MSE(out, tape.Input(target)), float32(k), 0)
		}
		apart := tape.Sub(out, tape.Input(target))
		squares := tape.MeanLast(tape.Mul(apart, apart))
		square := l.radius * l.radius
		beyond := tape.ReLU(tape.Scale(squares, float32(k), float32(-square)))
		total := tape.Scale(tape.Mean(beyond), float32(1/l.config.Nu), float32(square))
		if epoch >= l.config.WarmUp { // for the next batch
			distances := make([]float64, len(squares.Value.Data))
			for i, v := range squares.Value.Data {
				distances[i] = math.Sqrt(float64(v) * float64(k))
			}
			l.radius = quantile(distances, 1-l.config.Nu)
		}
		return total
	}
	return l.run(ctx, l.net, l.config.Epochs, l.config.WeightDecay, l.config.Pretrain, loss, l.config.EpochEnd)
}

// run goes through the rows epochs times.
func (l *svddLearning) run(ctx context.Context, net nn.Sequential, epochs int, decay float64, before int,
	loss func(tape *autograd.Tape, in *autograd.Var, epoch int) *autograd.Var, told func(epoch int, loss float64)) error {
	settings := nn.DefaultAdam()
	settings.WeightDecay = decay
	optimizer, err := nn.NewAdam(nn.OneGroup(net, l.config.LR), settings)
	if err != nil {
		return err
	}
	d := l.scaled.cols
	size := min(l.config.BatchSize, l.scaled.rows)
	whole, rest := tensor.New(size, d), tensor.New(l.scaled.rows%size, d)
	tape := autograd.NewTape()
	tape.Workers = l.opts.workers()
	batches := func(context.Context, int) iter.Seq2[[]int, error] {
		rows := l.order()
		return func(yield func([]int, error) bool) {
			for at := 0; at < len(rows); at += size {
				if !yield(rows[at:min(at+size, len(rows))], nil) {
					return
				}
			}
		}
	}
	step := func(_ context.Context, at train.At, rows []int) (float64, error) {
		batch := whole
		if len(rows) < size {
			batch = rest
		}
		for i, row := range rows {
			copy(batch.Data[i*d:], l.scaled.row(row))
		}
		defer tape.Reset()
		total := loss(tape, tape.Input(batch), at.Epoch)
		value := float64(total.Value.Data[0])
		optimizer.ZeroGrad()
		if err := tape.Backward(total); err != nil {
			return 0, err
		}
		optimizer.Step()
		return value, nil
	}
	return train.Run(ctx, train.Config{
		Epochs: epochs, Model: net, Optimizers: []nn.Optimizer{optimizer},
		EpochEnd: func(_ context.Context, p train.Progress) error {
			l.opts.report(before+p.Epoch+1, l.config.Pretrain+l.config.Epochs)
			if told != nil {
				told(p.Epoch, p.Mean)
			}
			return nil
		},
	}, batches, step)
}
