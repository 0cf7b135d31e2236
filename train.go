package blemish

import (
	"context"
	"errors"
	"fmt"
	"math"

	"github.com/blemish/blemish/backbone"
	"github.com/blemish/blemish/checkpoint"
	"github.com/blemish/blemish/dataset"
	"github.com/blemish/blemish/detect"
	"github.com/blemish/blemish/fault"
	"github.com/blemish/blemish/internal/cpu"
	"github.com/blemish/blemish/tensor"
	"github.com/blemish/blemish/transform"
)

// heldOutShare of the good pictures are kept for calibration alone by SplitConformal.
const heldOutShare = 0.2

// Train learns from good pictures and calibrates the result. heldOut are good pictures set aside by the caller for
// calibration, such as a data set's validation split; nil where there are none.
//
// The same pictures, configuration and instruction set give the same model, byte for byte, for any number of workers.
func Train(ctx context.Context, good, heldOut Source, config Config, opts *Options) (*Model, error) {
	p, err := config.resolve()
	if err != nil {
		return nil, err
	}
	net, err := p.openBackbone(opts)
	if err != nil {
		return nil, err
	}
	if p.weightType != "" && !net.rounded {
		opts.warn(fmt.Sprintf("the filters of %s are none of float32: asking for %s changes nothing", net.info.Name, p.weightType))
	}

	good, digest, err := survey(ctx, good, opts)
	if err != nil {
		return nil, err
	}
	if good.Len() == 0 {
		return nil, errors.New("no pictures to learn from: give at least one good picture, better 20 or more")
	}
	t := trainer{plan: p, extract: net.extract, seed: config.Seed, opts: opts}
	given := good.Len()
	good, suspects, err := t.screen(ctx, good, config.Contamination)
	if err != nil {
		return nil, err
	}
	detector, scores, err := t.fitAndCalibrate(ctx, good, heldOut, config.Calibration)
	if err != nil {
		return nil, err
	}
	calibration, err := config.Calibration.decide(scores, opts)
	if err != nil {
		return nil, err
	}
	state, err := detector.State()
	if err != nil {
		return nil, err
	}
	return &Model{
		info: Info{
			Format:      modelFormat,
			Method:      p.method.Name,
			Options:     state.Config,
			Backbone:    net.info,
			Preprocess:  p.preprocess,
			Calibration: calibration,
			Provenance: Provenance{
				Blemish:        Version,
				Pictures:       given,
				HeldOut:        scores.heldOut,
				Data:           digest,
				Suspects:       suspects,
				Seed:           config.Seed,
				InstructionSet: cpu.Active().String(),
			},
		},
		weights:  net.weights,
		extract:  net.extract,
		detector: detector,
	}, nil
}

// network is the backbone of a model: nothing but its name, NoBackbone, where the method has none.
type network struct {
	info    BackboneInfo
	weights []checkpoint.Entry // as far as the deepest tap
	extract detect.Extractor
	rounded bool // some weights were, to plan.weightType
}

func (p plan) openBackbone(opts *Options) (network, error) {
	if p.method.Pixels {
		return network{info: BackboneInfo{Name: NoBackbone, Layers: []string{}}}, nil
	}
	store, err := opts.weights()
	if err != nil {
		return network{}, err
	}
	file, err := p.spec.Weights(p.taps, store.Open)
	if err != nil {
		return network{}, err
	}
	defer file.Close()
	kept := &keptWeights{file: file, as: p.weightType, seen: map[string]bool{}}
	extract, err := backbone.New(p.spec, p.taps, kept.lookup)
	if err != nil {
		return network{}, err
	}
	if err := p.fits(extract); err != nil {
		return network{}, err
	}
	return network{BackboneInfo{Name: p.spec.Name, Layers: p.taps, Digest: weightsDigest(kept.entries)}, kept.entries, extract, kept.rounded}, nil
}

// fits says what is wrong with a size that the backbone cannot take, before any picture is read.
func (p plan) fits(e *backbone.Extractor) error {
	h, w, only := e.OnlySize()
	c := p.preprocess
	asked := [2]int{c.Height, c.Width}
	switch {
	case !only || c.CropHeight > 0 || c.Resize == transform.None:
		return nil // and pictures of another size are refused one by one
	case c.Resize == transform.Shorter:
		asked = [2]int{c.Size, c.Size}
	}
	if asked == [2]int{h, w} {
		return nil
	}
	return &fault.ConfigError{Field: "size", Value: fmt.Sprintf("%dx%d", asked[0], asked[1]), Reason: fmt.Sprintf(
		"%s was exported for pictures of %dx%d (height x width) alone: leave the size out, ask for that one, or export the network with open sizes (dynamic axes, and of a vision transformer positions that are resized)", p.spec.Name, h, w)}
}

// keptWeights remembers the tensors that a network asks for: those go into the model file.
type keptWeights struct {
	file    backbone.Weights
	as      checkpoint.DType // that filters and matrices are rounded to; "" leaves them
	rounded bool             // some were
	seen    map[string]bool
	entries []checkpoint.Entry
}

func (k *keptWeights) lookup(name string) (*tensor.Tensor, error) {
	t, err := k.file.Read(name)
	if err != nil {
		return nil, err
	}
	info, _ := k.file.Info(name)
	if k.as != "" && info.DType == checkpoint.F32 && len(t.Shape) >= 2 { // norms and biases are few, and may be small
		if t, err = checkpoint.Rounded(t, k.as); err != nil {
			return nil, fmt.Errorf("tensor %q: %w", name, err)
		}
		info.DType, k.rounded = k.as, true
	}
	if !k.seen[name] {
		k.seen[name] = true
		k.entries = append(k.entries, checkpoint.Entry{Name: name, DType: info.DType, Tensor: t})
	}
	return t, nil
}

// trainer fits one method on different parts of a set.
type trainer struct {
	plan    plan
	extract detect.Extractor // nil where the method has no backbone
	seed    uint64
	opts    *Options
}

// fitAndCalibrate returns the detector to keep, and the scores of good pictures that it, or a detector fitted
// in the same way, has not seen.
func (t trainer) fitAndCalibrate(ctx context.Context, good, heldOut Source, c CalibrationConfig) (detect.Detector, goodScores, error) {
	strategy := c.Strategy
	if heldOut != nil && heldOut.Len() > 0 && strategy == AutoCalibration {
		d, err := t.fit(ctx, good, "")
		if err != nil {
			return nil, goodScores{}, err
		}
		scores, err := t.score(ctx, d, heldOut, "calibration")
		return d, scores, err
	}
	if strategy == AutoCalibration {
		strategy = CrossConformal
		// n held-out scores can guarantee a rate of 1/(n+1) at best
		if held := int(heldOutShare * float64(good.Len())); held > 0 && 1/float64(held+1) <= c.rate() {
			strategy = SplitConformal
		}
	}
	if good.Len() < 2 && strategy != NoCalibration {
		t.opts.warn("a threshold needs at least two good pictures: the model scores, but does not decide")
		strategy = NoCalibration
	}
	switch strategy {
	case SplitConformal:
		rest, held := dataset.Split(good.Len(), heldOutShare, t.seed)
		d, err := t.fit(ctx, subset{good, rest}, "")
		if err != nil {
			return nil, goodScores{}, err
		}
		scores, err := t.score(ctx, d, subset{good, held}, "calibration")
		scores.heldOut = len(held)
		return d, scores, err
	case CrossConformal:
		return t.cross(ctx, good, c.folds())
	default:
		d, err := t.fit(ctx, good, "")
		return d, goodScores{}, err
	}
}

// cross scores every picture by a detector fitted on the other folds, then fits on all.
func (t trainer) cross(ctx context.Context, good Source, k int) (detect.Detector, goodScores, error) {
	folds := dataset.Folds(good.Len(), min(k, good.Len()), t.seed)
	all := goodScores{crossed: true}
	for f, fold := range folds {
		var rest []int
		for g, other := range folds {
			if g != f {
				rest = append(rest, other...)
			}
		}
		name := fmt.Sprintf("fold %d/%d ", f+1, len(folds))
		d, err := t.fit(ctx, subset{good, rest}, name)
		if err != nil {
			return nil, goodScores{}, err
		}
		s, err := t.score(ctx, d, subset{good, fold}, name+"calibration")
		if err != nil {
			return nil, goodScores{}, err
		}
		all.image = append(all.image, s.image...)
		all.pixel = append(all.pixel, s.pixel...)
	}
	d, err := t.fit(ctx, good, "")
	return d, all, err
}

func (t trainer) fit(ctx context.Context, good Source, stage string) (detect.Detector, error) {
	return t.plan.trainer.Fit(ctx, prepared{good, t.plan.preprocess, t.opts.workers()}, &detect.FitOptions{
		Extractor: t.extract,
		Seed:      t.seed,
		Workers:   t.opts.workers(),
		Progress: func(p Progress) {
			p.Stage = stage + p.Stage
			t.opts.report(p)
		},
	})
}

// goodScores are what good pictures score.
type goodScores struct {
	image   []float64
	pixel   []float64 // each picture's highest map value; empty where the method has no maps
	heldOut int       // pictures that the detector to keep was not fitted on
	crossed bool      // scored by detectors of other folds
}

func (t trainer) score(ctx context.Context, d detect.Detector, good Source, stage string) (goodScores, error) {
	m := &Model{info: Info{Preprocess: t.plan.preprocess}, extract: t.extract, detector: d}
	return m.goodScores(ctx, good, t.opts, stage)
}

func (m *Model) goodScores(ctx context.Context, good Source, opts *Options, stage string) (goodScores, error) {
	var s goodScores
	tick := opts.progress(stage, good.Len())
	for scored, err := range m.ScoreAll(ctx, good, opts) {
		if err = errors.Join(err, scored.Err); err != nil {
			return goodScores{}, err
		}
		tick()
		s.image = append(s.image, scored.Result.Score)
		if scored.Result.Map != nil {
			highest := float32(math.Inf(-1))
			for _, v := range scored.Result.Map.Data {
				highest = max(highest, v)
			}
			s.pixel = append(s.pixel, float64(highest))
		}
	}
	return s, nil
}
