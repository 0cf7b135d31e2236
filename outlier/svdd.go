package outlier

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"

	"github.com/blemish/blemish/autograd"
	"github.com/blemish/blemish/fault"
	"github.com/blemish/blemish/internal/parallel"
	"github.com/blemish/blemish/nn"
	"github.com/blemish/blemish/tensor"
)

// SVDDConfig is Deep SVDD: a network without biases learns to map the rows close to a center (Ruff et al., Deep One-Class Classification, ICML 2018).
// A row's score is its squared distance from the center there.
//
// Objectives and network are those of the authors' PyTorch code: leaky ReLU between layers, nothing after the last, the center the mean of the rows'
// first images with coordinates moved at least 0.1 from zero, Adam, and before that, if asked for, an autoencoder whose encoder the network starts
// from. Sizes, scaling, batches and weight decay are by default those of PyOD's DeepSVDD, which is made for tables; it differs in that it has a
// ReLU after the last layer, adds 1e-6·Σ‖W‖ to the loss and keeps the weights of the best epoch.
type SVDDConfig struct {
	Hidden        []int   `json:"hidden_neurons"` // widths of the layers, the last that of the space with the center
	Activation    string  `json:"activation"`     // between layers, 0 at 0: leaky_relu, relu, tanh, elu, gelu, silu or identity
	Objective     string  `json:"objective"`      // one-class: mean squared distance; soft-boundary: R² + mean of what is beyond R², divided by nu
	Nu            float64 `json:"nu"`             // soft-boundary: share of the rows fitted that may lie beyond the radius
	WarmUp        int     `json:"warm_up_epochs"` // soft-boundary: epochs before the radius is set; then after each batch
	Scale         string  `json:"scale"`          // of the columns, before all else: none, standard (mean 0, deviation 1) or minmax (0 to 1)
	LR            float64 `json:"lr"`
	WeightDecay   float64 `json:"weight_decay"`
	BatchSize     int     `json:"batch_size"`
	Epochs        int     `json:"epochs"`
	Pretrain      int     `json:"pretrain_epochs"` // of the autoencoder; 0: none
	PretrainDecay float64 `json:"pretrain_weight_decay"`
	Contamination float64 `json:"contamination"` // one-class: share of the rows fitted that the threshold leaves above it, as in PyOD

	EpochEnd func(epoch int, loss float64) `json:"-"` // told the mean loss of each epoch, counted from 0, without pretraining; may be nil
}

// The objectives.
const (
	oneClass     = "one-class"
	softBoundary = "soft-boundary"
)

// DefaultSVDD is PyOD's size of network and of batches, and its learning rate: ten times that tells pictures apart worse by their features
// (docs/outliers.md).
func DefaultSVDD() SVDDConfig {
	return SVDDConfig{
		Hidden: []int{64, 32}, Activation: "leaky_relu", Objective: oneClass, Nu: 0.1, WarmUp: 10, Scale: "standard",
		LR: 1e-4, WeightDecay: 0.5e-6, BatchSize: 32, Epochs: 100, PretrainDecay: 0.5e-3, Contamination: 0.1,
	}
}

// Validate names the first parameter that is out of range.
func (c SVDDConfig) Validate() error {
	if len(c.Hidden) == 0 || slices.Min(c.Hidden) < 1 {
		return &fault.ConfigError{Field: "hidden_neurons", Value: c.Hidden, Reason: "want widths of 1 or more, such as 64,32"}
	}
	if _, err := activation("activation", c.Activation); err != nil {
		return err
	}
	switch {
	case c.Activation == "sigmoid":
		return &fault.ConfigError{Field: "activation", Value: c.Activation, Reason: "is not 0 at 0: with it the network can map every row to the center"}
	case c.Objective != oneClass && c.Objective != softBoundary:
		return &fault.ConfigError{Field: "objective", Value: c.Objective, Reason: "known are one-class and soft-boundary"}
	case !(c.Nu > 0 && c.Nu <= 1):
		return &fault.ConfigError{Field: "nu", Value: c.Nu, Reason: "want more than 0 and at most 1"}
	case c.WarmUp < 0 || c.Objective == softBoundary && c.WarmUp >= c.Epochs:
		return &fault.ConfigError{Field: "warm_up_epochs", Value: c.WarmUp, Reason: "want 0 or more, and fewer than epochs"}
	case !slices.Contains([]string{"none", "standard", "minmax"}, c.Scale):
		return &fault.ConfigError{Field: "scale", Value: c.Scale, Reason: "known are none, standard and minmax"}
	case !(c.LR > 0) || math.IsInf(c.LR, 1):
		return &fault.ConfigError{Field: "lr", Value: c.LR, Reason: "want more than 0"}
	case !(c.WeightDecay >= 0) || math.IsInf(c.WeightDecay, 1):
		return &fault.ConfigError{Field: "weight_decay", Value: c.WeightDecay, Reason: "want 0 or more"}
	case c.BatchSize < 1:
		return &fault.ConfigError{Field: "batch_size", Value: c.BatchSize, Reason: "want 1 or more"}
	case c.Epochs < 1:
		return &fault.ConfigError{Field: "epochs", Value: c.Epochs, Reason: "want 1 or more"}
	case c.Pretrain < 0:
		return &fault.ConfigError{Field: "pretrain_epochs", Value: c.Pretrain, Reason: "want 0 (none) or more"}
	case !(c.PretrainDecay >= 0) || math.IsInf(c.PretrainDecay, 1):
		return &fault.ConfigError{Field: "pretrain_weight_decay", Value: c.PretrainDecay, Reason: "want 0 or more"}
	case !(c.Contamination > 0 && c.Contamination <= 0.5):
		return &fault.ConfigError{Field: "contamination", Value: c.Contamination, Reason: "want more than 0 and at most 0.5"}
	}
	return nil
}

// SVDD is a fitted SVDDConfig.
type SVDD struct {
	config       SVDDConfig
	net          nn.Sequential
	shift, scale []float64 // a column's value v goes in as (v - shift) / scale
	center       []float32
	threshold    float64
}

// Fit learns to map the rows of x close together.
func (c SVDDConfig) Fit(ctx context.Context, x Matrix, opts *Options) (Detector, error) {
	if err := check(c, x); err != nil {
		return nil, err
	}
	if err := measurable(x); err != nil {
		return nil, err
	}
	rng := rand.New(rand.NewPCG(opts.seed(), 0x64656570737664)) // a stream of its own
	m := c.begin(x, rng)
	order := make([]int, x.Rows)
	for i := range order {
		order[i] = i
	}
	l := &svddLearning{SVDD: m, opts: opts, scaled: m.scaled(x), order: func() []int {
		rng.Shuffle(len(order), func(i, j int) { order[i], order[j] = order[j], order[i] })
		return order
	}}
	if c.Pretrain > 0 {
		if err := l.pretrain(ctx, m.decoder(x.Cols, rng)); err != nil {
			return nil, err
		}
	}
	if err := m.finish(ctx, x, l); err != nil {
		return nil, err
	}
	return m, nil
}

// finish is what follows pretraining: the center is placed, the rows' images are drawn to it, and the threshold is set.
func (m *SVDD) finish(ctx context.Context, x Matrix, l *svddLearning) error {
	if err := m.placeCenter(ctx, x, l.opts.workers()); err != nil {
		return err
	}
	if err := l.learn(ctx); err != nil {
		return err
	}
	scores, err := m.scores(ctx, x, l.opts.workers())
	if err != nil {
		return err
	}
	m.threshold = quantile(scores, 1-m.config.Contamination)
	if m.config.Objective == softBoundary { // the radius that is best for the weights there are now
		m.threshold = math.Pow(quantile(roots(scores), 1-m.config.Nu), 2)
	}
	return nil
}

func roots(squares []float64) []float64 {
	out := make([]float64, len(squares))
	for i, v := range squares {
		out[i] = math.Sqrt(v)
	}
	return out
}

// begin makes the network and finds the columns' scales.
func (c SVDDConfig) begin(x Matrix, rng *rand.Rand) *SVDD {
	c.Hidden = slices.Clone(c.Hidden)
	m := &SVDD{config: c, net: unbiased(append([]int{x.Cols}, c.Hidden...), c.Activation, "", rng)}
	m.shift, m.scale = make([]float64, x.Cols), make([]float64, x.Cols)
	for j := range x.Cols {
		m.shift[j], m.scale[j] = columnScale(c.Scale, x, j)
	}
	return m
}

// load writes a row, scaled.
func (m *SVDD) load(dst []float32, row []float64) {
	for j, v := range row {
		dst[j] = float32((v - m.shift[j]) / m.scale[j])
	}
}

func (m *SVDD) scaled(x Matrix) matrix32 {
	s := matrix32{x.Rows, x.Cols, make([]float32, len(x.Data))}
	for i := range x.Rows {
		m.load(s.row(i), x.Row(i))
	}
	return s
}

// images calls f with the network's output of each row of x. The last block of rows is filled up with zeros: how many rows are judged does not
// change how one is.
func (m *SVDD) images(ctx context.Context, x Matrix, workers int, f func(i int, image []float32)) error {
	if err := checkNew(x, len(m.shift)); err != nil {
		return err
	}
	if err := measurable(x); err != nil {
		return err
	}
	blocks := (x.Rows + rowsAtOnce - 1) / rowsAtOnce
	workers = max(1, min(parallel.Workers(workers), blocks))
	type lane struct {
		tape  *autograd.Tape
		batch *tensor.Tensor
	}
	lanes := make([]lane, workers)
	for w := range lanes {
		lanes[w] = lane{autograd.NewTape(), tensor.New(rowsAtOnce, x.Cols)}
		lanes[w].tape.Workers = 1
	}
	k := m.config.Hidden[len(m.config.Hidden)-1]
	parallel.ForWorker(workers, blocks, func(w, b int) {
		if ctx.Err() != nil {
			return
		}
		tape, batch := lanes[w].tape, lanes[w].batch
		clear(batch.Data)
		from, to := b*rowsAtOnce, min((b+1)*rowsAtOnce, x.Rows)
		for i := from; i < to; i++ {
			m.load(batch.Data[(i-from)*x.Cols:][:x.Cols], x.Row(i))
		}
		tape.NoGrad(func() {
			out := m.net.Forward(tape, tape.Input(batch)).Value.Data
			for i := from; i < to; i++ {
				f(i, out[(i-from)*k:][:k])
			}
		})
		tape.Reset()
	})
	return ctx.Err()
}

func (m *SVDD) scores(ctx context.Context, x Matrix, workers int) ([]float64, error) {
	scores := make([]float64, x.Rows)
	err := m.images(ctx, x, workers, func(i int, image []float32) { scores[i] = fromCenter(image, m.center) })
	if err != nil {
		return nil, err
	}
	for i, v := range scores {
		if v-v != 0 {
			return nil, fmt.Errorf("row %d (from 0) is too far from the rows fitted for single precision", i)
		}
	}
	return scores, nil
}

func fromCenter(a, b []float32) (sum float64) {
	for j, v := range a {
		d := float64(v) - float64(b[j])
		sum += d * d
	}
	return sum
}

// Score returns each row's squared distance from the center.
func (m *SVDD) Score(ctx context.Context, x Matrix) ([]float64, error) { return m.scores(ctx, x, 0) }

// Threshold leaves the configured contamination of the rows fitted above it; with a soft boundary it is the squared radius that leaves nu.
func (m *SVDD) Threshold() float64 { return m.threshold }

// State holds weights by their names in a torch.nn.Sequential.
func (m *SVDD) State() (State, error) {
	center := make([]float64, len(m.center))
	for i, v := range m.center {
		center[i] = float64(v)
	}
	arrays := map[string]Array{"shift": vectorOf(m.shift), "scale": vectorOf(m.scale), "center": vectorOf(center), "threshold": numberOf(m.threshold)}
	for _, p := range nn.State(m.net) {
		values := make([]float64, len(p.Value.Data))
		for i, v := range p.Value.Data {
			values[i] = float64(v)
		}
		arrays[p.Name] = Array{slices.Clone(p.Value.Shape), values}
	}
	return saveAs(m.config, arrays)
}

func openSVDD(s State) (Detector, error) {
	var of struct {
		Hidden []int `json:"hidden_neurons"`
	}
	json.Unmarshal(s.Config, &of) // openSaved says what is wrong with it
	c, r, err := openSaved("Deep SVDD", s, SVDDConfig{}, len(of.Hidden)+4)
	if err != nil {
		return nil, err
	}
	m := &SVDD{config: c, shift: r.array("shift", -1).Data, threshold: r.number("threshold")}
	m.scale = r.array("scale", len(m.shift)).Data
	center := r.array("center", c.Hidden[len(c.Hidden)-1]).Data
	if r.err == nil && slices.Min(m.scale) <= 0 {
		r.err = r.damaged("a scale is not positive")
	}
	widths := append([]int{len(m.shift)}, c.Hidden...)
	weights := make([][]float64, len(c.Hidden))
	for i := range weights { // all are there before a network of their size is made
		weights[i] = r.matrix(weightName("", i), widths[i+1], widths[i]).Data
	}
	if r.err != nil {
		return nil, r.err
	}
	m.net = unbiased(widths, c.Activation, "", nil)
	for i, p := range m.net.Params() {
		if err := narrow(p.Value.Data, weights[i]); err != nil {
			return nil, r.damaged("%s: %v", p.Name, err)
		}
	}
	m.center = make([]float32, len(center))
	if err := narrow(m.center, center); err != nil {
		return nil, r.damaged("center: %v", err)
	}
	return m, nil
}

// narrow rounds to single precision what fits into it.
func narrow(dst []float32, src []float64) error {
	for i, v := range src {
		if math.Abs(v) > math.MaxFloat32 {
			return fmt.Errorf("%v is beyond single precision", v)
		}
		dst[i] = float32(v)
	}
	return nil
}
