package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"runtime"
	"time"

	"github.com/spf13/cobra"

	"github.com/blemish/blemish"
	"github.com/blemish/blemish/backbone"
	"github.com/blemish/blemish/checkpoint"
	"github.com/blemish/blemish/dataset"
	"github.com/blemish/blemish/report"
	"github.com/blemish/blemish/transform"
)

// classifierFlags are those of train that only a classifier knows.
type classifierFlags struct {
	cmd                                      *cobra.Command
	preset, weights, checkpoint, curve, grid string
	resume                                   bool
	threshold                                float64
	logEvery                                 int
	crop                                     string

	epochs, batch, validBatch, testBatch, last, warmup, patience, stopAfter, views int
	optimizer, schedule, from, head, cam                                           string
	rate, backboneRate, momentum, decay, factor, smoothing, dropout                float64
	dropLast, balance, temper, flips                                               bool
}

// add defines the flags. Those that are options of the method have its names, with dashes.
func (f *classifierFlags) add(cmd *cobra.Command) {
	f.cmd = cmd
	fl := cmd.Flags()
	const of = "classifier: "
	fl.StringVar(&f.preset, "preset", string(blemish.DefaultPreset), of+"default, or chapter: the settings of the published VGG-16 study")
	fl.StringVar(&f.weights, "backbone-weights", "pretrained", of+"pretrained, or none: start from random weights")
	fl.StringVar(&f.checkpoint, "checkpoint", "", of+"file that is replaced after every epoch, to resume from")
	fl.BoolVar(&f.resume, "resume", false, of+"go on from --checkpoint if it exists")
	fl.Float64Var(&f.threshold, "threshold", blemish.DefaultProbability, of+"probability of a defect above which a picture is anomalous")
	fl.IntVar(&f.logEvery, "log-every", 0, of+"say the loss after so many batches (chapter: 100)")
	fl.StringVar(&f.crop, "crop", "", of+"train on random crops of this size, judge the centre crop (chapter: 64)")
	fl.StringVar(&f.curve, "curve", "", of+"write the accuracy curve to this file: .pdf, .svg or .png (chapter: plot_acc_training_validation.pdf)")
	fl.StringVar(&f.grid, "samples", "", of+"write a grid of test pictures with prediction and truth to this file: .pdf, .svg or .png")

	fl.IntVar(&f.epochs, "epochs", 0, of+"epochs")
	fl.IntVar(&f.batch, "batch-size", 0, of+"pictures in a training batch")
	fl.IntVar(&f.validBatch, "valid-batch-size", 0, of+"pictures judged at once in validation")
	fl.IntVar(&f.testBatch, "test-batch-size", 0, of+"pictures judged at once in the test (chapter: 63); it changes no figure")
	fl.BoolVar(&f.dropLast, "drop-last", false, of+"leave a last, smaller batch out")
	fl.StringVar(&f.optimizer, "optimizer", "", of+"sgd or adamw")
	fl.Float64Var(&f.rate, "learning-rate", 0, of+"of the head")
	fl.Float64Var(&f.backboneRate, "backbone-rate", 0, of+"share of it for the backbone's layers")
	fl.Float64Var(&f.momentum, "momentum", 0, of+"of sgd")
	fl.Float64Var(&f.decay, "weight-decay", 0, of+"of the optimiser")
	fl.StringVar(&f.schedule, "schedule", "", of+"constant, cosine, plateau-accuracy or plateau-loss")
	fl.IntVar(&f.warmup, "warmup", 0, of+"epochs of rising rates before a cosine")
	fl.Float64Var(&f.factor, "factor", 0, of+"by which a plateau lowers the rate")
	fl.IntVar(&f.patience, "patience", 0, of+"epochs that a plateau is borne")
	fl.IntVar(&f.stopAfter, "stop-after", 0, of+"epochs without a better validation loss before it stops, with the best weights; 0 never stops and keeps the last")
	fl.Float64Var(&f.smoothing, "label-smoothing", 0, of+"part of a target that is spread over all classes")
	fl.Float64Var(&f.dropout, "dropout", 0, of+"probability")
	fl.BoolVar(&f.balance, "balance", false, of+"let classes count alike, however many pictures they have")
	fl.IntVar(&f.views, "views", 0, of+"augmented views of each picture; 0 augments anew every epoch")
	fl.StringVar(&f.head, "head", "", of+"linear, or vgg: three linear layers")
	fl.IntVar(&f.last, "train-last", 0, of+"how many of the vgg head's three linear layers learn")
	fl.StringVar(&f.from, "train-from", "", of+"first layer of the backbone that learns, such as features.24, or all; then 30 epochs, batches of 32 and --stop-after 5 unless given, pictures of one size (--resize exact)")
	fl.BoolVar(&f.temper, "temper", false, of+"scale the probabilities to the validation pictures")
	fl.BoolVar(&f.flips, "flips", false, of+"judge mirrored pictures, too, if validation says that it helps")
	fl.StringVar(&f.cam, "map", "", of+"evidence, grad-cam, grad-cam++ or layer-cam")
	complete(cmd, "preset", string(blemish.DefaultPreset), string(blemish.ChapterPreset))
	complete(cmd, "backbone-weights", "pretrained", "none")
}

// own are the flags that are no options of the method.
var classifierOwn = []string{"preset", "backbone-weights", "checkpoint", "resume", "threshold", "log-every", "crop", "curve", "samples"}

// options are the flags by the names of the method's options.
func (f *classifierFlags) options() map[string]any {
	return map[string]any{
		"epochs": f.epochs, "batch-size": f.batch, "valid-batch-size": f.validBatch, "test-batch-size": f.testBatch, "drop-last": f.dropLast, "optimizer": f.optimizer,
		"learning-rate": f.rate, "backbone-rate": f.backboneRate, "momentum": f.momentum, "weight-decay": f.decay, "schedule": f.schedule,
		"warmup": f.warmup, "factor": f.factor, "patience": f.patience, "stop-after": f.stopAfter, "label-smoothing": f.smoothing,
		"dropout": f.dropout, "balance": f.balance, "views": f.views, "head": f.head, "train-last": f.last, "train-from": f.from,
		"temper": f.temper, "flips": f.flips, "map": f.cam,
	}
}

// unused refuses the flags for other methods.
func (f *classifierFlags) unused(method string) error {
	for name := range f.options() {
		if f.cmd.Flags().Changed(name) {
			return usagef("--%s is for --method classifier, not for %s", name, method)
		}
	}
	for _, name := range classifierOwn {
		if f.cmd.Flags().Changed(name) {
			return usagef("--%s is for --method classifier, not for %s", name, method)
		}
	}
	return nil
}

// classifierConfig is what the flags say, over the preset.
func (f *trainFlags) classifierConfig(c console) (blemish.ClassifierConfig, error) {
	k := &f.classifier
	none := blemish.ClassifierConfig{}
	if err := f.check(); err != nil {
		return none, err
	}
	if f.out == "" {
		return none, usagef("where to write the model: give -o FILE")
	}
	changed := k.cmd.Flags().Changed
	for _, name := range []string{"calibration", "folds"} {
		if changed(name) {
			return none, usagef("--%s is not for --method classifier, which is calibrated on the validation pictures", name)
		}
	}
	if changed("contamination") {
		return none, usagef("--contamination is not for --method classifier, which learns from labels: to find wrong ones, rank each class folder by blemish outliers FOLDER")
	}
	raw, err := methodOptions(f.set)
	if err != nil {
		return none, err
	}
	options := map[string]json.RawMessage{}
	if err := json.Unmarshal(raw, &options); err != nil {
		return none, err
	}
	for name, value := range k.options() {
		if changed(name) {
			options[underscored(name)], _ = json.Marshal(value) // numbers, words and booleans
		}
	}
	config := blemish.ClassifierConfig{
		Preset: blemish.Preset(k.preset), Layers: f.layers, Seed: f.seed, Threshold: k.threshold, PixelFalse: f.rate,
		Checkpoint: k.checkpoint, Resume: k.resume, LogEvery: k.logEvery,
		Log: func(line string) { fmt.Fprintln(c.err, line) },
	}
	config.Options, _ = json.Marshal(options)
	switch k.weights {
	case "pretrained":
	case "none":
		config.Untrained = true
	default:
		return none, usagef("--backbone-weights %q: want pretrained or none", k.weights)
	}
	if k.threshold <= 0 || k.threshold >= 1 {
		return none, usagef("--threshold %v: want more than 0 and less than 1", k.threshold)
	}
	if k.resume && k.checkpoint == "" {
		return none, usagef("--resume wants a --checkpoint FILE to go on from")
	}
	name := f.backbone
	if config.Preset == blemish.ChapterPreset {
		if !changed("backbone") {
			name = "vgg16"
		}
		if !changed("seed") {
			config.Seed = 245
		}
		if !changed("log-every") {
			config.LogEvery = 100
		}
		if !changed("curve") {
			k.curve = "plot_acc_training_validation.pdf"
		}
	}
	config.Backbone = name
	if config.Preprocess, err = f.classifierPreprocess(name, config); err != nil {
		return none, err
	}
	if err := config.Validate(); err != nil {
		return none, usageError{err}
	}
	return config, nil
}

// classifierPreprocess is the preset's, unless a size, a way to reach it or a crop was asked for.
func (f *trainFlags) classifierPreprocess(name string, config blemish.ClassifierConfig) (*transform.Config, error) {
	changed := f.classifier.cmd.Flags().Changed
	spec, err := backbone.Lookup(name)
	if err != nil {
		return nil, usageError{err}
	}
	p := blemish.DefaultPreprocess(spec)
	mode, size, crop := f.resize, f.size, f.classifier.crop
	if !changed("size") {
		size = fmt.Sprint(config.Size())
	}
	if config.Preset == blemish.ChapterPreset {
		if !changed("resize") {
			mode = string(transform.Exact)
		}
		if !changed("size") {
			size = "70"
		}
		if !changed("crop") {
			crop = "64"
		}
	}
	height, width, err := parseSize(size)
	if err != nil {
		return nil, err
	}
	if p.Resize = transform.Mode(mode); p.Resize == transform.Shorter {
		if height != width {
			return nil, usagef("--size %s has two sides: use it with --resize letterbox or exact", size)
		}
		p.Size = height
	} else {
		p.Size, p.Height, p.Width = 0, height, width
	}
	if crop != "" {
		if p.CropHeight, p.CropWidth, err = parseSize(crop); err != nil {
			return nil, usagef("--crop %q: want pixels such as 64, or height x width", crop)
		}
	}
	return &p, nil
}

func underscored(name string) string {
	out := []byte(name)
	for i, b := range out {
		if b == '-' {
			out[i] = '_'
		}
	}
	return string(out)
}

// runClassifier trains on class folders, and measures the model on the test pictures if there are any.
func (f *trainFlags) runClassifier(ctx context.Context, c console, dir string) error {
	config, err := f.classifierConfig(c)
	if err != nil {
		return err
	}
	set, err := openDataset(c, dir, f.cleanClass, &f.runFlags)
	if err != nil {
		return err
	}
	classes, err := dataset.Labelled(set, config.Seed)
	if err != nil {
		return err
	}
	for _, note := range classes.Notes {
		fmt.Fprintf(c.err, "note: %s\n", note)
	}
	fmt.Fprintf(c.err, "%s: %s, classes %v, %d training, %d validation and %d test pictures\n",
		dir, set.Layout, classes.Names, len(classes.Train), len(classes.Valid), len(classes.Test))
	if config.Untrained {
		fmt.Fprintln(c.err, "note: the backbone starts from random weights")
	}
	bar := newProgress(c.err)
	defer bar.finish()
	line := config.Log
	config.Log = func(s string) {
		bar.finish()
		line(s)
	}
	start := time.Now()
	files := func(items []dataset.Item) blemish.Files { return blemish.Files{Items: items, Limits: f.limits()} }
	model, err := blemish.TrainClassifier(ctx, blemish.Labels{Train: files(classes.Train), Valid: files(classes.Valid)}, config, f.options(c, bar))
	if err != nil {
		return err
	}
	bar.finish()
	fmt.Fprintf(c.err, "Total training time: %.2f min\n", time.Since(start).Minutes())
	if err := model.Save(f.out); err != nil {
		return err
	}
	size := int64(0)
	if st, err := os.Stat(f.out); err == nil {
		size = st.Size()
	}
	fitted, err := model.Classifier()
	if err != nil {
		return err
	}
	if f.classifier.curve != "" {
		chart, err := report.AccuracyCurve(fitted.History)
		if err != nil {
			return err
		}
		err = checkpoint.WriteFileAtomic(f.classifier.curve, func(w io.Writer) error { return report.WriteChart(w, f.classifier.curve, chart) })
		if err != nil {
			return err
		}
	}
	fmt.Fprintf(c.out, "%s: classifier on %s, %d pictures, %.1f MB, %s\n", f.out, model.Info().Backbone.Name,
		model.Info().Provenance.Pictures, float64(size)/1e6, time.Since(start).Round(100*time.Millisecond))
	if len(classes.Test) == 0 {
		return nil
	}
	options := f.options(c, bar)
	if n := fitted.TestBatch; n > 0 && (options.Workers == 0 || options.Workers > n) {
		options.Workers = min(n, runtime.GOMAXPROCS(0))
	}
	evaluation, err := model.Evaluate(ctx, files(classes.Test), options)
	if err != nil {
		return err
	}
	bar.finish()
	fmt.Fprintf(c.out, "Test accuracy %.2f%%\n", 100*evaluation.Class.Accuracy)
	if f.classifier.grid == "" {
		return nil
	}
	return writeSamples(ctx, f.classifier.grid, model, files(classes.Test), evaluation)
}

// writeSamples draws a grid of pictures with prediction and truth.
func writeSamples(ctx context.Context, file string, model *blemish.Model, source blemish.Source, e *blemish.Evaluation) error {
	samples, err := chooseSamples(ctx, model, source, e)
	if err != nil {
		return err
	}
	return checkpoint.WriteFileAtomic(file, func(w io.Writer) error { return report.WriteSamples(w, file, samples) })
}
