package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"text/tabwriter"
	"time"

	"github.com/blemish/blemish/outlier"
	"github.com/blemish/blemish/table"
)

// study is what one side says of the digits autoencoder, one value a seed.
type study struct {
	Worst   []int     `json:"worst"`
	MSE     []float64 `json:"mse"`  // of the worst row
	Mean    []float64 `json:"mean"` // over all rows
	MSE486  []float64 `json:"mse486"`
	Rank486 []int     `json:"rank486"`
	Epoch   float64   `json:"epoch_s"` // seconds an epoch of one network takes, on one thread
}

// digits trains the chapter's autoencoder from several seeds, with plain descent and with Adam, in Blemish and in PyTorch:
//
//	go run . digits -data optdigits.tra [-python PYTHON] [-seeds 10] [-epochs 200] [-only sgd]
func digits(args []string) error {
	fl := flag.NewFlagSet("digits", flag.ContinueOnError)
	data := fl.String("data", "", "optdigits.tra")
	python := fl.String("python", "", "interpreter with torch installed; without it Blemish runs alone")
	seeds := fl.Int("seeds", 10, "networks for each side and optimiser")
	epochs := fl.Int("epochs", 200, "epochs of each")
	only := fl.String("only", "", "sgd or adam; both if empty")
	if err := fl.Parse(args); err != nil {
		return err
	}
	if *data == "" || *seeds < 1 {
		return errors.New("digits: give -data optdigits.tra and at least one seed")
	}
	w := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "optimiser\tside\t486 worst\tMSE of 486\trank of 486\tworst rows\ttheir MSE\tmean MSE\ts/epoch")
	for _, optimizer := range []string{"sgd", "adam"} {
		if *only != "" && *only != optimizer {
			continue
		}
		own, err := blemishDigits(*data, optimizer, *seeds, *epochs)
		if err != nil {
			return err
		}
		own.row(w, optimizer, "Blemish")
		if *python != "" {
			peer, err := torchDigits(*python, *data, optimizer, *seeds, *epochs)
			if err != nil {
				return err
			}
			peer.row(w, optimizer, "PyTorch")
		}
		w.Flush()
	}
	return nil
}

func blemishDigits(data, optimizer string, seeds, epochs int) (study, error) {
	t, err := table.Open(data, table.Options{})
	if err != nil {
		return study{}, err
	}
	x, err := outlier.ChapterRows(outlier.Matrix{Rows: t.Rows, Cols: t.Cols, Data: t.Data})
	if err != nil {
		return study{}, err
	}
	config := outlier.Chapter()
	config.Optimizer, config.Epochs = optimizer, epochs
	var s study
	for seed := range seeds {
		start := time.Now()
		r, err := outlier.Rank(context.Background(), config, x, 0, &outlier.Options{Seed: uint64(seed), Workers: 1})
		if err != nil {
			return study{}, err
		}
		s.Epoch = time.Since(start).Seconds() / float64(epochs)
		worst := slices.Max(r.Scores)
		mean, rank := 0.0, 1
		for _, v := range r.Scores {
			mean += v / float64(len(r.Scores))
			if v > r.Scores[486] {
				rank++
			}
		}
		s.Worst, s.MSE, s.Mean = append(s.Worst, slices.Index(r.Scores, worst)), append(s.MSE, worst), append(s.Mean, mean)
		s.MSE486, s.Rank486 = append(s.MSE486, r.Scores[486]), append(s.Rank486, rank)
	}
	return s, nil
}

func torchDigits(python, data, optimizer string, seeds, epochs int) (study, error) {
	cmd := exec.Command(python, "digits.py", data, optimizer, fmt.Sprint(seeds), fmt.Sprint(epochs))
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return study{}, fmt.Errorf("digits.py: %w\n%s", err, stderr.Bytes())
	}
	var s study
	return s, json.Unmarshal(out, &s)
}

func (s study) row(w *tabwriter.Writer, optimizer, side string) {
	first := 0
	count := map[int]int{}
	for _, i := range s.Worst {
		count[i]++
		if i == 486 {
			first++
		}
	}
	var rows []int
	for i := range count {
		rows = append(rows, i)
	}
	slices.Sort(rows)
	worst := ""
	for _, i := range rows {
		worst += fmt.Sprintf("%d (%d) ", i, count[i])
	}
	fmt.Fprintf(w, "%s\t%s\t%d of %d\t%.4f–%.4f\t%d–%d\t%s\t%.4f–%.4f\t%.4f–%.4f\t%.4f\n", optimizer, side, first, len(s.Worst),
		slices.Min(s.MSE486), slices.Max(s.MSE486), slices.Min(s.Rank486), slices.Max(s.Rank486), worst,
		slices.Min(s.MSE), slices.Max(s.MSE), slices.Min(s.Mean), slices.Max(s.Mean), s.Epoch)
}
