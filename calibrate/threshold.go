// Package calibrate turns raw scores into decisions: thresholds with a known false-alarm rate, and p-values. Scores stay raw; a threshold is kept
// beside them and can be found anew from the calibration scores it keeps.
package calibrate

import (
	"fmt"
	"math"
	"slices"

	"github.com/blemish/blemish/fault"
	"github.com/blemish/blemish/metric"
)

// Method is how a threshold was found.
type Method string

const (
	MethodConformal      Method = "conformal"       // good scores that the model has not seen
	MethodCrossConformal Method = "cross-conformal" // good scores, each by a model that has not seen it
	MethodQuantile       Method = "quantile"
	MethodF1Max          Method = "f1max"
	MethodManual         Method = "manual"
)

// Threshold is a decision: a score above Value is anomalous.
type Threshold struct {
	Method         Method    `json:"method"`
	Value          float64   `json:"value"`
	RequestedRate  float64   `json:"requested_rate,omitempty"`  // of false alarms
	GuaranteedRate float64   `json:"guaranteed_rate,omitempty"` // by Method's argument; 0 where it gives none
	Scores         []float64 `json:"scores,omitempty"`          // of good samples, ascending
}

// Anomalous is the verdict on a score.
func (t *Threshold) Anomalous(score float64) bool { return score > t.Value }

// PValue is the share of good samples expected to score at least as much: (1 + #{s_i >= score}) / (n+1). For exchangeable good scores it is at most
// α with probability at most α. NaN where the threshold keeps no scores. (Vovk, Gammerman and Shafer, Algorithmic Learning in a Random World, 2.3)
func (t *Threshold) PValue(score float64) float64 {
	if len(t.Scores) == 0 {
		return math.NaN()
	}
	below, _ := slices.BinarySearch(t.Scores, score) // the number of scores below score
	return float64(1+len(t.Scores)-below) / float64(len(t.Scores)+1)
}

// String says how the threshold was found and what it guarantees.
func (t *Threshold) String() string {
	switch t.Method {
	case MethodConformal:
		return fmt.Sprintf("conformal, false-alarm rate at most %.4g (asked: %.4g), from %d good scores", t.GuaranteedRate, t.RequestedRate, len(t.Scores))
	case MethodCrossConformal:
		return fmt.Sprintf("cross-conformal, false-alarm rate about %.4g (asked: %.4g), from %d good scores", t.GuaranteedRate, t.RequestedRate, len(t.Scores))
	case MethodQuantile:
		return fmt.Sprintf("quantile, rate %.4g of %d good scores, without a guarantee", t.RequestedRate, len(t.Scores))
	case MethodF1Max:
		return "highest F1 on labelled pictures"
	}
	return "set by hand"
}

// TooFewError says that a rate cannot be guaranteed from so few scores.
type TooFewError struct {
	N            int     // scores
	Rate         float64 // asked for
	SmallestRate float64 // that N scores can guarantee: 1/(N+1)
	Needed       int     // scores for Rate
}

func (e *TooFewError) Error() string {
	return fmt.Sprintf("%d good scores cannot guarantee a false-alarm rate of %.4g: %d are needed; the smallest rate they can guarantee is %.4g",
		e.N, e.Rate, e.Needed, e.SmallestRate)
}

// Conformal finds the threshold that a further good score exceeds with probability at most rate, if it is exchangeable with the given ones, which the
// model must not have been fitted on: the k-th smallest of n, k = ceil((n+1)(1-rate)). (Lei et al., JASA 2018, theorem 2.1)
// Too few scores for the rate are a *TooFewError.
func Conformal(scores []float64, rate float64) (Threshold, error) {
	return conformal(MethodConformal, scores, rate)
}

// CrossConformal is Conformal on scores that each come from a model fitted on the other folds. Every picture then serves for fitting and
// for calibration, at the price of a weaker promise: false alarms stay near rate in practice, but only about twice the rate is proven, a little more
// for few folds. (Vovk, Annals of Mathematics and Artificial Intelligence 2015; Barber et al., "Predictive inference with the jackknife+", 2021, theorem 4)
func CrossConformal(scores []float64, rate float64) (Threshold, error) {
	return conformal(MethodCrossConformal, scores, rate)
}

func conformal(method Method, scores []float64, rate float64) (Threshold, error) {
	sorted, err := ascending(scores, rate)
	if err != nil {
		return Threshold{}, err
	}
	n := len(sorted)
	k := rank(n, rate)
	if k > n {
		// rates and their inverses are rarely exact: 1/0.01 is not 100
		return Threshold{}, &TooFewError{N: n, Rate: rate, SmallestRate: 1 / float64(n+1), Needed: int(math.Ceil(1/rate-1e-9)) - 1}
	}
	return Threshold{Method: method, Value: sorted[k-1], RequestedRate: rate, GuaranteedRate: float64(n+1-k) / float64(n+1), Scores: sorted}, nil
}

// rank is ceil((n+1)(1-rate)), safe against the rounding of the product.
func rank(n int, rate float64) int { return n + 1 - int(math.Floor(float64(n+1)*rate+1e-9)) }

func ascending(scores []float64, rate float64) ([]float64, error) {
	if !(rate > 0 && rate < 1) {
		return nil, &fault.ConfigError{Field: "false-alarm rate", Value: rate, Reason: "want more than 0 and less than 1"}
	}
	if len(scores) == 0 {
		return nil, fmt.Errorf("no good scores to calibrate with")
	}
	sorted := slices.Clone(scores)
	for i, s := range sorted {
		if math.IsNaN(s) || math.IsInf(s, 0) {
			return nil, fmt.Errorf("calibration score %d is %v", i, s)
		}
	}
	slices.Sort(sorted)
	return sorted, nil
}

// Quantile finds the threshold that the share rate of the given good scores exceeds, interpolated linearly, without any guarantee.
func Quantile(scores []float64, rate float64) (Threshold, error) {
	sorted, err := ascending(scores, rate)
	if err != nil {
		return Threshold{}, err
	}
	at := (1 - rate) * float64(len(sorted)-1)
	lo := int(at)
	value := sorted[lo]
	if lo+1 < len(sorted) {
		value += (at - float64(lo)) * (sorted[lo+1] - sorted[lo])
	}
	return Threshold{Method: MethodQuantile, Value: value, RequestedRate: rate, Scores: sorted}, nil
}

// F1Max finds the threshold with the highest F1 on labelled scores, and keeps the good ones for p-values.
func F1Max(scores []float64, anomalous []bool) (Threshold, error) {
	best, err := metric.F1Max(scores, anomalous)
	if err != nil {
		return Threshold{}, err
	}
	var good []float64
	for i, s := range scores {
		if !anomalous[i] {
			good = append(good, s)
		}
	}
	slices.Sort(good)
	return Threshold{Method: MethodF1Max, Value: best.Threshold, Scores: good}, nil
}

// Manual is a threshold that somebody chose; there are no p-values with it.
func Manual(value float64) Threshold { return Threshold{Method: MethodManual, Value: value} }
