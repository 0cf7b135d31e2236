// Package metric measures how well raw scores tell anomalous from good, exactly: no binning, no normalising. A higher score is more
// anomalous; something is called anomalous when its score is above a threshold.
package metric

import (
	"errors"
	"fmt"
	"math"
	"slices"
)

// ErrOneClass says that a figure needs both good and anomalous samples.
var ErrOneClass = errors.New("good and anomalous samples are both needed")

// step is the state of a ranking after all samples of one score, from the highest down.
type step struct {
	score  float64
	tp, fp int
}

// ranking sorts samples and counts those at or above each distinct score.
func ranking(scores []float64, anomalous []bool) (steps []step, positives, negatives int, err error) {
	if len(scores) != len(anomalous) {
		panic(fmt.Sprintf("metric: %d scores and %d labels", len(scores), len(anomalous)))
	}
	order := make([]int, len(scores))
	for i := range order {
		order[i] = i
		if math.IsNaN(scores[i]) {
			return nil, 0, 0, fmt.Errorf("score %d is not a number", i)
		}
	}
	slices.SortFunc(order, func(a, b int) int {
		switch {
		case scores[a] > scores[b]:
			return -1
		case scores[a] < scores[b]:
			return 1
		}
		return 0
	})
	for i, at := range order {
		if anomalous[at] {
			positives++
		} else {
			negatives++
		}
		if i+1 == len(order) || scores[order[i+1]] != scores[at] {
			steps = append(steps, step{scores[at], positives, negatives})
		}
	}
	if positives == 0 || negatives == 0 {
		return nil, positives, negatives, ErrOneClass
	}
	return steps, positives, negatives, nil
}

// AUROC is the area under the ROC curve: the probability that an anomalous sample scores higher than a good one, ties counting half.
func AUROC(scores []float64, anomalous []bool) (float64, error) {
	steps, positives, negatives, err := ranking(scores, anomalous)
	if err != nil {
		return 0, err
	}
	area, tp, fp := 0.0, 0, 0
	for _, s := range steps {
		area += float64(s.fp-fp) * float64(s.tp+tp) / 2
		tp, fp = s.tp, s.fp
	}
	return area / float64(positives) / float64(negatives), nil
}

// AveragePrecision is Σ (R_k - R_k-1)·P_k over distinct thresholds, as scikit-learn's average_precision_score.
func AveragePrecision(scores []float64, anomalous []bool) (float64, error) {
	steps, positives, _, err := ranking(scores, anomalous)
	if err != nil {
		return 0, err
	}
	sum, tp := 0.0, 0
	for _, s := range steps {
		sum += float64(s.tp-tp) * float64(s.tp) / float64(s.tp+s.fp)
		tp = s.tp
	}
	return sum / float64(positives), nil
}

// Best is a figure and the threshold at which it is reached.
type Best struct {
	Value     float64
	Threshold float64
}

// F1Max is the highest F1 score of any threshold, and the threshold halfway to the next lower score.
func F1Max(scores []float64, anomalous []bool) (Best, error) {
	steps, positives, _, err := ranking(scores, anomalous)
	if err != nil {
		return Best{}, err
	}
	best := Best{Value: -1}
	for i, s := range steps {
		f1 := 2 * float64(s.tp) / float64(s.tp+s.fp+positives)
		if f1 > best.Value {
			below := math.Nextafter(s.score, math.Inf(-1))
			if i+1 < len(steps) {
				if half := steps[i+1].score + (s.score-steps[i+1].score)/2; half < s.score {
					below = half
				}
			}
			best = Best{f1, below}
		}
	}
	return best, nil
}

// Confusion counts verdicts; an anomalous sample is a positive.
type Confusion struct{ TP, FP, TN, FN int }

// Confuse counts the verdicts of a threshold.
func Confuse(scores []float64, anomalous []bool, threshold float64) Confusion {
	var c Confusion
	for i, s := range scores {
		switch {
		case s > threshold && anomalous[i]:
			c.TP++
		case s > threshold:
			c.FP++
		case anomalous[i]:
			c.FN++
		default:
			c.TN++
		}
	}
	return c
}

// BalancedAccuracy is the mean of the shares of anomalous and of good samples that a threshold judges rightly.
func BalancedAccuracy(scores []float64, anomalous []bool, threshold float64) (float64, error) {
	c := Confuse(scores, anomalous, threshold)
	if c.TP+c.FN == 0 || c.TN+c.FP == 0 {
		return 0, ErrOneClass
	}
	return (float64(c.TP)/float64(c.TP+c.FN) + float64(c.TN)/float64(c.TN+c.FP)) / 2, nil
}

// Point is a point of a curve.
type Point struct{ X, Y float64 }

// ROC is the curve of true-positive over false-positive rate, from (0,0) to (1,1).
func ROC(scores []float64, anomalous []bool) ([]Point, error) {
	steps, positives, negatives, err := ranking(scores, anomalous)
	if err != nil {
		return nil, err
	}
	curve := []Point{{0, 0}}
	for _, s := range steps {
		curve = append(curve, Point{float64(s.fp) / float64(negatives), float64(s.tp) / float64(positives)})
	}
	return curve, nil
}

// PR is the curve of precision over recall, from recall 0 (with the precision of the highest score) to 1.
func PR(scores []float64, anomalous []bool) ([]Point, error) {
	steps, positives, _, err := ranking(scores, anomalous)
	if err != nil {
		return nil, err
	}
	curve := []Point{{0, float64(steps[0].tp) / float64(steps[0].tp+steps[0].fp)}}
	for _, s := range steps {
		curve = append(curve, Point{float64(s.tp) / float64(positives), float64(s.tp) / float64(s.tp+s.fp)})
	}
	return curve, nil
}
