package outlier

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
)

// brisk are the defaults of a method, with less work where the suite needs no more.
func brisk(m Method) Config { return withEpochs(m.Defaults(), 60) }

// withEpochs changes networks alone.
func withEpochs(c Config, epochs int) Config {
	switch c := c.(type) {
	case AutoencoderConfig:
		c.Epochs = epochs
		return c
	case SVDDConfig:
		c.Epochs = epochs
		return c
	default:
		return c
	}
}

// correlated are rows near a plane: five columns, three directions.
func correlated(seed uint64, n int) Matrix {
	z := gaussians(seed, n, 8)
	x := NewMatrix(n, 5)
	for i := range n {
		a, b := z.Row(i)[0], z.Row(i)[1]
		copy(x.Row(i), []float64{a, b, a + b, a - b, 0.5 * a})
		for j := range 5 {
			x.Row(i)[j] += 0.1 * z.Row(i)[2+j]
		}
	}
	return x
}

// TestConformance holds every entry of the table to the package's promises.
func TestConformance(t *testing.T) {
	ctx := context.Background()
	x := correlated(1, 120)
	fresh := correlated(2, 30)
	fresh = Matrix{31, 5, append(slices.Clone(fresh.Data), 9, -8, 9, 8, -9)} // the last row is far, and off the plane
	for _, m := range Methods() {
		t.Run(m.Name, func(t *testing.T) {
			c := brisk(m)
			d, err := c.Fit(ctx, x, &Options{Seed: 3, Workers: 1})
			if err != nil {
				t.Fatal(err)
			}
			scores, err := d.Score(ctx, fresh)
			if err != nil {
				t.Fatal(err)
			}
			for i, v := range scores {
				if v-v != 0 {
					t.Errorf("row %d scores %v", i, v)
				}
				if i < 30 && v >= scores[30] {
					t.Errorf("row %d scores %v, the planted one %v", i, v, scores[30])
				}
			}
			if !(scores[30] > d.Threshold()) {
				t.Errorf("the planted row scores %v, the threshold is %v", scores[30], d.Threshold())
			}
			t.Run("a row alone is a row among others", func(t *testing.T) {
				for i := range fresh.Rows {
					alone, err := d.Score(ctx, Matrix{1, 5, fresh.Row(i)})
					if err != nil || alone[0] != scores[i] {
						t.Errorf("row %d alone: %v %v, among others %v", i, alone, err, scores[i])
					}
				}
				many := NewMatrix(700, 5) // several blocks
				for i := range many.Rows {
					copy(many.Row(i), fresh.Row(i%31))
				}
				all, err := d.Score(ctx, many)
				if err != nil {
					t.Fatal(err)
				}
				for i, v := range all {
					if v != scores[i%31] {
						t.Fatalf("row %d of many scores %v, want %v", i, v, scores[i%31])
					}
				}
			})
			t.Run("any number of workers", func(t *testing.T) { sameForWorkers(t, c, x) })
			t.Run("state", func(t *testing.T) { keepsItsState(t, m, d, fresh, scores) })
			t.Run("refuses", func(t *testing.T) { refusesBadRows(t, c, d, x) })
			t.Run("cancellation", func(t *testing.T) {
				gone, cancel := context.WithCancel(ctx)
				cancel()
				if _, err := c.Fit(gone, x, nil); !errors.Is(err, context.Canceled) {
					t.Errorf("Fit: %v", err)
				}
				if _, err := d.Score(gone, fresh); !errors.Is(err, context.Canceled) {
					t.Errorf("Score: %v", err)
				}
				if _, err := Rank(gone, c, x, 0, nil); !errors.Is(err, context.Canceled) {
					t.Errorf("Rank: %v", err)
				}
			})
			t.Run("hard rows", func(t *testing.T) { survivesHardRows(t, c) })
			t.Run("configuration", func(t *testing.T) {
				raw, err := json.Marshal(m.Defaults())
				if err != nil {
					t.Fatal(err)
				}
				back, err := m.Parse(raw)
				if again, _ := json.Marshal(back); err != nil || string(again) != string(raw) {
					t.Errorf("%s became %s, %v", raw, again, err)
				}
				if _, err := m.Parse(json.RawMessage(`{"no_such_parameter":1}`)); err == nil {
					t.Error("an unknown parameter is accepted")
				}
			})
		})
	}
}

func sameForWorkers(t *testing.T, c Config, x Matrix) {
	ctx := context.Background()
	large := NewMatrix(700, 5) // more than one block of rows
	for i := range large.Rows {
		for j, v := range x.Row(i % x.Rows) {
			large.Row(i)[j] = v + float64(i)/1000
		}
	}
	c = withEpochs(c, 2)
	var first string
	var firstRank []float64
	for _, workers := range []int{1, 2, 5} {
		d, err := c.Fit(ctx, large, &Options{Seed: 3, Workers: workers})
		if err != nil {
			t.Fatal(err)
		}
		s, err := d.State()
		if err != nil {
			t.Fatal(err)
		}
		r, err := Rank(ctx, c, large, 0.1, &Options{Seed: 3, Workers: workers})
		if err != nil {
			t.Fatal(err)
		}
		if workers == 1 {
			first, firstRank = fmt.Sprintf("%x", s.Arrays), append(r.Scores, r.Threshold)
			continue
		}
		if fmt.Sprintf("%x", s.Arrays) != first {
			t.Errorf("%d workers: another state", workers)
		}
		if !slices.Equal(append(r.Scores, r.Threshold), firstRank) {
			t.Errorf("%d workers: another ranking", workers)
		}
	}
}

// keepsItsState opens what is saved, and damaged forms of it: no panic, and no scores that are not numbers.
func keepsItsState(t *testing.T, m Method, d Detector, fresh Matrix, scores []float64) {
	ctx := context.Background()
	s, err := d.State()
	if err != nil {
		t.Fatal(err)
	}
	back, err := m.Open(s)
	if err != nil {
		t.Fatal(err)
	}
	again, err := back.Score(ctx, fresh)
	if err != nil || !slices.Equal(again, scores) || back.Threshold() != d.Threshold() {
		t.Errorf("opened, it scores otherwise: %v", err)
	}
	twice, err := back.State()
	if err != nil || fmt.Sprintf("%x%s", twice.Arrays, twice.Config) != fmt.Sprintf("%x%s", s.Arrays, s.Config) {
		t.Errorf("opened, it has another state: %v", err)
	}
	for name := range s.Arrays {
		for how, damage := range map[string]func(a Array) (Array, bool){
			"missing":   func(a Array) (Array, bool) { return a, false },
			"empty":     func(a Array) (Array, bool) { return Array{}, true },
			"no values": func(a Array) (Array, bool) { return Array{a.Shape, nil}, true },
			"shorter": func(a Array) (Array, bool) {
				a.Data = a.Data[:len(a.Data)-1]
				return a, true
			},
			"another rank": func(a Array) (Array, bool) { return Array{append([]int{1}, a.Shape...), a.Data}, true },
			"negative":     func(a Array) (Array, bool) { return Array{[]int{-1, -len(a.Data)}, a.Data}, true },
			"overflowing":  func(a Array) (Array, bool) { return Array{[]int{1 << 32, 1 << 32}, a.Data}, true },
			"NaN": func(a Array) (Array, bool) {
				a.Data = slices.Clone(a.Data)
				a.Data[len(a.Data)/2] = math.NaN()
				return a, true
			},
			"infinite": func(a Array) (Array, bool) {
				a.Data = slices.Clone(a.Data)
				a.Data[0] = math.Inf(1)
				return a, true
			},
		} {
			bad := State{Config: s.Config, Arrays: map[string]Array{}}
			for k, v := range s.Arrays {
				bad.Arrays[k] = v
			}
			delete(bad.Arrays, name)
			if a, keep := damage(s.Arrays[name]); keep {
				bad.Arrays[name] = a
			}
			if _, err := m.Open(bad); err == nil {
				t.Errorf("%s %s: opened", name, how)
			}
		}
		for _, v := range []float64{0, -1, 0.5, 1e9, 1e300, -1e300} { // opened or not, it must not panic
			bad := State{Config: s.Config, Arrays: map[string]Array{}}
			for k, v := range s.Arrays {
				bad.Arrays[k] = v
			}
			a := Array{s.Arrays[name].Shape, slices.Clone(s.Arrays[name].Data)}
			for i := range a.Data {
				a.Data[i] = v
			}
			bad.Arrays[name] = a
			if opened, err := m.Open(bad); err == nil {
				if got, err := opened.Score(ctx, fresh); err == nil && slices.ContainsFunc(got, func(v float64) bool { return v-v != 0 }) {
					t.Errorf("%s filled with %v: scores %v", name, v, got)
				}
			}
		}
	}
	for _, raw := range []string{``, `null0`, `[]`, `{"contamination":7,"threshold":-1,"n_neighbors":0,"layers":[0,0]}`} {
		if _, err := m.Open(State{Config: json.RawMessage(raw), Arrays: s.Arrays}); err == nil {
			t.Errorf("configuration %q: opened", raw)
		}
	}
	if _, err := m.Open(State{Config: s.Config}); err == nil {
		t.Error("opened without arrays")
	}
}

func refusesBadRows(t *testing.T, c Config, d Detector, x Matrix) {
	ctx := context.Background()
	for what, bad := range map[string]Matrix{
		"fewer columns": {3, 4, make([]float64, 12)}, "more columns": {3, 6, make([]float64, 18)}, "too few values": {3, 5, make([]float64, 14)},
		"NaN": {1, 5, []float64{0, 0, math.NaN(), 0, 0}}, "infinity": {1, 5, []float64{0, 0, math.Inf(-1), 0, 0}},
	} {
		if _, err := d.Score(ctx, bad); err == nil {
			t.Errorf("%s: scored", what)
		}
	}
	for what, bad := range map[string]Matrix{
		"no rows": {0, 5, nil}, "one row": {1, 5, make([]float64, 5)}, "no columns": {5, 0, nil}, "too few values": {3, 5, make([]float64, 14)},
		"NaN": {2, 2, []float64{0, 0, math.NaN(), 0}}, "infinity": {2, 2, []float64{0, 0, math.Inf(-1), 0}},
	} {
		if _, err := c.Fit(ctx, bad, nil); err == nil {
			t.Errorf("%s: fitted", what)
		}
		if _, err := Rank(ctx, c, bad, 0, nil); err == nil {
			t.Errorf("%s: ranked", what)
		}
	}
	if _, err := Rank(ctx, c, x, 0.7, nil); err == nil {
		t.Error("ranked with a contamination of 0.7")
	}
}

// survivesHardRows wants finite scores or a clear error, and no panic.
func survivesHardRows(t *testing.T, c Config) {
	ctx := context.Background()
	c = withEpochs(c, 1)
	duplicates := NewMatrix(40, 3)
	for i := range duplicates.Rows {
		copy(duplicates.Row(i), []float64{float64(i % 3), float64(i % 2), 1.5 * float64(i%3)})
	}
	constant := gaussians(5, 50, 4)
	for i := range constant.Rows {
		constant.Row(i)[1], constant.Row(i)[3] = 0.1, 0
	}
	ties := NewMatrix(60, 2)
	for i := range ties.Data {
		ties.Data[i] = float64(i * i % 7)
	}
	tiny := gaussians(6, 30, 3)
	for i := range tiny.Data {
		tiny.Data[i] *= 1e-160
	}
	for name, x := range map[string]Matrix{
		"duplicates": duplicates, "constant columns": constant, "ties": ties, "more columns than rows": gaussians(7, 10, 30),
		"two rows": {2, 3, []float64{0, 1, 2, 3, 5, 7}}, "all equal": {5, 2, []float64{1, 2, 1, 2, 1, 2, 1, 2, 1, 2}}, "one column": gaussians(8, 25, 1),
		"tiny": tiny, "huge": {3, 2, []float64{1e200, 0, -1e200, 1, 0, 1e308}},
	} {
		r, err := Rank(ctx, c, x, 0.1, nil)
		if err != nil {
			if len(err.Error()) < 20 {
				t.Errorf("%s: unclear error: %v", name, err)
			}
			t.Logf("%s: %v", name, err)
			continue
		}
		if len(r.Scores) != x.Rows {
			t.Errorf("%s: %d scores of %d rows", name, len(r.Scores), x.Rows)
		}
		for i, v := range append(r.Scores, r.Threshold) {
			if v-v != 0 {
				t.Errorf("%s: score %d is %v", name, i, v)
			}
		}
	}
}

// What a method cannot hold is refused by its place, also among more rows than are looked at together.
func TestRowsTooFarToJudgeAreRefused(t *testing.T) {
	x := gaussians(3, 100, 5)
	far := gaussians(4, 4000, 5)
	far.Row(3501)[2] = 1e200
	for name, c := range map[string]Config{"gmm": DefaultGMM(), "iforest": DefaultIsolationForest(), "sgd_ocsvm": DefaultSGDOneClassSVM()} {
		d, err := c.Fit(context.Background(), x, nil)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := d.Score(context.Background(), far); err == nil || !strings.Contains(err.Error(), "row 3501, column 2 (both from 0) is 1e+200") {
			t.Errorf("%s: %v", name, err)
		}
	}
}
