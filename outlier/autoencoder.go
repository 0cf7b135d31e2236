package outlier

import (
	"context"
	"encoding/json"
	"fmt"
	"iter"
	"math"
	"math/rand/v2"
	"slices"
	"strconv"

	"github.com/blemish/blemish/autograd"
	"github.com/blemish/blemish/fault"
	"github.com/blemish/blemish/internal/parallel"
	"github.com/blemish/blemish/nn"
	"github.com/blemish/blemish/tensor"
	"github.com/blemish/blemish/train"
)

// AutoencoderConfig is a fully connected network that learns to give back the rows it is shown, through a layer too narrow to copy them.
// A row's score is the mean squared difference from what comes back (Hinton and Salakhutdinov, Science 313, 2006).
//
// It starts from PyTorch's default: weights and biases uniform within 1/√inputs.
type AutoencoderConfig struct {
	Layers        []int   `json:"layers"`     // widths from input to output, both the number of columns d; empty: d, d/2, d/4, d/2, d
	Activation    string  `json:"activation"` // between layers: tanh, relu, leaky_relu, elu, gelu, silu, sigmoid or identity
	Output        string  `json:"output"`     // after the last layer: likewise
	Scale         string  `json:"scale"`      // of the columns, before all else: none, standard (mean 0, deviation 1) or minmax (0 to 1)
	Optimizer     string  `json:"optimizer"`  // adam or sgd
	LR            float64 `json:"lr"`
	Momentum      float64 `json:"momentum"` // of sgd
	WeightDecay   float64 `json:"weight_decay"`
	BatchSize     int     `json:"batch_size"`
	Epochs        int     `json:"epochs"`
	Contamination float64 `json:"contamination"` // share of the rows fitted that the threshold leaves above it, as in PyOD

	EpochEnd func(epoch int, loss float64) `json:"-"` // told each epoch's mean loss, counted from 0; may be nil
}

// DefaultAutoencoder suits columns of any scale.
func DefaultAutoencoder() AutoencoderConfig {
	return AutoencoderConfig{
		Activation: "relu", Output: "identity", Scale: "standard", Optimizer: "adam", LR: 1e-3, BatchSize: 32, Epochs: 50, Contamination: 0.1,
	}
}

// activations by name; leaky_relu has PyTorch's default slope.
var activations = []struct {
	name  string
	layer nn.Func
}{
	{"tanh", nn.Tanh}, {"relu", nn.ReLU}, {"leaky_relu", nn.LeakyReLU(0.01)}, {"elu", nn.ELU}, {"gelu", nn.GELU}, {"silu", nn.SiLU},
	{"sigmoid", nn.Sigmoid}, {"identity", nil},
}

func activation(field, name string) (nn.Func, error) {
	var known []string
	for _, a := range activations {
		if a.name == name {
			return a.layer, nil
		}
		known = append(known, a.name)
	}
	return nil, &fault.ConfigError{Field: field, Value: name, Reason: fmt.Sprintf("known are %q", known)}
}

// Validate names the first parameter that is out of range.
func (c AutoencoderConfig) Validate() error {
	if n := len(c.Layers); n == 1 || n > 0 && (slices.Min(c.Layers) < 1 || c.Layers[0] != c.Layers[n-1]) {
		return &fault.ConfigError{Field: "layers", Value: c.Layers, Reason: "want widths of 1 or more, the first equal to the last, such as 65,32,8,32,65"}
	}
	if _, err := activation("activation", c.Activation); err != nil {
		return err
	}
	if _, err := activation("output", c.Output); err != nil {
		return err
	}
	switch {
	case !slices.Contains([]string{"none", "standard", "minmax"}, c.Scale):
		return &fault.ConfigError{Field: "scale", Value: c.Scale, Reason: "known are none, standard and minmax"}
	case c.Optimizer != "adam" && c.Optimizer != "sgd":
		return &fault.ConfigError{Field: "optimizer", Value: c.Optimizer, Reason: "known are adam and sgd"}
	case !(c.LR > 0) || math.IsInf(c.LR, 1):
		return &fault.ConfigError{Field: "lr", Value: c.LR, Reason: "want more than 0"}
	case !(c.Momentum >= 0) || c.Momentum > 0 && c.Optimizer != "sgd":
		return &fault.ConfigError{Field: "momentum", Value: c.Momentum, Reason: "want 0 or more, with optimizer sgd"}
	case !(c.WeightDecay >= 0):
		return &fault.ConfigError{Field: "weight_decay", Value: c.WeightDecay, Reason: "want 0 or more"}
	case c.BatchSize < 1:
		return &fault.ConfigError{Field: "batch_size", Value: c.BatchSize, Reason: "want 1 or more"}
	case c.Epochs < 1:
		return &fault.ConfigError{Field: "epochs", Value: c.Epochs, Reason: "want 1 or more"}
	case !(c.Contamination > 0 && c.Contamination <= 0.5):
		return &fault.ConfigError{Field: "contamination", Value: c.Contamination, Reason: "want more than 0 and at most 0.5"}
	}
	return nil
}

// Autoencoder is a fitted AutoencoderConfig. Scores are mean squared errors of a row's scaled values.
type Autoencoder struct {
	config       AutoencoderConfig // with Layers
	net          nn.Sequential
	shift, scale []float64 // a column's value v goes in as (v - shift) / scale
	threshold    float64
}

// Fit learns to give back the rows of x.
func (c AutoencoderConfig) Fit(ctx context.Context, x Matrix, opts *Options) (Detector, error) {
	if err := check(c, x); err != nil {
		return nil, err
	}
	rng := rand.New(rand.NewPCG(opts.seed(), 0x6175746f656e63)) // a stream of its own
	a, err := c.begin(x, rng)
	if err != nil {
		return nil, err
	}
	order := make([]int, x.Rows)
	for i := range order {
		order[i] = i
	}
	if err := a.learn(ctx, x, opts, func() []int {
		rng.Shuffle(len(order), func(i, j int) { order[i], order[j] = order[j], order[i] })
		return order
	}); err != nil {
		return nil, err
	}
	scores, err := a.scores(ctx, x, opts.workers())
	if err != nil {
		return nil, err
	}
	a.threshold = quantile(scores, 1-c.Contamination)
	return a, nil
}

// begin makes the network and finds the columns' scales.
func (c AutoencoderConfig) begin(x Matrix, rng *rand.Rand) (*Autoencoder, error) {
	d := x.Cols
	if len(c.Layers) == 0 {
		c.Layers = []int{d, max(d/2, 1), max(d/4, 1), max(d/2, 1), d}
	}
	if c.Layers[0] != d {
		return nil, &fault.ShapeError{What: "rows to learn from", Want: fmt.Sprintf("(n,%d), as layers begin", c.Layers[0]), Got: []int{x.Rows, d}}
	}
	c.Layers = slices.Clone(c.Layers)
	a := &Autoencoder{config: c, net: c.network(rng), shift: make([]float64, d), scale: make([]float64, d)}
	for j := range d {
		a.shift[j], a.scale[j] = columnScale(c.Scale, x, j)
	}
	return a, a.reachable(x)
}

// network has the parameter names of a torch.nn.Sequential of layers and activations in turn.
func (c AutoencoderConfig) network(rng *rand.Rand) nn.Sequential {
	between, _ := activation("activation", c.Activation)
	last, _ := activation("output", c.Output)
	var net nn.Sequential
	for i := range len(c.Layers) - 1 {
		net = append(net, nn.NewLinear(strconv.Itoa(2*i), c.Layers[i], c.Layers[i+1], rng))
		f := between
		if i == len(c.Layers)-2 {
			f = last
		}
		if f != nil {
			net = append(net, f)
		}
	}
	return net
}

// columnScale leaves constant columns their unit.
func columnScale(kind string, x Matrix, j int) (shift, scale float64) {
	switch kind {
	case "standard":
		for i := range x.Rows {
			shift += x.Row(i)[j] / float64(x.Rows)
		}
		for i := range x.Rows {
			d := x.Row(i)[j] - shift
			scale += d * d / float64(x.Rows)
		}
		scale = math.Sqrt(scale)
	case "minmax":
		low, high := math.Inf(1), math.Inf(-1)
		for i := range x.Rows {
			low, high = min(low, x.Row(i)[j]), max(high, x.Row(i)[j])
		}
		shift, scale = low, high-low
	default:
		return 0, 1
	}
	if !(scale > 1e-12*math.Abs(shift)) { // rounding of a constant is no spread
		scale = 1
	}
	return shift, scale
}

// reachable refuses rows that the network could never give back, since its output ends before.
func (a *Autoencoder) reachable(x Matrix) error {
	ranges := map[string][2]float64{"sigmoid": {0, 1}, "tanh": {-1, 1}, "relu": {0, math.Inf(1)}}
	r, bounded := ranges[a.config.Output]
	if !bounded {
		return nil
	}
	for i := range x.Rows {
		for j, v := range x.Row(i) {
			if s := (v - a.shift[j]) / a.scale[j]; s < r[0]-1e-9 || s > r[1]+1e-9 {
				return fmt.Errorf("row %d, column %d (both from 0) is %.6g scaled, but output %s gives %v to %v: take scale minmax with output sigmoid, or output identity",
					i, j, s, a.config.Output, r[0], r[1])
			}
		}
	}
	return nil
}

// load writes row i of x, scaled.
func (a *Autoencoder) load(dst []float32, row []float64) {
	for j, v := range row {
		dst[j] = float32((v - a.shift[j]) / a.scale[j])
	}
}

// learn goes through the rows epochs times, each time in the order that it is given. A step allocates nothing.
func (a *Autoencoder) learn(ctx context.Context, x Matrix, opts *Options, order func() []int) error {
	c, d := a.config, x.Cols
	groups := nn.OneGroup(a.net, c.LR)
	var optimizer nn.Optimizer
	var err error
	if c.Optimizer == "adam" {
		settings := nn.DefaultAdam()
		settings.WeightDecay = c.WeightDecay
		optimizer, err = nn.NewAdam(groups, settings)
	} else {
		optimizer, err = nn.NewSGD(groups, nn.SGDConfig{Momentum: c.Momentum, WeightDecay: c.WeightDecay})
	}
	if err != nil {
		return err
	}
	scaled := make([]float32, len(x.Data))
	for i := range x.Rows {
		a.load(scaled[i*d:(i+1)*d], x.Row(i))
	}
	size := min(c.BatchSize, x.Rows)
	whole, rest := tensor.New(size, d), tensor.New(x.Rows%size, d)
	tape := autograd.NewTape()
	tape.Workers = opts.workers()
	batches := func(context.Context, int) iter.Seq2[[]int, error] {
		rows := order()
		return func(yield func([]int, error) bool) {
			for at := 0; at < len(rows); at += size {
				if !yield(rows[at:min(at+size, len(rows))], nil) {
					return
				}
			}
		}
	}
	step := func(_ context.Context, _ train.At, rows []int) (float64, error) {
		batch := whole
		if len(rows) < size {
			batch = rest
		}
		for k, i := range rows {
			copy(batch.Data[k*d:(k+1)*d], scaled[i*d:(i+1)*d])
		}
		defer tape.Reset()
		in := tape.Input(batch)
		loss := tape.MSE(a.net.Forward(tape, in), in)
		value := float64(loss.Value.Data[0])
		optimizer.ZeroGrad()
		if err := tape.Backward(loss); err != nil {
			return 0, err
		}
		optimizer.Step()
		return value, nil
	}
	return train.Run(ctx, train.Config{
		Epochs: c.Epochs, Model: a.net, Optimizers: []nn.Optimizer{optimizer},
		EpochEnd: func(_ context.Context, p train.Progress) error {
			opts.report(p.Epoch+1, c.Epochs)
			if c.EpochEnd != nil {
				c.EpochEnd(p.Epoch, p.Mean)
			}
			return nil
		},
	}, batches, step)
}

// rowsAtOnce go through the network together. The last block is filled up with zeros: how many rows are judged does not change how one is.
const rowsAtOnce = 64

// pass calls f with each row of x, scaled, and with what the network gives back.
func (a *Autoencoder) pass(ctx context.Context, x Matrix, workers int, f func(i int, in, out []float32)) (err error) {
	d := a.config.Layers[0]
	if err := checkNew(x, d); err != nil {
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
		lanes[w] = lane{autograd.NewTape(), tensor.New(rowsAtOnce, d)}
		lanes[w].tape.Workers = 1
	}
	parallel.ForWorker(workers, blocks, func(w, b int) {
		if ctx.Err() != nil {
			return
		}
		tape, batch := lanes[w].tape, lanes[w].batch
		clear(batch.Data)
		from, to := b*rowsAtOnce, min((b+1)*rowsAtOnce, x.Rows)
		for i := from; i < to; i++ {
			a.load(batch.Data[(i-from)*d:(i-from+1)*d], x.Row(i))
		}
		tape.NoGrad(func() {
			out := a.net.Forward(tape, tape.Input(batch)).Value.Data
			for i := from; i < to; i++ {
				f(i, batch.Data[(i-from)*d:(i-from+1)*d], out[(i-from)*d:(i-from+1)*d])
			}
		})
		tape.Reset()
	})
	return ctx.Err()
}

func (a *Autoencoder) scores(ctx context.Context, x Matrix, workers int) ([]float64, error) {
	scores := make([]float64, x.Rows)
	err := a.pass(ctx, x, workers, func(i int, in, out []float32) {
		sum := 0.0
		for j, v := range out {
			e := float64(v) - float64(in[j])
			sum += e * e
		}
		scores[i] = sum / float64(len(out))
	})
	for i, v := range scores {
		if err == nil && v-v != 0 {
			err = fmt.Errorf("row %d (from 0) is too far from the rows fitted for single precision", i)
		}
	}
	if err != nil {
		return nil, err
	}
	return scores, nil
}

// Score returns each row's mean squared error.
func (a *Autoencoder) Score(ctx context.Context, x Matrix) ([]float64, error) {
	return a.scores(ctx, x, 0)
}

// Reconstruct returns what the network gives back for each row, in the rows' own units.
func (a *Autoencoder) Reconstruct(ctx context.Context, x Matrix) (Matrix, error) {
	back := NewMatrix(x.Rows, x.Cols)
	err := a.pass(ctx, x, 0, func(i int, _, out []float32) {
		for j, v := range out {
			back.Row(i)[j] = float64(v)*a.scale[j] + a.shift[j]
		}
	})
	return back, err
}

// Threshold leaves the configured contamination of the rows fitted above it.
func (a *Autoencoder) Threshold() float64 { return a.threshold }

// State holds weights by their names in a torch.nn.Sequential.
func (a *Autoencoder) State() (State, error) {
	config, err := json.Marshal(a.config)
	if err != nil {
		return State{}, err
	}
	d := len(a.shift)
	s := State{Config: config, Arrays: map[string]Array{
		"shift": {[]int{d}, slices.Clone(a.shift)}, "scale": {[]int{d}, slices.Clone(a.scale)}, "threshold": {[]int{1}, []float64{a.threshold}},
	}}
	for _, p := range nn.State(a.net) {
		values := make([]float64, len(p.Value.Data))
		for i, v := range p.Value.Data {
			values[i] = float64(v)
		}
		s.Arrays[p.Name] = Array{slices.Clone(p.Value.Shape), values}
	}
	return s, nil
}

// maxWeights bounds what a damaged file can ask for.
const maxWeights = 1 << 28

// openAutoencoder is the inverse of State.
func openAutoencoder(s State) (Detector, error) {
	damaged := func(format string, args ...any) error {
		return &fault.FormatError{Format: "autoencoder", Reason: fmt.Sprintf(format, args...)}
	}
	var c AutoencoderConfig
	if err := json.Unmarshal(s.Config, &c); err != nil {
		return nil, damaged("configuration: %v", err)
	}
	if err := c.Validate(); err != nil {
		return nil, damaged("configuration: %v", err)
	}
	if len(c.Layers) < 2 {
		return nil, damaged("its layers are missing")
	}
	d, total := c.Layers[0], 0
	for i := range len(c.Layers) - 1 {
		if c.Layers[i] > maxWeights || c.Layers[i+1] > maxWeights/c.Layers[i] {
			return nil, damaged("layers %v are too wide", c.Layers)
		}
		name := strconv.Itoa(2*i) + ".weight"
		if got := len(s.Arrays[name].Data); got != c.Layers[i]*c.Layers[i+1] { // before the network is made as large as its layers say
			return nil, damaged("%s has %d values, want %d", name, got, c.Layers[i]*c.Layers[i+1])
		}
		total += 2
	}
	if len(s.Arrays) != total+3 {
		return nil, damaged("%d arrays, want %d", len(s.Arrays), total+3)
	}
	array := func(name string, shape ...int) ([]float64, error) {
		a, ok := s.Arrays[name]
		if !ok || !slices.Equal(a.Shape, shape) || len(a.Data) != tensor.Volume(shape) {
			return nil, damaged("%s has shape %v, want %v", name, a.Shape, shape)
		}
		for _, v := range a.Data {
			if v-v != 0 {
				return nil, damaged("%s is not finite", name)
			}
		}
		return a.Data, nil
	}
	a := &Autoencoder{config: c, net: c.network(rand.New(rand.NewPCG(0, 0)))}
	for _, p := range nn.State(a.net) {
		values, err := array(p.Name, p.Value.Shape...)
		if err != nil {
			return nil, err
		}
		if err := narrow(p.Value.Data, values); err != nil {
			return nil, damaged("%s: %v", p.Name, err)
		}
	}
	shift, err := array("shift", d)
	if err != nil {
		return nil, err
	}
	scale, err := array("scale", d)
	if err != nil {
		return nil, err
	}
	if slices.Min(scale) <= 0 {
		return nil, damaged("a scale is not positive")
	}
	threshold, err := array("threshold", 1)
	if err != nil {
		return nil, err
	}
	a.shift, a.scale, a.threshold = slices.Clone(shift), slices.Clone(scale), threshold[0]
	return a, nil
}
