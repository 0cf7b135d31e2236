package outlier

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"slices"
	"testing"
)

// goldenSet is a data set of testdata/gen/neighbours.py.
type goldenSet struct{ x, queries Matrix }

func goldenSets(t testing.TB) map[string]goldenSet {
	t.Helper()
	var raw []struct {
		Name          string
		Cols          int
		Rows, Queries []float64
	}
	golden(t, "sets", &raw)
	sets := map[string]goldenSet{}
	for _, s := range raw {
		sets[s.Name] = goldenSet{Matrix{len(s.Rows) / s.Cols, s.Cols, s.Rows}, Matrix{len(s.Queries) / s.Cols, s.Cols, s.Queries}}
	}
	return sets
}

func golden(t testing.TB, name string, v any) {
	t.Helper()
	raw, err := os.ReadFile("testdata/neighbours/" + name + ".json")
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(raw, v); err != nil {
		t.Fatal(err)
	}
}

// farthest is the largest difference of got from want, relative to want where that is more than unit.
func farthest(got, want []float64, unit float64) float64 {
	if len(got) != len(want) {
		return math.Inf(1)
	}
	worst := 0.0
	for i, w := range want {
		if d := math.Abs(got[i]-w) / max(math.Abs(w), unit); !(d <= worst) {
			worst = d
		}
	}
	return worst
}

func TestTheComparisonCanFail(t *testing.T) {
	for _, c := range []struct {
		got, want []float64
		most      float64
	}{{[]float64{1}, []float64{1, 2}, math.Inf(1)}, {[]float64{2, 3}, []float64{2, 2}, 0.5}, {[]float64{0.5}, []float64{0}, 0.5}} {
		if d := farthest(c.got, c.want, 1); d != c.most {
			t.Errorf("%v from %v: %v, want %v", c.got, c.want, d, c.most)
		}
	}
	if d := farthest([]float64{math.NaN()}, []float64{1}, 1); d <= 1e300 {
		t.Errorf("NaN is %v away", d)
	}
}

// closeTo reports the largest difference where it is above tolerance.
func closeTo(t *testing.T, what string, got, want []float64, unit, tolerance float64) {
	t.Helper()
	d := farthest(got, want, unit)
	if !(d <= tolerance) {
		t.Errorf("%s: off by %.3g, want at most %g", what, d, tolerance)
	}
	if os.Getenv("OUTLIER_AGREEMENT") != "" {
		fmt.Printf("%-70s %.2g\n", t.Name()+" "+what, d)
	}
}

// Distances are exact, so that only the order of sums differs from scikit-learn's, far below 1e-6. Densities of duplicates are 1e10.
func TestLOFIsScikitLearns(t *testing.T) {
	sets := goldenSets(t)
	var cases []struct {
		Set             string
		K               int
		Rank, Score     []float64
		Threshold, Auto float64
	}
	golden(t, "lof", &cases)
	for _, c := range cases {
		t.Run(fmt.Sprintf("%s/%d", c.Set, c.K), func(t *testing.T) {
			set := sets[c.Set]
			config := LOFConfig{NNeighbors: c.K, Contamination: Number(0.1)}
			scores, threshold, err := config.RankRows(context.Background(), set.x, nil)
			if err != nil {
				t.Fatal(err)
			}
			closeTo(t, "rank", scores, c.Rank, 1e-12, 1e-6)
			closeTo(t, "threshold", []float64{threshold}, []float64{c.Threshold}, 1e-12, 1e-6)
			config.Contamination = Auto
			m, err := config.Fit(context.Background(), set.x, nil)
			if err != nil {
				t.Fatal(err)
			}
			scores, err = m.Score(context.Background(), set.queries)
			if err != nil {
				t.Fatal(err)
			}
			closeTo(t, "score", scores, c.Score, 1e-12, 1e-6)
			if m.Threshold() != c.Auto {
				t.Errorf("threshold %v, want %v", m.Threshold(), c.Auto)
			}
		})
	}
}

func TestKNNIsPyODs(t *testing.T) {
	sets := goldenSets(t)
	var cases []struct {
		Set, Method string
		K           int
		Rank, Score []float64
		Threshold   float64
	}
	golden(t, "knn", &cases)
	for _, c := range cases {
		t.Run(c.Set+"/"+c.Method, func(t *testing.T) {
			set := sets[c.Set]
			config := KNNConfig{NNeighbors: c.K, Method: c.Method, Contamination: 0.1}
			ranked, _, err := config.RankRows(context.Background(), set.x, nil)
			if err != nil {
				t.Fatal(err)
			}
			closeTo(t, "rank", ranked, c.Rank, 1e-12, 1e-6)
			m, err := config.Fit(context.Background(), set.x, nil)
			if err != nil {
				t.Fatal(err)
			}
			scores, err := m.Score(context.Background(), set.queries)
			if err != nil {
				t.Fatal(err)
			}
			closeTo(t, "score", scores, c.Score, 1e-12, 1e-6)
			closeTo(t, "threshold", []float64{m.Threshold()}, []float64{c.Threshold}, 1e-12, 1e-6)
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
