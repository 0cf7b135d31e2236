package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
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
	seed := flags.Uint64("seed", 0, "of the classifier's training; the split stays")
	only := flags.String("only", "", "the rows of one method alone: classifier, patchcore or padim")
	from := flags.String("train-from", "", "first layer of the backbone that learns, too; pictures are then squashed to squares")
	if err := flags.Parse(args); err != nil {
		return err
	}
	set, err := dataset.Open(*data, dataset.Options{})
	if err != nil {
		return err
	}
	train, valid, tested := byPart(set, *good, *test)
	fmt.Printf("%d training, %d validation and %d test pictures, split by part\n\n", len(train), len(valid), len(tested))
	ctx := context.Background()
	fmt.Println("| map | pointing game | pixel AUROC | AUPRO |\n|---|---|---|---|")
	measure := func(names []string, draw func(*imageio.Picture) ([]*tensor.Tensor, error)) error {
		rows, err := pointAt(ctx, files(tested), len(names), draw)
		for i, r := range rows {
			fmt.Printf("| %s | %.1f %% | %.4f | %.4f |\n", names[i], 100*r.pointing, r.pixels.AUROC, r.pixels.AUPRO)
		}
		return err
	}
	scored := func(m *blemish.Model) func(p *imageio.Picture) ([]*tensor.Tensor, error) {
		return func(p *imageio.Picture) ([]*tensor.Tensor, error) {
			r, err := m.Score(ctx, p, nil)
			return []*tensor.Tensor{r.Map}, err
		}
	}
	if *only == "" || *only == blemish.ClassifierMethod {
		model, err := mapsClassifier(ctx, train, valid, tested, *size, *from, *seed)
		if err != nil {
			return err
		}
		if err := measure([]string{"the model's own: CAM of the log-odds"}, scored(model)); err != nil {
			return err
		}
		if err := measureLayers(ctx, model, measure); err != nil {
			return err
		}
	}
	clean := slices.DeleteFunc(slices.Clone(train), func(i dataset.Item) bool { return i.Defective })
	for _, method := range []string{"patchcore", "padim"} {
		if *only != "" && *only != method {
			continue
		}
		m, err := blemish.Train(ctx, files(clean), nil, blemish.Config{
			Method: method, Preprocess: preprocess(*size), Calibration: blemish.CalibrationConfig{Strategy: blemish.NoCalibration},
		}, nil)
		if err != nil {
			return err
		}
		if err := measure([]string{method + ", from the good pictures alone"}, scored(m)); err != nil {
			return err
		}
	}
	return nil
}

// mapsClassifier trains the classifier that is explained, and says how good it is.
func mapsClassifier(ctx context.Context, train, valid, tested []dataset.Item, size int, from string, seed uint64) (*blemish.Model, error) {
	config := blemish.ClassifierConfig{Options: json.RawMessage(`{"views": 2, "scales": null}`), Preprocess: preprocess(size), Seed: seed}
	if from != "" {
		config.Options = json.RawMessage(fmt.Sprintf(`{"views": 2, "train_from": %q, "epochs": 8, "warmup": 1, "learning_rate": 1e-3, "backbone_rate": 0.3, "batch_size": 32, "stop_after": 0}`, from))
		config.Preprocess.Resize, config.Preprocess.Size, config.Preprocess.Height, config.Preprocess.Width = transform.Exact, 0, size, size
	}
	model, err := blemish.TrainClassifier(ctx, blemish.Labels{Train: files(train), Valid: files(valid)}, config, nil)
	if err != nil {
		return nil, err
	}
	e, err := model.Evaluate(ctx, files(tested), nil)
	if err != nil {
		return nil, err
	}
	fmt.Fprintf(os.Stderr, "classifier: accuracy %.2f %%, balanced %.2f %%, AUROC %.4f\n\n", 100*e.Class.Accuracy, 100*e.Class.BalancedAccuracy, *e.Image.AUROC)
	return model, nil
}

// layersExplained are from the deepest to the shallowest, with strides of 32, 16, 8 and 4 pixels.
var layersExplained = []string{"_blocks.15", "_blocks.10", "_blocks.4", "_blocks.2"}

// measureLayers measures every method at every layer, and Layer-CAM of several layers fused.
func measureLayers(ctx context.Context, model *blemish.Model, measure func([]string, func(*imageio.Picture) ([]*tensor.Tensor, error)) error) error {
	methods := []explain.Method{explain.LayerCAM, explain.GradCAM, explain.GradCAMPlusPlus} // the fused one first
	var names []string
	var explainers []*blemish.Explainer
	for _, layer := range layersExplained {
		x, err := model.Explainer(layer, methods...)
		if err != nil {
			return err
		}
		explainers = append(explainers, x)
		for _, how := range methods {
			names = append(names, fmt.Sprintf("%s at %s", how, layer))
		}
	}
	for i := 2; i <= len(layersExplained); i++ {
		names = append(names, fmt.Sprintf("layer-cam fused over %v", layersExplained[:i]))
	}
	names = append(names, fmt.Sprintf("layer-cam fused over %v", layersExplained[1:3]))
	return measure(names, func(p *imageio.Picture) ([]*tensor.Tensor, error) {
		var all, layerCAM []*tensor.Tensor
		for _, x := range explainers {
			maps, err := x.Explain(ctx, p, nil)
			if err != nil {
				return nil, err
			}
			all, layerCAM = append(all, maps...), append(layerCAM, maps[0])
		}
		for i := 2; i <= len(layerCAM); i++ {
			fused, err := explain.Fuse(layerCAM[:i]...)
			if err != nil {
				return nil, err
			}
			all = append(all, fused)
		}
		fused, err := explain.Fuse(layerCAM[1:3]...)
		return append(all, fused), err
	})
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

// localisation is how often the highest value of a map lies on the mask, and how well pixels are told apart.
type localisation struct {
	pointing float64
	pixels   metric.PixelResult
}

// pointAt draws n maps of each picture, and measures them over all pictures.
func pointAt(ctx context.Context, source blemish.Source, n int, draw func(*imageio.Picture) ([]*tensor.Tensor, error)) ([]localisation, error) {
	pixels, hits, marked := make([]*metric.PixelEvaluator, n), make([]int, n), 0
	for k := range pixels {
		var err error
		if pixels[k], err = metric.NewPixelEvaluator(); err != nil {
			return nil, err
		}
		defer pixels[k].Close()
	}
	for i := range source.Len() {
		p, err := source.Picture(ctx, i)
		if err != nil {
			return nil, err
		}
		if p.Defective && p.Mask == nil {
			continue
		}
		maps, err := draw(p.Image)
		if err != nil {
			return nil, err
		}
		var mask []uint8
		if p.Mask != nil {
			mask = p.Mask.Data
			marked++
		}
		for k, m := range maps {
			if mask != nil && mask[slices.Index(m.Data, slices.Max(m.Data))] != 0 {
				hits[k]++
			}
			if err := pixels[k].Add(p.Kind, m.Data, mask, m.Shape[1], m.Shape[0]); err != nil {
				return nil, err
			}
		}
	}
	out := make([]localisation, n)
	for k := range out {
		all, _, err := pixels[k].Results()
		if err != nil {
			return nil, err
		}
		out[k] = localisation{float64(hits[k]) / float64(marked), *all}
	}
	return out, nil
}
