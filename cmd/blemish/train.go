package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/blemish/blemish"
	"github.com/blemish/blemish/backbone"
	"github.com/blemish/blemish/checkpoint"
	"github.com/blemish/blemish/dataset"
	"github.com/blemish/blemish/transform"
)

type trainFlags struct {
	runFlags
	out, method, backbone, size, resize, calibration, cleanClass string
	contamination, weightType                                    string
	layers, set                                                  []string
	seed                                                         uint64
	rate                                                         float64
	folds                                                        int
	classifier                                                   classifierFlags
	changed                                                      func(flag string) bool
}

func newTrain(c console) *cobra.Command {
	var f trainFlags
	cmd := &cobra.Command{
		Use:   "train DIR -o FILE",
		Short: "Learn from good pictures",
		Long: `Learns what good pictures look like and writes a model file. DIR is one of
  an MVTec AD category   train/good, test/<kind>, ground_truth/<kind>
  class folders          good (or clean, normal, ok) beside folders of defects
  a plain folder         of good pictures
Which one was recognised is said. Only good pictures are learned from.

` + methodHelp(),
		Example: `  blemish train tiles/ -o tiles.blemish
  blemish train tiles/ -o tiles.blemish --method padim --size 384
  blemish train tiles/ -o tiles.blemish --set coreset_ratio=0.1 --false-alarm-rate 0.005
  blemish train boards/ -o boards.blemish --backbone resnet18 --layers layer2,layer3
  blemish train boards/ -o small.blemish --backbone resnet18 --weight-type float16
  blemish train unsorted/ -o parts.blemish --contamination auto`,
		Args: wantArgs(1, 1, "one folder of pictures"),
		RunE: func(cmd *cobra.Command, args []string) error { return f.run(cmd.Context(), c, args[0]) },
	}
	f.runFlags.add(cmd)
	fl := cmd.Flags()
	fl.StringVarP(&f.out, "output", "o", "", "model file to write (required)")
	fl.StringVar(&f.method, "method", blemish.DefaultMethod, "how to detect anomalies: "+strings.Join(methodNames(), ", "))
	fl.StringArrayVar(&f.set, "set", nil, "an option of the method, name=value; may be given again")
	fl.StringVar(&f.backbone, "backbone", blemish.DefaultBackbone, "pretrained network: "+strings.Join(backbone.Names(), ", ")+", or an .onnx file")
	fl.StringSliceVar(&f.layers, "layers", nil, "the backbone's layers to look at, such as layer2,layer3 (default: chosen for the backbone)")
	fl.StringVar(&f.weightType, "weight-type", weightTypes[0].word, "the model keeps the backbone's float32 filters as they are (float32), or rounds them to float16 or bfloat16,\nhalf as large, before it learns; what came in 16 bits stays so")
	fl.StringVar(&f.size, "size", fmt.Sprint(blemish.DefaultSize),
		fmt.Sprintf("pixels of the shorter side (%d for methods without a backbone), or height x width for letterbox and exact;\nan .onnx network that was exported for one size is given that, letterboxed", blemish.PlainSize))
	fl.StringVar(&f.resize, "resize", string(transform.Shorter), "shorter: keep the shape; letterbox: keep it and fill up to the size; exact: squash; none")
	fl.Uint64Var(&f.seed, "seed", 0, "of every random choice")
	fl.Float64Var(&f.rate, "false-alarm-rate", blemish.DefaultFalseAlarmRate, "share of good pictures that may be called anomalous")
	fl.StringVar(&f.calibration, "calibration", "auto", "auto, split (hold good pictures out), cross (folds), or none")
	fl.IntVar(&f.folds, "folds", blemish.DefaultFolds, "folds of cross calibration")
	fl.StringVar(&f.contamination, "contamination", "", "good pictures may be defective: leave suspects out: auto, or a share that is defective, such as 0.1 (then half as many again are left out)")
	fl.StringVar(&f.cleanClass, "clean-class", "", "name of the class folder that holds good pictures")
	f.classifier.add(cmd)
	f.changed = fl.Changed
	complete(cmd, "method", methodNames()...)
	complete(cmd, "backbone", backbone.Names()...)
	complete(cmd, "resize", string(transform.Shorter), string(transform.Letterbox), string(transform.Exact), string(transform.None))
	complete(cmd, "calibration", "auto", "split", "cross", "none")
	complete(cmd, "weight-type", wordsOfTypes()...)
	return cmd
}

// weightTypes are the words of --weight-type.
var weightTypes = []struct {
	word string
	as   checkpoint.DType
}{{"float32", ""}, {"float16", checkpoint.F16}, {"bfloat16", checkpoint.BF16}}

func wordsOfTypes() []string {
	var words []string
	for _, t := range weightTypes {
		words = append(words, t.word)
	}
	return words
}

func parseWeightType(word string) (checkpoint.DType, error) {
	for _, t := range weightTypes {
		if t.word == word {
			return t.as, nil
		}
	}
	return "", usagef("--weight-type %q: want %s", word, strings.Join(wordsOfTypes(), ", "))
}

func methodNames() []string {
	var names []string
	for _, m := range blemish.Methods() {
		names = append(names, m.Name)
	}
	return names
}

func methodHelp() string {
	var b strings.Builder
	b.WriteString("Methods, and their options with defaults (change them with --set name=value):\n")
	for _, m := range blemish.Methods() {
		defaults, err := m.Defaults()
		if err != nil {
			defaults = []byte(err.Error())
		}
		fmt.Fprintf(&b, "  %-10s %s\n             %s\n", m.Name, m.Summary, defaults)
	}
	return strings.TrimRight(b.String(), "\n")
}

func (f *trainFlags) config() (blemish.Config, error) {
	if err := f.check(); err != nil {
		return blemish.Config{}, err
	}
	if f.out == "" {
		return blemish.Config{}, usagef("where to write the model: give -o FILE")
	}
	if f.rate <= 0 {
		return blemish.Config{}, usagef("--false-alarm-rate %v: want more than 0 and less than 1", f.rate)
	}
	options, err := methodOptions(f.set)
	if err != nil {
		return blemish.Config{}, err
	}
	contamination, err := parseContamination(f.contamination)
	if err != nil {
		return blemish.Config{}, err
	}
	preprocess, err := f.preprocess()
	if err != nil {
		return blemish.Config{}, err
	}
	weightType, err := parseWeightType(f.weightType)
	if err != nil {
		return blemish.Config{}, err
	}
	strategy := blemish.CalibrationStrategy(f.calibration)
	if f.calibration == "auto" {
		strategy = blemish.AutoCalibration
	}
	config := blemish.Config{
		Method: f.method, MethodOptions: options, Layers: f.layers, Preprocess: &preprocess, Seed: f.seed, Contamination: contamination, WeightType: weightType,
		Calibration: blemish.CalibrationConfig{FalseAlarmRate: f.rate, Strategy: strategy, Folds: f.folds},
	}
	if f.changed("backbone") {
		config.Backbone = f.backbone
	}
	if err := config.Validate(); err != nil {
		return blemish.Config{}, usageError{err}
	}
	return config, nil
}

// preprocess is the method's own, with the size and shape asked for.
func (f *trainFlags) preprocess() (transform.Config, error) {
	size, mode := f.size, transform.Mode(f.resize)
	var preprocess transform.Config
	if pixelMethod(f.method) {
		preprocess = blemish.PlainPreprocess()
		if !f.changed("size") {
			size = fmt.Sprint(blemish.PlainSize)
		}
	} else {
		spec, err := backbone.Find(f.backbone)
		if err != nil {
			return transform.Config{}, usageError{err}
		}
		preprocess = blemish.DefaultPreprocess(spec)
		if h, w, ok := spec.InputSize(); ok && !f.changed("size") {
			size = fmt.Sprintf("%dx%d", h, w)
			if !f.changed("resize") {
				mode = preprocess.Resize
			}
		}
	}
	height, width, err := parseSize(size)
	if err != nil {
		return transform.Config{}, err
	}
	preprocess.Resize, preprocess.Size, preprocess.Height, preprocess.Width = mode, 0, height, width
	if mode == transform.Shorter {
		if height != width {
			return transform.Config{}, usagef("--size %s has two sides: use it with --resize letterbox or exact", size)
		}
		preprocess.Size, preprocess.Height, preprocess.Width = height, 0, 0
	}
	return preprocess, nil
}

func pixelMethod(name string) bool {
	for _, m := range blemish.Methods() {
		if m.Name == name {
			return m.Pixels
		}
	}
	return false
}

// parseContamination reads auto or a rate; "" trusts the pictures.
func parseContamination(s string) (blemish.Contamination, error) {
	switch s {
	case "":
		return blemish.Contamination{}, nil
	case "auto":
		return blemish.Contamination{Auto: true}, nil
	}
	rate, err := strconv.ParseFloat(s, 64)
	c := blemish.Contamination{Rate: rate}
	if err != nil || rate <= 0 || c.Validate() != nil {
		return blemish.Contamination{}, usagef("--contamination %q: want auto, or a share of the pictures of at most %v, such as 0.1", s, blemish.MaxContamination)
	}
	return c, nil
}

// writeSuspects says which pictures were left out, and why.
func writeSuspects(w io.Writer, p blemish.Provenance) {
	if len(p.Suspects) == 0 {
		return
	}
	fmt.Fprintf(w, "%d of %d pictures given as good were left out, since they may not be:\n", len(p.Suspects), p.Pictures)
	for _, s := range p.Suspects {
		fmt.Fprintf(w, "  %s: %s\n", s.Path, s.Reason)
	}
}

func (f *trainFlags) run(ctx context.Context, c console, dir string) error {
	if f.method == blemish.ClassifierMethod {
		weightType, err := parseWeightType(f.weightType)
		if err != nil {
			return err
		}
		if weightType != "" {
			if err := (blemish.Config{Method: f.method, WeightType: weightType}).Validate(); err != nil {
				return usageError{err}
			}
		}
		return f.runClassifier(ctx, c, dir)
	}
	if err := f.classifier.unused(f.method); err != nil {
		return err
	}
	config, err := f.config()
	if err != nil {
		return err
	}
	set, err := openDataset(c, dir, f.cleanClass, &f.runFlags)
	if err != nil {
		return err
	}
	bar := newProgress(c.err)
	defer bar.finish()
	good, heldOut := goodOnly(set.Train), goodOnly(set.Valid)
	if len(good) == 0 {
		return fmt.Errorf("%s: recognised as %s, but it has no good pictures to learn from", dir, set.Layout)
	}
	fmt.Fprintf(c.err, "%s: %s, %d good pictures to learn from\n", dir, set.Layout, len(good))
	start := time.Now()
	model, err := blemish.Train(ctx, blemish.Files{Items: good, Limits: f.limits()}, blemish.Files{Items: heldOut, Limits: f.limits()}, config, f.options(c, bar))
	if err != nil {
		return err
	}
	bar.finish()
	if err := model.Save(f.out); err != nil {
		return err
	}
	writeSuspects(c.err, model.Info().Provenance)
	if f.contamination != "" && len(model.Info().Provenance.Suspects) == 0 {
		fmt.Fprintln(c.err, "none of the good pictures is suspect")
	}
	size := int64(0)
	if st, err := os.Stat(f.out); err == nil {
		size = st.Size()
	}
	on := ""
	if name := model.Info().Backbone.Name; name != blemish.NoBackbone {
		on = " on " + name
	}
	fmt.Fprintf(c.out, "%s: %s%s, %d pictures, %.1f MB, %s\n", f.out, model.Info().Method, on,
		model.Info().Provenance.Pictures, float64(size)/1e6, time.Since(start).Round(100*time.Millisecond))
	writeCalibration(c.out, model.Info().Calibration)
	return nil
}

// openDataset recognises a folder's layout and deals with the files in it that are no pictures.
func openDataset(c console, dir, cleanClass string, f *runFlags) (*dataset.Dataset, error) {
	set, err := dataset.Open(dir, dataset.Options{CleanClass: cleanClass})
	if err != nil {
		return nil, err
	}
	for _, p := range set.Skipped {
		if badFiles(f.bad) == badFail {
			return nil, fmt.Errorf("%s: %s (leave such files out with --bad-files skip; %d in all)", p.Path, p.Reason, len(set.Skipped))
		}
		fmt.Fprintf(c.err, "skipped: %s: %s\n", p.Path, p.Reason)
	}
	return set, nil
}

func goodOnly(items []dataset.Item) []dataset.Item {
	var good []dataset.Item
	for _, item := range items {
		if !item.Defective {
			good = append(good, item)
		}
	}
	return good
}
