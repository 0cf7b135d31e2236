package classifier

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"sync"

	"github.com/blemish/blemish/autograd"
	"github.com/blemish/blemish/detect"
	"github.com/blemish/blemish/explain"
	"github.com/blemish/blemish/fault"
	"github.com/blemish/blemish/nn"
	"github.com/blemish/blemish/tensor"
)

// Fitted is a configuration and what was found in training besides weights: what a model file says of a classifier.
type Fitted struct {
	Config
	Classes     []string `json:"classes"`     // by label
	Clean       string   `json:"clean"`       // the class of good pictures
	Temperature float64  `json:"temperature"` // that logits are divided by
	Mirrored    Mirrors  `json:"mirrored"`    // the logits of a picture and of these mirror images are averaged
	History     []Epoch  `json:"history"`
	Best        int      `json:"best_epoch"` // whose weights were kept; 0 for the last
}

// Detector is a trained classifier. Its score is one minus the probability of the clean class. Its map is in units of the log-odds of a
// picture being defective: with a linear head and two classes the mean of the map, before it is smoothed, is these log-odds before tempering.
type Detector struct {
	fitted  Fitted
	extract detect.Extractor
	net     *network
	clean   int
	ask     explain.Question
	mu      sync.Mutex // a graph that is trained keeps its values: one picture at a time runs through it
}

func newDetector(f Fitted, e detect.Extractor, n *network) *Detector {
	clean := slices.Index(f.Classes, f.Clean)
	return &Detector{fitted: f, extract: e, net: n, clean: clean, ask: explain.Against(clean)}
}

// Fitted is what was found in training.
func (d *Detector) Fitted() Fitted { return d.fitted }

// Score judges each picture by itself.
func (d *Detector) Score(ctx context.Context, batch *tensor.Tensor, opts *detect.ScoreOptions) ([]detect.Result, error) {
	if len(batch.Shape) != 4 {
		return nil, &fault.ShapeError{What: "batch", Want: "(N,3,H,W)", Got: batch.Shape}
	}
	results := make([]detect.Result, batch.Shape[0])
	for i := range results {
		x := batch.Item(i).Reshape(append([]int{1}, batch.Shape[1:]...)...)
		logits, m, err := d.judge(ctx, x, opts.WorkerCount())
		if err != nil {
			return nil, err
		}
		images := d.fitted.Mirrored.images()
		for _, turn := range images {
			others, n, err := d.judge(ctx, turn.of(x), opts.WorkerCount())
			if err != nil {
				return nil, err
			}
			n = turn.of(n)
			for k := range logits {
				logits[k] += others[k]
			}
			for k := range m.Data {
				m.Data[k] += n.Data[k]
			}
		}
		for k := range logits {
			logits[k] /= float32(1 + len(images))
		}
		for k := range m.Data {
			m.Data[k] /= float32(1 + len(images))
		}
		p := probabilities(logits, d.fitted.Temperature)
		defective := 0.0 // summed, since 1-p loses small probabilities
		results[i].Map, results[i].Classes = m, make([]float32, len(p))
		for k, v := range p {
			results[i].Classes[k] = float32(v)
			if k != d.clean {
				defective += v
			}
		}
		results[i].Score = float32(defective)
	}
	return results, nil
}

// judge returns a picture's logits, and its map at its own size.
func (d *Detector) judge(ctx context.Context, x *tensor.Tensor, workers int) ([]float32, *tensor.Tensor, error) {
	sizes, err := readings(ctx, d.fitted.Config, d.extract, x, workers)
	if err != nil {
		return nil, nil, err
	}
	if d.fitted.pooled() {
		logits, m := d.linear(sizes, x.Shape[2], x.Shape[3])
		return logits, m, nil
	}
	last := sizes[0][0]
	if d.net.tail != nil {
		if last, err = d.behindTail(last, workers); err != nil {
			return nil, nil, err
		}
	}
	logits, gradients, err := explain.Gradients(ctx, d.net.head, last, d.ask, workers)
	if err != nil {
		return nil, nil, err
	}
	m, err := explain.Map(d.fitted.Map, last.Item(0), gradients.Item(0))
	if err != nil {
		return nil, nil, err
	}
	return logits.Data, explain.Upsample(m, x.Shape[2], x.Shape[3]), nil
}

func (d *Detector) behindTail(x *tensor.Tensor, workers int) (out *tensor.Tensor, err error) {
	defer autograd.Catch(&err)
	d.mu.Lock()
	defer d.mu.Unlock()
	t := autograd.NewTape()
	t.Workers = workers
	t.NoGrad(func() { out = d.net.tail.Forward(t, t.Input(x)).Value.Clone() })
	return out, nil
}

// linear is a linear layer behind pooling, of maps at each size. Each layer's part of the map is CAM of the log-odds' weights, and their sum,
// averaged over the sizes, is brought to the log-odds by the biases.
func (d *Detector) linear(sizes [][]*tensor.Tensor, height, width int) ([]float32, *tensor.Tensor) {
	var pooled []*tensor.Tensor
	for _, maps := range sizes {
		pooled = append(pooled, pool(maps))
	}
	logits, weights, bias := d.evidence(mean(pooled).Data)
	m := tensor.New(height, width)
	for i := range m.Data {
		m.Data[i] = bias
	}
	for _, maps := range sizes {
		from := 0
		for _, layer := range maps {
			part := explain.Upsample(explain.CAM(layer.Item(0), weights[from:]), height, width)
			for i, v := range part.Data {
				m.Data[i] += v / float32(len(sizes))
			}
			from += layer.Shape[1]
		}
	}
	return logits, m
}

// evidence returns the logits of pooled features, and what the log-odds are made of: weights·pooled + bias.
func (d *Detector) evidence(pooled []float32) (logits, weights []float32, bias float32) {
	out := d.net.last[0]
	c := len(pooled)
	logits, weights = make([]float32, len(d.fitted.Classes)), make([]float32, c)
	for k := range logits {
		sum := float64(out.Bias.Value.Data[k])
		for i, w := range out.Weight.Value.Data[k*c:][:c] {
			sum += float64(w) * float64(pooled[i])
		}
		logits[k] = float32(sum)
	}
	for k, f := range d.ask(logits) {
		for i, w := range out.Weight.Value.Data[k*c:][:c] {
			weights[i] += f * w
		}
		bias += f * out.Bias.Value.Data[k]
	}
	return logits, weights, bias
}

// State holds the weights of what learned, and of the head.
func (d *Detector) State() (detect.State, error) {
	config, err := json.Marshal(d.fitted)
	if err != nil {
		return detect.State{}, err
	}
	s := detect.State{Config: config, Tensors: map[string]*tensor.Tensor{}}
	for _, b := range nn.State(d.net) {
		s.Tensors[b.Name] = b.Value
	}
	return s, nil
}

// Open returns the detector of a State, and keeps the head's tensors.
func Open(s detect.State, e detect.Extractor) (detect.Detector, error) {
	var f Fitted
	dec := json.NewDecoder(bytes.NewReader(s.Config))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&f); err != nil {
		return nil, &fault.FormatError{Format: "model", Reason: "its classifier's configuration is damaged", Err: err}
	}
	if err := f.check(); err != nil {
		return nil, &fault.FormatError{Format: "model", Reason: "its classifier's configuration", Err: err}
	}
	for name, t := range s.Tensors {
		if !detect.Usable(t.Data) {
			return nil, &fault.FormatError{Format: "model", Reason: fmt.Sprintf("tensor %q holds numbers that are not finite", name)}
		}
	}
	n, err := newNetwork(f.Config, e.Taps(), len(f.Classes), rand.New(rand.NewPCG(0, 0)), stored(s.Tensors))
	if err != nil {
		return nil, err
	}
	if known := nn.State(n); len(known) != len(s.Tensors) {
		return nil, &fault.FormatError{Format: "model", Reason: fmt.Sprintf("its classifier has %d tensors, want %d", len(s.Tensors), len(known))}
	}
	if n.tail != nil {
		err = nn.LoadState(n.tail, func(name string) (*tensor.Tensor, error) {
			t, ok := s.Tensors[name]
			if !ok {
				return nil, &fault.FormatError{Format: "model", Reason: fmt.Sprintf("tensor %q is missing", name)}
			}
			return t, nil
		})
		if err != nil {
			return nil, err
		}
	}
	n.training(f.Config, false)
	nn.Freeze(n, true)
	return newDetector(f, e, n), nil
}

// maxClasses bounds what a hostile file can ask for.
const maxClasses = 1 << 12

func (f Fitted) check() error {
	if err := f.Validate(); err != nil {
		return err
	}
	if !slices.Contains([]Mirrors{NoMirrors, Sideways, AllMirrors}, f.Mirrored) {
		return &fault.ConfigError{Field: "mirrored", Value: f.Mirrored, Reason: `known are "", sideways and all`}
	}
	if len(f.Classes) < 2 || len(f.Classes) > maxClasses || !slices.Contains(f.Classes, f.Clean) {
		return &fault.ConfigError{Field: "classes", Value: len(f.Classes), Reason: "want at least 2, the clean one among them"}
	}
	if !(f.Temperature > 0) || math.IsInf(f.Temperature, 0) {
		return &fault.ConfigError{Field: "temperature", Value: f.Temperature, Reason: "want more than 0"}
	}
	return nil
}

// Behind is what computes the logits (N,K) from the feature map (N,C,h,w) of the extractor's only tap, or from the pictures where the whole backbone
// learned, for explanations at other layers. It
// is in evaluation; one goroutine at a time may use it where backbone layers learned.
func (d *Detector) Behind() (nn.Module, error) {
	switch {
	case len(d.extract.Taps()) != 1:
		return nil, &fault.UnsupportedError{What: "explaining a classifier of several layers at another layer", Hint: "train it on one layer"}
	case d.fitted.pooled():
		return nn.Sequential{nn.GlobalAvgPool, d.net.last[0]}, nil
	}
	return d.net, nil
}

// Ask is the question that its maps answer: what speaks against the clean class.
func (d *Detector) Ask() explain.Question { return d.ask }
