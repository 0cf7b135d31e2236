package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"syscall"
	"text/tabwriter"
	"time"

	"github.com/blemish/blemish"
	"github.com/blemish/blemish/dataset"
)

// classifierJob is what both sides are given.
type classifierJob struct {
	Dir     string `json:"dir"`
	Preset  string `json:"preset"`
	Threads int    `json:"threads"`
	Epochs  int    `json:"epochs"`
}

// compareClassifier times whole trainings of a classifier, pictures from disk, beside PyTorch's, in turn. Each side is a process of its own.
// The chapter's preset trains a VGG-16 of random weights, the default a head on EfficientNet-Lite0: to its last epoch, without early stopping,
// so that both sides do the same work. Blemish's time ends with a calibrated model, PyTorch's with the last epoch.
func compareClassifier(args []string) error {
	flags := flag.NewFlagSet("classifier", flag.ContinueOnError)
	python := flags.String("python", "python3", "interpreter with torch, torchvision and timm installed")
	data := flags.String("data", "", "folder with train and valid class folders")
	rounds := flags.Int("rounds", 3, "runs of each side, in turn")
	threads := flags.Int("threads", 2, "of each side")
	only := flags.String("only", "", "chapter or default alone")
	epochs := flags.Int("epochs", 0, "instead of the preset's 5 or 200")
	if err := flags.Parse(args); err != nil {
		return err
	}
	presets := map[string]int{"chapter": 5, "default": 200}
	if _, known := presets[*only]; *rounds < 1 || *data == "" || *only != "" && !known {
		return errors.New("want -data DIR, at least one round, and -only chapter or default")
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	w := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "\tBlemish\tPyTorch\tratio")
	for _, preset := range []string{"chapter", "default"} {
		if *only != "" && *only != preset {
			continue
		}
		if *epochs > 0 {
			presets[preset] = *epochs
		}
		raw, err := json.Marshal(classifierJob{*data, preset, *threads, presets[preset]})
		if err != nil {
			return err
		}
		var own, peer []figures
		for range *rounds {
			p, err := side(*python, "classifier.py", string(raw))
			if err != nil {
				return err
			}
			b, err := side(self, "classifier-side", string(raw))
			if err != nil {
				return err
			}
			own, peer = append(own, b), append(peer, p)
		}
		row := func(what string, f func(figures) float64) {
			a, b := median(own, f), median(peer, f)
			fmt.Fprintf(w, "%s: %s\t%.4g\t%.4g\t%.3f\n", preset, what, a, b, a/b)
		}
		row("whole training, s", func(f figures) float64 { return f.Fit })
		row("peak memory, MiB", func(f figures) float64 { return f.PeakMiB })
	}
	return w.Flush()
}

// classifierSide does what classifier.py does, and prints the same figures.
func classifierSide(raw string) error {
	var j classifierJob
	if err := json.Unmarshal([]byte(raw), &j); err != nil {
		return err
	}
	set, err := dataset.Open(j.Dir, dataset.Options{})
	if err != nil {
		return err
	}
	config := blemish.ClassifierConfig{Preset: blemish.Preset(j.Preset), Seed: 245}
	if j.Preset == "chapter" {
		config.Untrained = true
		config.Options = json.RawMessage(fmt.Sprintf(`{"epochs": %d}`, j.Epochs))
	} else {
		config.Options = json.RawMessage(fmt.Sprintf(`{"epochs": %d}`, j.Epochs))
	}
	start := time.Now()
	_, err = blemish.TrainClassifier(context.Background(), blemish.Labels{Train: files(set.Train), Valid: files(set.Valid)}, config, &blemish.Options{Workers: j.Threads})
	if err != nil {
		return err
	}
	f := figures{Fit: time.Since(start).Seconds()}
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		return err
	}
	f.PeakMiB = float64(usage.Maxrss) / 1024
	return json.NewEncoder(os.Stdout).Encode(f)
}
