package outlier

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
)

// Distances are exact, so that only the order of sums differs from scikit-learn's, far below 1e-6. Densities of duplicates are 1e10.
func TestLOFIsThePeers(t *testing.T) {
	sets := goldenSets(t)
	var cases []struct {
		Set             string
		K               int
		Rank, Score     []float64
		Threshold, Auto float64
	}
	readGolden(t, "neighbours/lof", &cases)
	for _, c := range cases {
		t.Run(fmt.Sprintf("%s/%d", c.Set, c.K), func(t *testing.T) {
			name := within("neighbours", c.Set)
			set, own, new := sets[name], subject{"lof", name}, subject{"lof, novelty", name}
			config := LOFConfig{NNeighbors: c.K, Contamination: Number(0.1)}
			scores, threshold, err := config.RankRows(context.Background(), set.x, nil)
			if err != nil {
				t.Fatal(err)
			}
			own.closeTo(t, "rank", scores, c.Rank, 1e-12, 1e-6)
			own.closeTo(t, "threshold", []float64{threshold}, []float64{c.Threshold}, 1e-12, 1e-6)
			config.Contamination = Auto
			m, err := config.Fit(context.Background(), set.x, nil)
			if err != nil {
				t.Fatal(err)
			}
			scores, err = m.Score(context.Background(), set.queries)
			if err != nil {
				t.Fatal(err)
			}
			new.closeTo(t, "score", scores, c.Score, 1e-12, 1e-6)
			if m.Threshold() != c.Auto {
				t.Errorf("threshold %v, want %v", m.Threshold(), c.Auto)
			}
		})
	}
}

func TestKNNIsThePeers(t *testing.T) {
	sets := goldenSets(t)
	var cases []struct {
		Set, Method string
		K           int
		Rank, Score []float64
		Threshold   float64
	}
	readGolden(t, "neighbours/knn", &cases)
	for _, c := range cases {
		t.Run(c.Set+"/"+c.Method, func(t *testing.T) {
			name := within("neighbours", c.Set)
			set, s := sets[name], subject{"knn", name}
			config := KNNConfig{NNeighbors: c.K, Method: c.Method, Contamination: 0.1}
			ranked, _, err := config.RankRows(context.Background(), set.x, nil)
			if err != nil {
				t.Fatal(err)
			}
			s.closeTo(t, "rank", ranked, c.Rank, 1e-12, 1e-6)
			m, err := config.Fit(context.Background(), set.x, nil)
			if err != nil {
				t.Fatal(err)
			}
			scores, err := m.Score(context.Background(), set.queries)
			if err != nil {
				t.Fatal(err)
			}
			s.closeTo(t, "score", scores, c.Score, 1e-12, 1e-6)
			s.closeTo(t, "threshold", []float64{m.Threshold()}, []float64{c.Threshold}, 1e-12, 1e-6)
		})
	}
}

// A row fitted is at no distance from itself, so that Score tells nothing about it: Rank leaves it out.
func TestRankLeavesARowOutOfItsOwnNeighbours(t *testing.T) {
	x := Matrix{4, 1, []float64{0, 1, 2, 10}}
	config := KNNConfig{NNeighbors: 1, Method: "largest", Contamination: 0.25}
	r, err := Rank(context.Background(), config, x, 0, nil)
	if err != nil {
		t.Fatal(err)
	}
	if want := []float64{1, 1, 1, 8}; !slices.Equal(r.Scores, want) || r.Threshold != 2.75 {
		t.Errorf("%v, threshold %v; want %v, 2.75", r.Scores, r.Threshold, want)
	}
	m, err := config.Fit(context.Background(), x, nil)
	if err != nil {
		t.Fatal(err)
	}
	if scores, err := m.Score(context.Background(), x); err != nil || !slices.Equal(scores, make([]float64, 4)) {
		t.Errorf("%v %v, want zeros", scores, err)
	}
}

func TestNeighboursRefuse(t *testing.T) {
	x := Matrix{3, 1, []float64{0, 1, 2}}
	for _, c := range []Config{
		LOFConfig{NNeighbors: 0, Contamination: Auto}, LOFConfig{NNeighbors: 1, Contamination: Number(0.6)}, LOFConfig{NNeighbors: 1, Contamination: Setting{Name: "scale"}},
		KNNConfig{NNeighbors: -1, Method: "mean", Contamination: 0.1}, KNNConfig{NNeighbors: 1, Method: "most", Contamination: 0.1}, KNNConfig{NNeighbors: 1, Method: "mean"},
	} {
		if _, err := c.Fit(context.Background(), x, nil); err == nil {
			t.Errorf("%+v is accepted", c)
		}
	}
	far := Matrix{3, 1, []float64{0, 1, 1e200}}
	for _, c := range []Config{DefaultLOF(), DefaultKNN()} {
		if _, err := Rank(context.Background(), c, far, 0, nil); err == nil {
			t.Errorf("%T ranks distances beyond what float64 squares hold", c)
		}
	}
}

func TestSettingsAreNumbersOrNames(t *testing.T) {
	var c LOFConfig
	if err := json.Unmarshal([]byte(`{"n_neighbors":3,"contamination":0.25}`), &c); err != nil || c.Contamination != Number(0.25) {
		t.Errorf("%+v %v", c, err)
	}
	if err := json.Unmarshal([]byte(`{"contamination":"auto"}`), &c); err != nil || c.Contamination != Auto {
		t.Errorf("%+v %v", c, err)
	}
	for _, bad := range []string{`[1]`, `null`, `""`, `true`} {
		if err := json.Unmarshal([]byte(`{"contamination":`+bad+`}`), &c); err == nil {
			t.Errorf("%s is accepted as %+v", bad, c)
		}
	}
	if raw, err := json.Marshal(DefaultLOF()); err != nil || string(raw) != `{"n_neighbors":20,"contamination":"auto"}` {
		t.Errorf("%s %v", raw, err)
	}
}

// gaussians are n rows of d independent normal values.
func gaussians(seed uint64, n, d int) Matrix {
	rng := rand.New(rand.NewPCG(seed, 1))
	m := NewMatrix(n, d)
	for i := range m.Data {
		m.Data[i] = rng.NormFloat64()
	}
	return m
}

func BenchmarkLOFRank20000x64(b *testing.B) { benchmarkRank(b, DefaultLOF()) }
func BenchmarkKNNRank20000x64(b *testing.B) { benchmarkRank(b, DefaultKNN()) }

func benchmarkRank(b *testing.B, c Config) {
	x := gaussians(1, 20000, 64)
	for b.Loop() {
		if _, err := Rank(context.Background(), c, x, 0, &Options{Workers: 2}); err != nil {
			b.Fatal(err)
		}
	}
}
