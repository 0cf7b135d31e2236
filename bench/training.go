package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"
)

// trainingRow is a line of the table: medians over rounds, and ratios Blemish/PyTorch.
type trainingRow struct {
	Work    string            `json:"work"`
	Title   string            `json:"title"`
	Threads int               `json:"threads"`
	Goal    float64           `json:"goal"`
	Blemish []trainingFigures `json:"blemish"` // a round each
	PyTorch []trainingFigures `json:"pytorch"`
	Time    float64           `json:"time_ratio"`
	Memory  float64           `json:"memory_ratio"`
}

// trainingTable is what -json writes.
type trainingTable struct {
	CPU    string        `json:"cpu"`
	Date   string        `json:"date"`
	Rounds int           `json:"rounds"`
	Rows   []trainingRow `json:"rows"`
}

// compareTraining runs both sides of every work in turn, each in a process of its own.
func compareTraining(args []string) error {
	flags := flag.NewFlagSet("training", flag.ContinueOnError)
	python := flags.String("python", "python3", "interpreter with torch and torchvision installed")
	rounds := flags.Int("rounds", 5, "runs of each side, in turn")
	threads := flags.String("threads", "2,1", "numbers of threads")
	only := flags.String("only", "", "works, separated by commas; all by default")
	short := flags.Bool("short", false, "one step or epoch of each, to see that everything runs")
	file := flags.String("json", "", "file to write all figures to")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if *rounds < 1 {
		return errors.New("-rounds: want 1 or more")
	}
	table := trainingTable{CPU: cpuName(), Date: time.Now().UTC().Format(time.DateOnly), Rounds: *rounds}
	for _, work := range trainingWorks {
		if *only != "" && !slices.Contains(strings.Split(*only, ","), work.name) {
			continue
		}
		for _, t := range strings.Split(*threads, ",") {
			n, err := strconv.Atoi(t)
			if err != nil || n < 1 {
				return fmt.Errorf("-threads: %q is no number of threads", t)
			}
			job := trainingJob{Work: work.name, Threads: n, Steps: work.steps}
			if *short {
				job.Steps = 1
			}
			row, err := trainingDuel(*python, work, job, *rounds)
			if err != nil {
				return fmt.Errorf("%s: %w", work.name, err)
			}
			table.Rows = append(table.Rows, row)
			fmt.Fprintf(os.Stderr, "%s, %d threads: %.3f\n", work.name, n, row.Time)
		}
	}
	if len(table.Rows) == 0 {
		return fmt.Errorf("-only: no work is called %q", *only)
	}
	if *file != "" {
		raw, err := json.MarshalIndent(table, "", "\t")
		if err != nil {
			return err
		}
		if err := os.WriteFile(*file, raw, 0o644); err != nil {
			return err
		}
	}
	return table.print()
}

func trainingDuel(python string, work trainingWork, job trainingJob, rounds int) (trainingRow, error) {
	row := trainingRow{Work: work.name, Title: work.title, Threads: job.Threads, Goal: work.goal}
	raw, err := json.Marshal(job)
	if err != nil {
		return row, err
	}
	self, err := os.Executable()
	if err != nil {
		return row, err
	}
	for round := range rounds {
		own := func() error {
			f, err := trainingProcess(self, "training-side", string(raw))
			row.Blemish = append(row.Blemish, f)
			return err
		}
		peer := func() error {
			f, err := trainingProcess(python, "training.py", string(raw))
			row.PyTorch = append(row.PyTorch, f)
			return err
		}
		if round%2 == 1 { // neither side always runs on what the other has warmed
			own, peer = peer, own
		}
		if err := errors.Join(own(), peer()); err != nil {
			return row, err
		}
	}
	seconds := func(f trainingFigures) float64 { return f.Seconds }
	peak := func(f trainingFigures) float64 { return f.PeakMiB }
	row.Time = trainingMedian(row.Blemish, seconds) / trainingMedian(row.PyTorch, seconds)
	row.Memory = trainingMedian(row.Blemish, peak) / trainingMedian(row.PyTorch, peak)
	return row, nil
}

// trainingProcess runs one side and reads the JSON on the last line it prints.
func trainingProcess(args ...string) (f trainingFigures, err error) {
	cmd := exec.Command(args[0], args[1:]...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return f, fmt.Errorf("%s: %w\n%s", args[0], err, stderr.Bytes())
	}
	lines := bytes.Split(bytes.TrimSpace(out), []byte("\n"))
	return f, json.Unmarshal(lines[len(lines)-1], &f)
}

// trainingMedian is the median, of an even number the mean of the two in the middle.
func trainingMedian(all []trainingFigures, f func(trainingFigures) float64) float64 {
	var v []float64
	for _, x := range all {
		v = append(v, f(x))
	}
	slices.Sort(v)
	return (v[len(v)/2] + v[(len(v)-1)/2]) / 2
}

func (t *trainingTable) print() error {
	fmt.Printf("%s, %s: medians of %d rounds, ratios Blemish/PyTorch\n", t.CPU, t.Date, t.Rounds)
	w := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "work\tthreads\tBlemish, ms\tPyTorch, ms\ttime\tgoal\tBlemish, MiB\tPyTorch, MiB\tmemory\t")
	seconds := func(f trainingFigures) float64 { return f.Seconds }
	peak := func(f trainingFigures) float64 { return f.PeakMiB }
	for _, r := range t.Rows {
		fmt.Fprintf(w, "%s\t%d\t%.1f\t%.1f\t%.3f\t%.1f\t%.0f\t%.0f\t%.3f\t\n", r.Work, r.Threads, 1e3*trainingMedian(r.Blemish, seconds), 1e3*trainingMedian(r.PyTorch, seconds),
			r.Time, r.Goal, trainingMedian(r.Blemish, peak), trainingMedian(r.PyTorch, peak), r.Memory)
	}
	if err := w.Flush(); err != nil {
		return err
	}
	for _, work := range trainingWorks {
		fmt.Printf("%s: %s\n", work.name, work.title)
	}
	return nil
}

// cpuName is what Linux says the processor is called.
func cpuName() string {
	name := "unknown processor"
	raw, err := os.ReadFile("/proc/cpuinfo")
	if err == nil {
		for line := range strings.Lines(string(raw)) {
			if key, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(key) == "model name" {
				name = strings.TrimSpace(value)
				break
			}
		}
	}
	return name
}
