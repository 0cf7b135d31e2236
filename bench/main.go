// Command bench compares Blemish with its peers, in one interleaved run for each subcommand:
//
//	python3 -m venv /tmp/peers && /tmp/peers/bin/pip install -r requirements.txt
//	go run . patchcore -python /tmp/peers/bin/python -data DIR   # anomalib's PatchCore
//	go run . training -python /tmp/peers/bin/python              # a step of training in PyTorch
//	go run . inference -python /tmp/peers/bin/python             # ONNX Runtime, PyTorch, faiss
//	go run . roofline -python /tmp/peers/bin/python              # layers against what the machine can do
//	go run . int8 -python /tmp/peers/bin/python -model FILE       # a quantised network in ONNX Runtime
//	go run . classifier -python /tmp/peers/bin/python -data DIR  # whole trainings of a classifier in PyTorch
//	go run . outlier -python /tmp/peers/bin/python               # scikit-learn's outlier detectors
//	go run . maps -data DIR                                      # where a classifier's maps point, beside PatchCore's
//
// Each subcommand's flags are shown by -h. Times are medians, and ratios Blemish/peer: below 1 is faster.
package main

import (
	"fmt"
	"os"
	"slices"
	"strings"
)

// comparisons are the subcommands.
var comparisons = map[string]func(args []string) error{
	"patchcore":  comparePatchCore,
	"training":   compareTraining,
	"coreset":    compareCoreset,
	"inference":  inference,
	"int8":       compareInt8,
	"maps":       compareMaps,
	"outlier":    compareOutlier,
	"roofline":   measureRoofline,
	"sgemm":      measureSGEMM,
	"classifier": compareClassifier,
}

// sides are what comparisons start as processes of their own; each takes one JSON object.
var sides = map[string]func(job string) error{
	"patchcore-side":  patchCoreSide,
	"training-side":   trainingSide,
	"outlier-side":    outlierSide,
	"classifier-side": classifierSide,
}

func main() {
	if len(os.Args) > 1 && os.Args[1] == "digits" {
		if err := digits(os.Args[2:]); err != nil {
			fmt.Fprintln(os.Stderr, "bench:", err)
			os.Exit(1)
		}
		return
	}
	err := fmt.Errorf("want one of %s", strings.Join(names(), ", "))
	if len(os.Args) > 1 {
		if run := comparisons[os.Args[1]]; run != nil {
			err = run(os.Args[2:])
		} else if side := sides[os.Args[1]]; side != nil && len(os.Args) == 3 {
			err = side(os.Args[2])
		}
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func names() []string {
	var all []string
	for name := range comparisons {
		all = append(all, name)
	}
	slices.Sort(all)
	return all
}
