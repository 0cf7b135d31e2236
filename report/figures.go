package report

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/blemish/blemish"
)

// missing stands for a figure that could not be computed.
const missing = "–"

// ratio formats a figure between 0 and 1.
func ratio(v *float64) string {
	if v == nil {
		return missing
	}
	return strconv.FormatFloat(*v, 'f', 4, 64)
}

// figure formats a raw score.
func figure(v float64) string { return strconv.FormatFloat(v, 'g', 5, 64) }

func optional(v *float64) string {
	if v == nil {
		return missing
	}
	return figure(*v)
}

func pValue(v float64) string {
	if math.IsNaN(v) {
		return missing
	}
	return strconv.FormatFloat(v, 'g', 2, 64)
}

// summary is one row of the table over all sections.
type summary struct {
	Name                                     string
	ImageAUROC, PixelAUROC, AUPRO, ImageF1   string
	Threshold, FalseAlarms, Misses, MsPerImg string
}

func summarise(name string, e *blemish.Evaluation) summary {
	s := summary{
		Name:       name,
		ImageAUROC: ratio(e.Image.AUROC), PixelAUROC: ratio(e.Pixel.AUROC), AUPRO: ratio(e.Pixel.AUPRO), ImageF1: ratio(e.Image.F1Max),
		Threshold: optional(e.Threshold), FalseAlarms: missing, Misses: missing,
		MsPerImg: strconv.FormatFloat(e.MsPerImage, 'f', 1, 64),
	}
	if e.Threshold != nil {
		s.FalseAlarms, s.Misses = falseAlarms(e.Counts), misses(e.Counts)
	}
	return s
}

func falseAlarms(c blemish.Counts) string { return fmt.Sprintf("%d/%d", c.FP, c.FP+c.TN) }
func misses(c blemish.Counts) string      { return fmt.Sprintf("%d/%d", c.FN, c.FN+c.TP) }

// overall is the last row: means of figures that every section has, sums of counts. Thresholds of different models have no mean.
func overall(sections []Section) summary {
	mean := func(of func(*blemish.Evaluation) *float64) string {
		sum := 0.0
		for _, s := range sections {
			v := of(s.Evaluation)
			if v == nil {
				return missing
			}
			sum += *v
		}
		sum /= float64(len(sections))
		return ratio(&sum)
	}
	out := summary{
		Name:       "mean / total",
		ImageAUROC: mean(func(e *blemish.Evaluation) *float64 { return e.Image.AUROC }),
		PixelAUROC: mean(func(e *blemish.Evaluation) *float64 { return e.Pixel.AUROC }),
		AUPRO:      mean(func(e *blemish.Evaluation) *float64 { return e.Pixel.AUPRO }),
		ImageF1:    mean(func(e *blemish.Evaluation) *float64 { return e.Image.F1Max }),
		Threshold:  "", FalseAlarms: missing, Misses: missing,
	}
	var counts blemish.Counts
	ms, calibrated := 0.0, true
	for _, s := range sections {
		c := s.Evaluation.Counts
		counts.TP, counts.FP, counts.TN, counts.FN = counts.TP+c.TP, counts.FP+c.FP, counts.TN+c.TN, counts.FN+c.FN
		ms += s.Evaluation.MsPerImage
		calibrated = calibrated && s.Evaluation.Threshold != nil
	}
	if calibrated {
		out.FalseAlarms, out.Misses = falseAlarms(counts), misses(counts)
	}
	out.MsPerImg = strconv.FormatFloat(ms/float64(len(sections)), 'f', 1, 64)
	return out
}

// printable replaces what a terminal would act on instead of showing, such as escape sequences in a file name.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return utf8.RuneError
		}
		return r
	}, s)
}
