package blemish

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/blemish/blemish/backbone"
	"github.com/blemish/blemish/detect"
	"github.com/blemish/blemish/fault"
	"github.com/blemish/blemish/outlier"
	"github.com/blemish/blemish/tensor"
	"github.com/blemish/blemish/transform"
)

// OutlierConfig says how rows or pictures that nobody has sorted are ranked. Zero fields take the defaults named here.
type OutlierConfig struct {
	Method        string          // of package outlier, or PatchOutliers for pictures; if empty, DefaultOutlierMethod for the number of rows, or DefaultPictureOutlierMethod
	MethodOptions json.RawMessage // JSON object over the method's defaults
	Contamination float64         // share of the rows that are outliers, at most 0.5; 0 takes the method's own threshold
	Scale         OutlierScale    // of each column
	Components    int             // reduce rows to at most so many whitened principal components; 0: pictures to DefaultOutlierComponents or half their number, tables not at all
	Seed          uint64

	Backbone   string            // of pictures: DefaultBackbone if empty
	Layers     []string          // feature taps; the backbone's default taps if empty
	Preprocess *transform.Config // DefaultPreprocess of the backbone if nil

	EpochEnd func(epoch int, loss float64) // told the mean loss of each epoch, from 0, by method autoencoder; may be nil
}

// OutlierScale is how columns are made comparable.
type OutlierScale string

const (
	RobustOutlierScale OutlierScale = "robust" // also "": outlier.RobustScale
	NoOutlierScale     OutlierScale = "none"
)

// DefaultOutlierComponents of pictures. Fewer pictures than twice as many have half as many components as there are pictures: whitened rows
// with as many components as rows are all equally far from each other.
const DefaultOutlierComponents = 64

// manyRows is where comparing all rows with all others gets slow.
const manyRows = 50_000

// DefaultOutlierMethod is robust and fast for a number of rows: knn, the distance to the fifth nearest other row, needs no assumption about how
// rows are distributed; iforest takes time proportional to their number.
func DefaultOutlierMethod(rows int) string {
	if rows <= manyRows {
		return "knn"
	}
	return "iforest"
}

// PatchOutliers ranks pictures by their patches that the fewest other pictures have: see strangeness. It takes no options.
const PatchOutliers = "patches"

// manyPictures is where comparing patches takes more than some minutes and a gigabyte of memory.
const manyPictures = 2000

// DefaultPictureOutlierMethod compares patches while that is affordable, else one vector a picture.
func DefaultPictureOutlierMethod(pictures int) string {
	if pictures <= manyPictures {
		return PatchOutliers
	}
	return DefaultOutlierMethod(pictures)
}

// Outlier is the judgement of one row or picture.
type Outlier struct {
	Rank      int     // 1 is the most anomalous; rows of equal scores keep their order
	Index     int     // in the table or source, from 0
	Path      string  // of a picture
	Score     float64 // raw; higher is more anomalous
	PValue    float64 // an estimate; see TailProbabilities
	Anomalous bool    // Score is above the threshold
}

// Outliers are rows in the order of their ranks.
type Outliers struct {
	Method    string
	Options   json.RawMessage // all of the method's parameters
	Prepared  string          // what was done to the rows before, in words
	Threshold float64
	Ranked    []Outlier
}

// RankRows judges the rows of a table beside each other, the most anomalous first.
func RankRows(ctx context.Context, x outlier.Matrix, c OutlierConfig, opts *Options) (*Outliers, error) {
	name := or(c.Method, DefaultOutlierMethod(x.Rows))
	method, err := outlier.Lookup(name)
	if err != nil {
		return nil, err
	}
	config, err := method.Parse(c.MethodOptions)
	if err != nil {
		return nil, err
	}
	if a, ok := config.(outlier.AutoencoderConfig); ok {
		a.EpochEnd = c.EpochEnd
		config = a
	}
	out := &Outliers{Method: name}
	if out.Options, err = json.Marshal(config); err != nil {
		return nil, err
	}
	run := &outlier.Options{Seed: c.Seed, Workers: opts.workers(), Progress: func(done, total int) {
		opts.report(Progress{Stage: name, Done: done, Total: total})
	}}
	if x, out.Prepared, err = c.prepare(ctx, x, run); err != nil {
		return nil, err
	}
	ranking, err := outlier.Rank(ctx, config, x, c.Contamination, run)
	if err != nil {
		return nil, fmt.Errorf("method %s: %w", name, err)
	}
	out.rank(ranking.Scores, ranking.Threshold)
	return out, nil
}

func (o *Outliers) rank(scores []float64, threshold float64) {
	o.Threshold = threshold
	for i, p := range TailProbabilities(scores) {
		s := scores[i]
		o.Ranked = append(o.Ranked, Outlier{Index: i, Score: s, PValue: p, Anomalous: s > threshold})
	}
	slices.SortStableFunc(o.Ranked, func(a, b Outlier) int { return cmp.Compare(b.Score, a.Score) })
	for i := range o.Ranked {
		o.Ranked[i].Rank = i + 1
	}
}

// prepare scales and reduces the rows, and says so.
func (c OutlierConfig) prepare(ctx context.Context, x outlier.Matrix, run *outlier.Options) (outlier.Matrix, string, error) {
	said := "columns as they are"
	switch c.Scale {
	case "", RobustOutlierScale:
		x, said = outlier.RobustScale(x), "columns scaled by median and interquartile range"
	case NoOutlierScale:
	default:
		return x, "", &fault.ConfigError{Field: "scale", Value: c.Scale, Reason: "known are robust and none"}
	}
	if c.Components < 1 {
		return x, said, nil
	}
	reduced, explained, err := outlier.Principal(ctx, x, 1, c.Components, run)
	if err != nil {
		return x, "", err
	}
	return outlier.StandardScale(reduced), fmt.Sprintf("%s, then %d whitened principal components with %.1f %% of the variance", said, reduced.Cols, 100*explained), nil
}

// RankPictures judges unsorted pictures beside each other, the most anomalous first: by their patches, or described by the means of their backbone's
// feature maps, which any method of package outlier can rank. Options.Bad decides about pictures that cannot be read.
func RankPictures(ctx context.Context, pictures Source, c OutlierConfig, opts *Options) (*Outliers, error) {
	if c.Method == PatchOutliers && c.describesRows() {
		return nil, &fault.ConfigError{Field: "method", Value: c.Method, Reason: "it compares patches as they are: leave options, scale and components out"}
	}
	if err := (Contamination{Rate: c.Contamination}).Validate(); err != nil {
		return nil, err
	}
	spec, err := backbone.Find(or(c.Backbone, DefaultBackbone))
	if err != nil {
		return nil, err
	}
	taps := c.Layers
	if len(taps) == 0 {
		taps = spec.DefaultTaps
	}
	preprocess := DefaultPreprocess(spec)
	if c.Preprocess != nil {
		preprocess = *c.Preprocess
	}
	if err := preprocess.Validate(); err != nil {
		return nil, fmt.Errorf("preprocessing: %w", err)
	}
	store, err := opts.weights()
	if err != nil {
		return nil, err
	}
	file, err := spec.Weights(taps, store.Open)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	extractor, err := backbone.New(spec, taps, file.Read)
	if err != nil {
		return nil, err
	}
	readable, _, err := survey(ctx, pictures, opts)
	if err != nil {
		return nil, err
	}
	if readable.Len() < 2 {
		return nil, errors.New("ranking needs at least two pictures: what is anomalous shows beside the others alone")
	}
	if c.Method == "" && !c.describesRows() {
		c.Method = DefaultPictureOutlierMethod(readable.Len())
	}
	source := prepared{readable, preprocess, opts.workers()}
	var ranked *Outliers
	var paths []string
	what := "mean features"
	if c.Method == PatchOutliers {
		what = "patches"
		ranked, paths, err = c.rankPatches(ctx, source, extractor, opts)
	} else {
		ranked, paths, err = c.rankMeans(ctx, source, extractor, opts)
	}
	if err != nil {
		return nil, err
	}
	ranked.Prepared = fmt.Sprintf("%s of %s at %v; %s", what, spec.Name, taps, ranked.Prepared)
	for i, r := range ranked.Ranked {
		ranked.Ranked[i].Path = paths[r.Index]
		if s, ok := readable.(subset); ok {
			ranked.Ranked[i].Index = s.indices[r.Index]
		}
	}
	return ranked, nil
}

// describesRows says whether something is asked for that pictures as rows of numbers alone can have.
func (c OutlierConfig) describesRows() bool {
	return c.Components > 0 || c.Scale != "" || len(c.MethodOptions) > 0 && string(c.MethodOptions) != "{}"
}

func (c OutlierConfig) rankPatches(ctx context.Context, source prepared, extractor detect.Extractor, opts *Options) (*Outliers, []string, error) {
	patches, paths, err := sparsePatches(ctx, source, extractor, "", opts)
	if err != nil {
		return nil, nil, err
	}
	scores, err := strangeness(ctx, patches, c.Seed, "patches", opts)
	if err != nil {
		return nil, nil, err
	}
	o := &Outliers{Method: PatchOutliers, Options: json.RawMessage("{}")}
	o.Prepared = fmt.Sprintf("each picture is compared with at most %d others, chosen by seed %d", strangeReferences, c.Seed)
	threshold := float64(screenSpreads)
	if c.Contamination > 0 {
		threshold = interpolated(slices.Sorted(slices.Values(scores)), 1-c.Contamination)
	}
	o.rank(scores, threshold)
	return o, paths, nil
}

func (c OutlierConfig) rankMeans(ctx context.Context, source prepared, extractor detect.Extractor, opts *Options) (*Outliers, []string, error) {
	x, paths, err := describe(ctx, source, extractor, opts)
	if err != nil {
		return nil, nil, err
	}
	if c.Components == 0 {
		c.Components = max(1, min(DefaultOutlierComponents, x.Rows/2))
	}
	ranked, err := RankRows(ctx, x, c, opts)
	if err != nil {
		return nil, nil, err
	}
	ranked.Prepared = fmt.Sprintf("%d values; %s", x.Cols, ranked.Prepared)
	return ranked, paths, nil
}

// describe returns one row a picture: each feature map's mean (Σ C), and the pictures' paths.
func describe(ctx context.Context, source detect.Source, extractor detect.Extractor, opts *Options) (outlier.Matrix, []string, error) {
	var data []float64
	var paths []string
	tick := opts.progress("features", source.Len())
	for e, err := range detect.Extract(ctx, source, &detect.FitOptions{Extractor: extractor, Workers: opts.workers()}) {
		if err != nil {
			return outlier.Matrix{}, nil, err
		}
		for _, m := range e.Maps {
			data = append(data, channelMeans(m)...)
		}
		paths = append(paths, e.Sample.Name)
		tick()
	}
	return outlier.Matrix{Rows: len(paths), Cols: len(data) / max(len(paths), 1), Data: data}, paths, nil
}

// channelMeans averages each plane of (C,H,W).
func channelMeans(m *tensor.Tensor) []float64 {
	means := make([]float64, m.Dim(0))
	plane := m.Dim(1) * m.Dim(2)
	for c := range means {
		for _, v := range m.Data[c*plane : (c+1)*plane] {
			means[c] += float64(v)
		}
		means[c] /= float64(plane)
	}
	return means
}

// TailProbabilities estimates, for each score, the share of ordinary rows that score at least as much. The scores judge the very rows they
// come from, so that ranks alone say nothing: the highest of n would always have 1/n. Instead ordinary scores above their median m are taken
// to fall off exponentially, as fast as the quarter of them above it does: p = 2^-(1+(s-m)/(q-m)), with q the upper quartile. Neither moves
// much as long as less than a quarter of the rows are outliers. Up to the median, and everywhere if m = q, p is the share of all scores that
// are at least s. It is an estimate without a guarantee: a calibrated model has one, for pictures it has not learned from.
func TailProbabilities(scores []float64) []float64 {
	sorted := slices.Sorted(slices.Values(scores))
	n := len(sorted)
	p := make([]float64, n)
	if n == 0 {
		return p
	}
	middle, upper := interpolated(sorted, 0.5), interpolated(sorted, 0.75)
	for i, s := range scores {
		if s > middle && upper > middle {
			p[i] = math.Exp2(-(1 + (s-middle)/(upper-middle)))
			continue
		}
		below, _ := slices.BinarySearch(sorted, s)
		p[i] = float64(n-below) / float64(n)
	}
	return p
}

// interpolated is a quantile of sorted values, as numpy.quantile.
func interpolated(sorted []float64, q float64) float64 {
	at := q * float64(len(sorted)-1)
	lo := int(at)
	hi := min(lo+1, len(sorted)-1)
	return sorted[lo] + (at-float64(lo))*(sorted[hi]-sorted[lo])
}
