package reconstruct

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"

	"github.com/blemish/blemish/autograd"
	"github.com/blemish/blemish/detect"
	"github.com/blemish/blemish/fault"
	"github.com/blemish/blemish/nn"
	"github.com/blemish/blemish/tensor"
	"github.com/blemish/blemish/transform"
)

// Detector is a trained network. Its map is the error of each pixel by the loss that it was trained by, averaged over the channels, blurred, and
// divided by the typical error at that place; its score is the map's maximum, the mean of its highest fiftieth, or its mean.
type Detector struct {
	settings Settings
	config   Method
	net      Network
	units    units
	typical  *tensor.Tensor // (Typical,Typical): errors of good pictures, by place; nil if Typical is 0
	tapes    sync.Pool
}

// tilesAtOnce go through the network together.
const tilesAtOnce = 8

// Reconstruct is what the network makes of a picture (3,H,W), in the picture's own units: tiles are given back one by one, and blended.
func (d *Detector) Reconstruct(ctx context.Context, picture *tensor.Tensor, workers int) (*tensor.Tensor, error) {
	if err := check(picture); err != nil {
		return nil, err
	}
	back, err := d.reconstruct(ctx, d.settings.enter(picture), workers)
	if err != nil {
		return nil, err
	}
	out := crop(back, d.settings.Margin, picture.Shape[1], picture.Shape[2])
	d.settings.leave(out)
	return out, nil
}

// reconstruct takes and returns a picture as the network sees it.
func (d *Detector) reconstruct(ctx context.Context, p *tensor.Tensor, workers int) (back *tensor.Tensor, err error) {
	defer autograd.Catch(&err)
	side := d.settings.Tile
	b := newBlend(p.Shape[1], p.Shape[2], d.settings)
	tape := d.tape(workers)
	defer d.tapes.Put(tape)
	size := 3 * side * side
	memory := make([]float32, tilesAtOnce*size)
	for part := range slices.Chunk(spots(p.Shape[1], p.Shape[2], d.settings), tilesAtOnce) {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		for k, at := range part {
			cut(memory[k*size:][:size], p, at, side)
		}
		tape.NoGrad(func() {
			x := tape.Input(tensor.From(memory[:len(part)*size], len(part), 3, side, side))
			out := d.units.out(tape, d.net.Forward(tape, d.units.in(tape, x)))
			for k, at := range part {
				b.add(out.Value.Data[k*size:][:size], at)
			}
		})
		tape.Reset()
	}
	return b.picture(), nil
}

func (d *Detector) tape(workers int) *autograd.Tape {
	tape, ok := d.tapes.Get().(*autograd.Tape)
	if !ok {
		tape = autograd.NewTape()
	}
	tape.Workers = workers
	return tape
}

// Score judges each picture by itself.
func (d *Detector) Score(ctx context.Context, batch *tensor.Tensor, opts *detect.ScoreOptions) ([]detect.Result, error) {
	if len(batch.Shape) != 4 || batch.Shape[1] != 3 || len(batch.Data) == 0 {
		return nil, &fault.ShapeError{What: "batch", Want: "(N,3,H,W)", Got: batch.Shape}
	}
	results := make([]detect.Result, batch.Shape[0])
	for i := range results {
		picture := batch.Item(i)
		if err := check(picture); err != nil {
			return nil, err
		}
		h, w := picture.Shape[1], picture.Shape[2]
		m, err := d.blurred(ctx, seen{d.settings.enter(picture), h, w}, opts.WorkerCount())
		if err != nil {
			return nil, err
		}
		if d.typical != nil {
			divide(m, d.typical)
		}
		if !detect.Usable(m.Data) {
			return nil, detect.ErrUnusable
		}
		results[i] = detect.Result{Score: d.settings.summary(m.Data), Map: m}
	}
	return results, ctx.Err()
}

// blurred is the map (h,w) of a picture's errors.
func (d *Detector) blurred(ctx context.Context, p seen, workers int) (*tensor.Tensor, error) {
	back, err := d.reconstruct(ctx, p.Tensor, workers)
	if err != nil {
		return nil, err
	}
	m := crop(d.errors(p.Tensor, back, workers), d.settings.Margin, p.h, p.w).Reshape(p.h, p.w)
	return transform.SmoothResize(m, p.h, p.w, d.settings.Sigma), nil
}

func (s Settings) summary(values []float32) float32 {
	if s.Score == Max {
		return slices.Max(values)
	}
	if s.Score == Top {
		values = slices.Clone(values)
		slices.Sort(values)
		values = values[len(values)-max(1, len(values)/50):]
	}
	sum := 0.0
	for _, v := range values {
		sum += float64(v)
	}
	return float32(sum / float64(len(values)))
}

// errors is the map (1,H,W) of a picture's differences from what came back.
func (d *Detector) errors(p, back *tensor.Tensor, workers int) *tensor.Tensor {
	h, w := p.Shape[1], p.Shape[2]
	m := tensor.New(1, h, w)
	if d.settings.Loss != SSIM {
		for i, v := range p.Data {
			e := (v - back.Data[i]) / d.units.deviation
			m.Data[i%(h*w)] += e * e / 3
		}
	}
	if d.settings.Loss == MSE {
		return m
	}
	tape := d.tape(workers)
	defer d.tapes.Put(tape)
	tape.NoGrad(func() {
		s := tape.SSIMMap(tape.Input(p.Reshape(1, 3, h, w)), tape.Input(back.Reshape(1, 3, h, w)), d.units.span)
		sh, sw := s.Shape()[2], s.Shape()[3]
		for c := range 3 {
			for y := range h {
				row := s.Value.Data[(c*sh+inside(y, sh))*sw:][:sw]
				for x := range w { // pixels near the border take the nearest window that lies inside
					m.Data[y*w+x] += (1 - row[inside(x, sw)]) / 3
				}
			}
		}
	})
	tape.Reset()
	return m
}

// inside is the window whose middle is pixel i, or the nearest of n.
func inside(i, n int) int { return min(max(i-ssimSide/2, 0), n-1) }

const (
	unitsName   = "units"   // mean, deviation and span of the training pixels
	typicalName = "typical" // errors of good pictures, by place
)

// State holds the network's weights.
func (d *Detector) State() (detect.State, error) {
	config, err := json.Marshal(d.config)
	if err != nil {
		return detect.State{}, err
	}
	s := detect.State{Config: config, Tensors: map[string]*tensor.Tensor{
		unitsName: tensor.From([]float32{d.units.mean, d.units.deviation, d.units.span}, 3),
	}}
	if d.typical != nil {
		s.Tensors[typicalName] = d.typical
	}
	for _, b := range nn.State(d.net) {
		s.Tensors[b.Name] = b.Value
	}
	return s, nil
}

// Open restores a detector from its State.
func Open[M Method](name string, state detect.State) (detect.Detector, error) {
	damaged := func(format string, args ...any) error {
		return &fault.FormatError{Format: name, Reason: fmt.Sprintf(format, args...)}
	}
	var m M
	err := json.Unmarshal(state.Config, &m)
	if err == nil {
		err = m.Validate()
	}
	if err != nil {
		return nil, &fault.FormatError{Format: name, Reason: "its configuration is damaged", Err: err}
	}
	s := m.Common()
	u := state.Tensors[unitsName]
	if u == nil || !slices.Equal(u.Shape, []int{3}) || !detect.Usable(u.Data) || !(u.Data[1] > 0) || !(u.Data[2] > 0) {
		return nil, damaged("its units are missing or wrong")
	}
	deepest := s.Base << (s.Depth - 1)
	for name, first := range map[string][]int{fmt.Sprintf("encoder.%d.weight", s.Depth-1): {deepest}, "decoder.code.weight": {deepest, s.Latent}} {
		t := state.Tensors[name] // before the network is made as large as its settings say
		if t == nil || len(t.Shape) != 4 || !slices.Equal(t.Shape[:len(first)], first) {
			return nil, damaged("%s is missing, or not of a shape that begins with %v", name, first)
		}
	}
	d := &Detector{settings: s, config: m, net: m.Build(rand.New(rand.NewPCG(0, 0))), units: units{u.Data[0], u.Data[1], u.Data[2]}}
	known := len(nn.State(d.net)) + 1
	if s.Typical > 0 {
		known++
		t := state.Tensors[typicalName]
		if t == nil || !slices.Equal(t.Shape, []int{s.Typical, s.Typical}) || !detect.Usable(t.Data) || !(slices.Min(t.Data) > 0) {
			return nil, damaged("its typical errors are missing or wrong")
		}
		d.typical = t
	}
	if len(state.Tensors) != known || len(state.Doubles) > 0 {
		return nil, damaged("it has %d tensors, want %d", len(state.Tensors)+len(state.Doubles), known)
	}
	err = nn.LoadState(d.net, func(name string) (*tensor.Tensor, error) {
		t := state.Tensors[name]
		if t == nil {
			return nil, damaged("tensor %q is missing", name)
		}
		if !detect.Usable(t.Data) {
			return nil, damaged("tensor %q holds numbers that are not finite", name)
		}
		return t, nil
	})
	if err != nil {
		return nil, err
	}
	nn.Freeze(d.net, true)
	return d, nil
}
