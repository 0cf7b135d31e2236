package calibrate

import (
	"encoding/json"
	"errors"
	"math"
	"math/rand/v2"
	"reflect"
	"testing"
)

// The share of false alarms of a conformal threshold, over all good scores, is Beta(n+1-k, k) distributed; its mean is at most the rate.
// Over 1,000 resamples the mean's standard error is known, so that 4 of them bound the test from both sides.
func TestConformalKeepsItsGuaranteeOver1000Resamples(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for _, c := range []struct {
		n    int
		rate float64
	}{{99, 0.01}, {148, 0.01}, {59, 0.05}, {500, 0.1}} {
		const resamples = 1000
		alarms, small := 0.0, 0.0
		for range resamples {
			scores := make([]float64, c.n)
			for i := range scores {
				scores[i] = rng.NormFloat64()
			}
			th, err := Conformal(scores, c.rate)
			if err != nil {
				t.Fatal(err)
			}
			// the exact share of a normal's scores above the threshold, and the p-value of one more
			alarms += math.Erfc(th.Value/math.Sqrt2) / 2
			if th.PValue(rng.NormFloat64()) <= c.rate {
				small++
			}
			if th.GuaranteedRate > c.rate+1e-12 {
				t.Fatalf("n=%d: guarantees %v, asked %v", c.n, th.GuaranteedRate, c.rate)
			}
		}
		k := float64(rank(c.n, c.rate))
		a, b := float64(c.n)+1-k, k
		mean, deviation := a/(a+b), math.Sqrt(a*b/((a+b)*(a+b)*(a+b+1)))
		if got, e := alarms/resamples, 4*deviation/math.Sqrt(resamples); math.Abs(got-mean) > e {
			t.Errorf("n=%d rate=%v: false alarms %v, want %v±%v", c.n, c.rate, got, mean, e)
		}
		if got, e := small/resamples, 4*math.Sqrt(c.rate*(1-c.rate)/resamples); got > c.rate+e {
			t.Errorf("n=%d: p-values are at most %v with frequency %v", c.n, c.rate, got)
		}
	}
}

func TestConformalByHand(t *testing.T) {
	scores := []float64{9, 1, 5, 3, 7, 2, 8, 4, 6} // 1..9: k = ceil(10·0.8) = 8
	th, err := Conformal(scores, 0.2)
	if err != nil || th.Value != 8 || th.GuaranteedRate != 0.2 {
		t.Errorf("threshold %+v, %v; want 8 with rate 0.2", th, err)
	}
	for score, want := range map[float64]float64{0: 1, 1: 1, 5: 0.6, 5.5: 0.5, 9: 0.2, 10: 0.1} {
		if got := th.PValue(score); got != want {
			t.Errorf("p-value of %v is %v, want %v", score, got, want)
		}
	}
	if th.Anomalous(8) || !th.Anomalous(8.5) {
		t.Error("only scores above the threshold are anomalous")
	}
	if scores[0] != 9 {
		t.Error("the caller's scores were sorted")
	}
}

func TestTooFewScoresSayWhatTheyCanGuarantee(t *testing.T) {
	var few *TooFewError
	_, err := Conformal(make([]float64, 60), 0.01)
	if !errors.As(err, &few) || few.SmallestRate != 1./61 || few.Needed != 99 {
		t.Errorf("60 scores for 1 %%: %v", err)
	}
	if _, err := Conformal(make([]float64, 99), 0.01); err != nil {
		t.Errorf("99 scores are enough for 1 %%: %v", err)
	}
	if _, err := Conformal(make([]float64, 60), few.SmallestRate); err != nil {
		t.Errorf("the rate said to be possible is not: %v", err)
	}
}

func TestOtherThresholds(t *testing.T) {
	q, err := Quantile([]float64{0, 10, 20, 30, 40}, 0.25)
	if err != nil || q.Value != 30 { // numpy.quantile([0,10,20,30,40], 0.75)
		t.Errorf("quantile %+v, %v", q, err)
	}
	f, err := F1Max([]float64{1, 2, 3, 4}, []bool{false, false, true, true})
	if err != nil || f.Value != 2.5 || f.PValue(2) != 2./3 {
		t.Errorf("F1-max %+v, %v", f, err)
	}
	m := Manual(3)
	if !m.Anomalous(3.1) || m.Anomalous(3) || !math.IsNaN(m.PValue(3)) {
		t.Error("manual threshold")
	}
	for _, bad := range [][]float64{nil, {math.NaN()}, {math.Inf(1)}} {
		if _, err := Conformal(bad, 0.5); err == nil {
			t.Errorf("scores %v are accepted", bad)
		}
	}
	for _, rate := range []float64{0, 1, -1, math.NaN()} {
		if _, err := Conformal([]float64{1, 2}, rate); err == nil {
			t.Errorf("rate %v is accepted", rate)
		}
	}
}

func TestThresholdSurvivesJSON(t *testing.T) {
	th, err := CrossConformal([]float64{0.1, 1. / 3, 2e-9}, 0.5)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := json.Marshal(th)
	if err != nil {
		t.Fatal(err)
	}
	var back Threshold
	if err := json.Unmarshal(raw, &back); err != nil || !reflect.DeepEqual(th, back) {
		t.Errorf("%+v became %+v, %v", th, back, err)
	}
}
