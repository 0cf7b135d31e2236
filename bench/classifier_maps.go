package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"regexp"
	"slices"

	"github.com/blemish/blemish"
	"github.com/blemish/blemish/backbone"
	"github.com/blemish/blemish/dataset"
	"github.com/blemish/blemish/explain"
	"github.com/blemish/blemish/imageio"
	"github.com/blemish/blemish/metric"
	"github.com/blemish/blemish/tensor"
	"github.com/blemish/blemish/transform"
)

// part finds the part of a magnetic-tile picture: one part was photographed under several exposures.
var part = regexp.MustCompile(`num_\d+`)

// compareMaps measures where a classifier's maps point, beside PatchCore's on the same pictures.
func compareMaps(args []string) error {
	flags := flag.NewFlagSet("maps", flag.ContinueOnError)
	data := flags.String("data", "", "the magnetic_tile folder")
	size := flags.Int("size", 224, "pixels of the shorter side")
	good := flags.Int("good", 150, "good training pictures")
	test := flags.Int("test", 60, "good test pictures")
	if err := flags.Parse(args); err != nil {
		return err
	}
	set, err := dataset.Open(*data, dataset.Options{})
	if err != nil {
		return err
	}
	train, valid, tested := byPart(set, *good, *test)
	fmt.Printf("%d training, %d validation and %d test pictures, split by part\n\n", len(train), len(valid), len(tested))
	config := blemish.ClassifierConfig{Options: json.RawMessage(`{"views": 2, "flips": false}`), Preprocess: preprocess(*size)}
	ctx := context.Background()
	model, err := blemish.TrainClassifier(ctx, blemish.Labels{Train: files(train), Valid: files(valid)}, config, nil)
	if err != nil {
		return err
	}
	e, err := model.Evaluate(ctx, files(tested), nil)
	if err != nil {
		return err
	}
	fmt.Printf("classifier: accuracy %.2f %%, balanced %.2f %%, AUROC %.4f\n\n", 100*e.Class.Accuracy, 100*e.Class.BalancedAccuracy, *e.Image.AUROC)
	fmt.Println("| map | pointing game | pixel AUROC | AUPRO |\n|---|---|---|---|")
	measure := func(name string, draw func(*imageio.Picture) (*tensor.Tensor, error)) error {
		pointing, r, err := pointAt(ctx, files(tested), draw)
		if err == nil {
			fmt.Printf("| %s | %.1f %% | %.4f | %.4f |\n", name, 100*pointing, r.AUROC, r.AUPRO)
		}
		return err
	}
	scored := func(m *blemish.Model) func(p *imageio.Picture) (*tensor.Tensor, error) {
		return func(p *imageio.Picture) (*tensor.Tensor, error) {
			r, err := m.Score(ctx, p, nil)
			return r.Map, err
		}
	}
	if err := measure("the model's own: CAM of the log-odds", scored(model)); err != nil {
		return err
	}
	for _, c := range []struct {
		layer string
		how   explain.Method
	}{
		{"_blocks.15", explain.GradCAM}, {"_blocks.15", explain.GradCAMPlusPlus}, {"_blocks.15", explain.LayerCAM},
		{"_blocks.10", explain.GradCAM}, {"_blocks.10", explain.LayerCAM}, {"_blocks.4", explain.LayerCAM},
	} {
		x, err := model.Explainer(c.layer, c.how)
		if err != nil {
			return err
		}
		if err := measure(fmt.Sprintf("%s at %s", c.how, c.layer), func(p *imageio.Picture) (*tensor.Tensor, error) { return x.Explain(ctx, p, nil) }); err != nil {
			return err
		}
	}
	clean := slices.DeleteFunc(slices.Clone(train), func(i dataset.Item) bool { return i.Defective })
	patchcore, err := blemish.Train(ctx, files(clean), nil, blemish.Config{
		Preprocess: preprocess(*size), Calibration: blemish.CalibrationConfig{Strategy: blemish.NoCalibration},
	}, nil)
	if err != nil {
		return err
	}
	return measure("PatchCore, from the good pictures alone", scored(patchcore))
}

// preprocess makes the shorter side size pixels.
func preprocess(size int) *transform.Config {
	spec, err := backbone.Lookup(blemish.DefaultBackbone)
	if err != nil {
		panic(err) // the default backbone is known
	}
	p := blemish.DefaultPreprocess(spec)
	p.Size = size
	return &p
}

func files(items []dataset.Item) blemish.Files {
	return blemish.Files{Items: items, Limits: imageio.Limits{MaxPixels: imageio.DefaultMaxPixels}}
}

// byPart makes good and defective classes: good parts are split already, the parts of defects are dealt half to testing, a tenth to validation.
func byPart(set *dataset.Dataset, good, test int) (train, valid, tested []dataset.Item) {
	rng := rand.New(rand.NewPCG(7, 0))
	shuffle := func(items []dataset.Item) []dataset.Item {
		items = slices.Clone(items)
		rng.Shuffle(len(items), func(i, j int) { items[i], items[j] = items[j], items[i] })
		return items
	}
	var defects, clean []dataset.Item
	for _, i := range set.Test {
		if i.Defective {
			i.Kind = "defect"
			defects = append(defects, i)
		} else {
			clean = append(clean, i)
		}
	}
	own := func(i dataset.Item) string { return part.FindString(filepath.Base(i.Path)) }
	place := map[string]int{}
	for _, i := range shuffle(set.Train)[:good] {
		if _, ok := place[own(i)]; !ok {
			place[own(i)] = len(place)
		}
		if place[own(i)]%6 == 0 {
			valid = append(valid, i)
		} else {
			train = append(train, i)
		}
	}
	place = map[string]int{}
	for _, i := range shuffle(defects) {
		if _, ok := place[own(i)]; !ok {
			place[own(i)] = len(place)
		}
		switch n := place[own(i)] % 10; {
		case n < 5:
			tested = append(tested, i)
		case n == 5:
			valid = append(valid, i)
		default:
			train = append(train, i)
		}
	}
	return train, valid, append(tested, shuffle(clean)[:test]...)
}

// pointAt draws the maps of all pictures: how often the highest value lies on the mask, and how well pixels are told apart.
func pointAt(ctx context.Context, source blemish.Source, draw func(*imageio.Picture) (*tensor.Tensor, error)) (float64, metric.PixelResult, error) {
	pixels, err := metric.NewPixelEvaluator()
	if err != nil {
		return 0, metric.PixelResult{}, err
	}
	defer pixels.Close()
	hits, marked := 0, 0
	for i := range source.Len() {
		p, err := source.Picture(ctx, i)
		if err != nil {
			return 0, metric.PixelResult{}, err
		}
		if p.Defective && p.Mask == nil {
			continue
		}
		m, err := draw(p.Image)
		if err != nil {
			return 0, metric.PixelResult{}, err
		}
		var mask []uint8
		if p.Mask != nil {
			mask = p.Mask.Data
			marked++
			if mask[slices.Index(m.Data, slices.Max(m.Data))] != 0 {
				hits++
			}
		}
		if err := pixels.Add(p.Kind, m.Data, mask, m.Shape[1], m.Shape[0]); err != nil {
			return 0, metric.PixelResult{}, err
		}
	}
	all, _, err := pixels.Results()
	if err != nil {
		return 0, metric.PixelResult{}, err
	}
	return float64(hits) / float64(marked), *all, nil
}
