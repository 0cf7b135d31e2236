package main

import (
	"context"
	"encoding/json"
	"fmt"
	"iter"
	"os"
	"path/filepath"
	"slices"
	"text/tabwriter"

	"github.com/blemish/blemish"
	"github.com/blemish/blemish/backbone"
	"github.com/blemish/blemish/backbone/weights"
	"github.com/blemish/blemish/dataset"
	"github.com/blemish/blemish/detect"
	"github.com/blemish/blemish/detect/features"
	"github.com/blemish/blemish/metric"
	"github.com/blemish/blemish/outlier"
	"github.com/blemish/blemish/tensor"
)

// pictureAUROC says how well each detector of package outlier tells good pictures from bad ones by a backbone's pooled features, as after
// `blemish train DIR --method M --calibration none`: the backbone looks at each picture once for all methods, and no maps are drawn.
func pictureAUROC(dirs []string, seeds int) error {
	w := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	for _, dir := range dirs {
		set, err := dataset.Open(dir, dataset.Options{})
		if err != nil {
			return err
		}
		p, err := poolPictures(set)
		if err != nil {
			return err
		}
		fmt.Fprintf(w, "%s\t%d good\t%d judged\t\n", filepath.Base(dir), p.fitted, len(p.maps)-p.fitted)
		for _, m := range outlier.Methods() {
			options := []string{`{}`}
			switch m.Name {
			case "autoencoder": // pictures have their own
				continue
			case "svdd":
				options = []string{`{}`, `{"lr":0.001}`}
			}
			for _, o := range options {
				mean, least, most, err := p.auroc(m, o, seeds)
				if err != nil {
					return fmt.Errorf("%s: %w", m.Name, err)
				}
				fmt.Fprintf(w, "%s\t%s\t%.3f\t%.3f–%.3f\n", m.Name, o, mean, least, most)
				w.Flush()
			}
		}
	}
	return nil
}

// pooledPictures are a backbone's feature maps, averaged to one position each, of the pictures to fit, and then of those to judge. It is the
// extractor that gives them back: a picture (3,1,1) is but its number.
type pooledPictures struct {
	taps   []detect.Tap
	maps   [][]*tensor.Tensor // of a picture, (1,C,1,1)
	fitted int
	bad    []bool // of those judged
}

// poolPictures reads a set's good training pictures and its test pictures once.
func poolPictures(set *dataset.Dataset) (*pooledPictures, error) {
	spec, err := backbone.Find(blemish.DefaultBackbone)
	if err != nil {
		return nil, err
	}
	file, err := spec.Weights(spec.DefaultTaps, (&weights.Store{}).Open)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	extract, err := backbone.New(spec, spec.DefaultTaps, file.Read)
	if err != nil {
		return nil, err
	}
	p := &pooledPictures{taps: extract.Taps()}
	var items []dataset.Item
	for _, i := range set.Train {
		if !i.Defective {
			items = append(items, i)
		}
	}
	p.fitted = len(items)
	for _, i := range set.Test {
		items, p.bad = append(items, i), append(p.bad, i.Defective)
	}
	preprocess, source := blemish.DefaultPreprocess(spec), blemish.Files{Items: items}
	ctx := context.Background()
	for i := range items {
		picture, err := source.Picture(ctx, i)
		if err != nil {
			return nil, err
		}
		x, _, err := preprocess.Apply(picture.Image)
		if err != nil {
			return nil, err
		}
		maps, err := extract.Features(ctx, x.Reshape(append([]int{1}, x.Shape...)...), 0)
		if err != nil {
			return nil, err
		}
		for k, m := range maps {
			maps[k] = means(m)
		}
		p.maps = append(p.maps, maps)
	}
	return p, nil
}

// means of a map (1,C,h,w).
func means(m *tensor.Tensor) *tensor.Tensor {
	channels, area := m.Shape[1], m.Shape[2]*m.Shape[3]
	out := tensor.New(1, channels, 1, 1)
	for c := range channels {
		sum := 0.0
		for _, v := range m.Data[c*area:][:area] {
			sum += float64(v)
		}
		out.Data[c] = float32(sum / float64(area))
	}
	return out
}

func (p *pooledPictures) Taps() []detect.Tap { return p.taps }

func (p *pooledPictures) Features(_ context.Context, batch *tensor.Tensor, _ int) ([]*tensor.Tensor, error) {
	return slices.Clone(p.maps[int(batch.Data[0])]), nil
}

func number(i int) *tensor.Tensor { return tensor.From([]float32{float32(i), 0, 0}, 3, 1, 1) }

func (p *pooledPictures) Len() int { return p.fitted }

func (p *pooledPictures) Samples(context.Context) iter.Seq2[detect.Sample, error] {
	return func(yield func(detect.Sample, error) bool) {
		for i := range p.fitted {
			if !yield(detect.Sample{Name: fmt.Sprint(i), Image: number(i)}, nil) {
				return
			}
		}
	}
}

// auroc is the mean over seeds, and the range.
func (p *pooledPictures) auroc(m outlier.Method, options string, seeds int) (mean, least, most float64, err error) {
	config, err := features.Parse(m, json.RawMessage(options))
	if err != nil {
		return 0, 0, 0, err
	}
	config.MapCells = 0
	least = 1
	ctx := context.Background()
	for seed := range seeds {
		d, err := config.Fit(ctx, p, &detect.FitOptions{Extractor: p, Seed: uint64(seed)})
		if err != nil {
			return 0, 0, 0, err
		}
		var scores []float64
		for i := range p.bad {
			r, err := d.Score(ctx, number(p.fitted+i).Reshape(1, 3, 1, 1), nil)
			if err != nil {
				return 0, 0, 0, err
			}
			scores = append(scores, float64(r[0].Score))
		}
		a, err := metric.AUROC(scores, p.bad)
		if err != nil {
			return 0, 0, 0, err
		}
		mean, least, most = mean+a/float64(seeds), min(least, a), max(most, a)
	}
	return mean, least, most, nil
}
