package blemish_test

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/blemish/blemish"
	"github.com/blemish/blemish/outlier"
	"github.com/blemish/blemish/synth"
)

func TestTailProbabilitiesOfAnExponentialAreItsOwn(t *testing.T) {
	const n = 4001 // the quantiles (i+0.5)/n of an exponential distribution, shuffled; its tail is exp(-s)
	var scores []float64
	for _, i := range rand.New(rand.NewPCG(1, 1)).Perm(n) {
		scores = append(scores, -math.Log1p(-(float64(i)+0.5)/n))
	}
	for i, p := range blemish.TailProbabilities(scores) {
		if want := math.Exp(-scores[i]); math.Abs(math.Log(p/want)) > 0.02 { // of 4001 points
			t.Fatalf("score %v: p %v, want %v", scores[i], p, want)
		}
	}
}

func TestTailProbabilitiesAreSetByTheBulk(t *testing.T) {
	scores := []float64{0, 1, 2, 3, 4, 5, 6, 7, 8} // median 4, upper quartile 6
	p := blemish.TailProbabilities(scores)
	for s, want := range map[int]float64{0: 1, 4: 5. / 9, 6: 0.25, 8: 0.125} {
		if math.Abs(p[s]-want) > 1e-12 {
			t.Errorf("score %d: p %v, want %v", s, p[s], want)
		}
	}
	scores[8] = 1000 // an outlier changes no other's
	if q := blemish.TailProbabilities(scores); !slices.Equal(q[:8], p[:8]) || q[8] > 1e-100 {
		t.Errorf("%v became %v", p, q)
	}
	if p := blemish.TailProbabilities([]float64{3, 3, 3, 3, 5}); p[0] != 1 || p[4] != 0.2 { // no spread: shares
		t.Errorf("ties: %v", p)
	}
	if p := blemish.TailProbabilities(nil); len(p) != 0 {
		t.Error("nothing has probabilities")
	}
}

func table(n int) outlier.Matrix {
	rng := rand.New(rand.NewPCG(2, 2))
	x := outlier.NewMatrix(n, 3)
	for i := range n {
		for j, scale := range []float64{1, 1e3, 1e-3} {
			x.Row(i)[j] = rng.NormFloat64() * scale
		}
	}
	x.Row(n / 3)[2] = 0.05 // far out in the smallest column
	return x
}

func TestRankRows(t *testing.T) {
	x := table(300)
	got, err := blemish.RankRows(t.Context(), x, blemish.OutlierConfig{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if got.Method != "knn" || got.Ranked[0].Index != 100 || !got.Ranked[0].Anomalous || got.Ranked[0].PValue > 1e-6 || len(got.Ranked) != 300 {
		t.Errorf("method %s, first %+v", got.Method, got.Ranked[0])
	}
	for i, r := range got.Ranked {
		if r.Rank != i+1 || i > 0 && r.Score > got.Ranked[i-1].Score {
			t.Fatalf("place %d: %+v", i, r)
		}
	}
	plain, err := blemish.RankRows(t.Context(), x, blemish.OutlierConfig{Scale: blemish.NoOutlierScale}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if plain.Ranked[0].Index == 100 {
		t.Error("without scaling, the largest column must hide the smallest one's outlier")
	}
	tenth, err := blemish.RankRows(t.Context(), x, blemish.OutlierConfig{Contamination: 0.05, Components: 2}, nil)
	if err != nil {
		t.Fatal(err)
	}
	above := 0
	for _, r := range tenth.Ranked {
		if r.Anomalous {
			above++
		}
	}
	if above != 15 || !strings.Contains(tenth.Prepared, "2 whitened principal components") {
		t.Errorf("%d rows above the threshold, %s", above, tenth.Prepared)
	}
	epochs := 0
	_, err = blemish.RankRows(t.Context(), x, blemish.OutlierConfig{
		Method: "autoencoder", MethodOptions: json.RawMessage(`{"epochs":3}`), EpochEnd: func(epoch int, _ float64) { epochs += epoch + 1 },
	}, nil)
	if err != nil || epochs != 1+2+3 {
		t.Errorf("epochs add up to %d: %v", epochs, err)
	}
	for _, c := range []blemish.OutlierConfig{{Method: "magic"}, {Scale: "log"}, {Contamination: 0.7}, {MethodOptions: json.RawMessage(`{"k":1}`)}} {
		if _, err := blemish.RankRows(t.Context(), x, c, nil); err == nil {
			t.Errorf("%+v was taken", c)
		}
	}
}

// surface are rendered pictures of metal, but for two of cloth.
type surface struct{ cloth []int }

func (s surface) Len() int { return 16 }

func (s surface) Picture(_ context.Context, i int) (blemish.Picture, error) {
	if i == 5 {
		return blemish.Picture{}, fmt.Errorf("picture %d is unreadable", i)
	}
	spec := synth.Spec{Surface: "brushed metal", Seed: 9, Index: i}
	if slices.Contains(s.cloth, i) {
		spec.Surface = "woven cloth"
	}
	p, _, err := synth.Render(spec)
	return blemish.Picture{Path: fmt.Sprint(i), Image: p}, err
}

func TestRankPictures(t *testing.T) {
	s := surface{cloth: []int{3, 11}}
	if _, err := blemish.RankPictures(t.Context(), s, blemish.OutlierConfig{}, nil); err == nil || !strings.Contains(err.Error(), "picture 5 is unreadable") {
		t.Errorf("an unreadable picture: %v", err)
	}
	skip := &blemish.Options{Bad: func(blemish.BadPicture) error { return nil }}
	got, err := blemish.RankPictures(t.Context(), s, blemish.OutlierConfig{}, skip)
	if err != nil {
		t.Fatal(err)
	}
	first := []int{got.Ranked[0].Index, got.Ranked[1].Index}
	slices.Sort(first)
	if !slices.Equal(first, s.cloth) || len(got.Ranked) != 15 {
		t.Errorf("first are %v of %d, want %v", first, len(got.Ranked), s.cloth)
	}
	for _, r := range got.Ranked {
		if r.Path != fmt.Sprint(r.Index) {
			t.Errorf("picture %s has index %d", r.Path, r.Index)
		}
	}
	skip.Workers = 1
	one, err := blemish.RankPictures(t.Context(), s, blemish.OutlierConfig{}, skip)
	if err != nil || !slices.Equal(one.Ranked, got.Ranked) {
		t.Errorf("one worker ranks otherwise (%v)", err)
	}
}
