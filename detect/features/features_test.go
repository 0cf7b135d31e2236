package features

import (
	"encoding/json"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/blemish/blemish/detect"
	"github.com/blemish/blemish/detect/detecttest"
	"github.com/blemish/blemish/outlier"
	"github.com/blemish/blemish/tensor"
)

func method(t *testing.T, name string) outlier.Method {
	t.Helper()
	m, err := outlier.Lookup(name)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// steps are methods whose scores do not change when a vector changes a little, or (ocsvm, sgd_ocsvm) is far from all others: the kernel is 0 there.
var steps = []string{"iforest", "hbos", "ecod", "copod", "ocsvm", "sgd_ocsvm"}

func TestConformance(t *testing.T) {
	for _, m := range outlier.Methods() {
		if m.Name == "autoencoder" { // for tables
			continue
		}
		t.Run(m.Name, func(t *testing.T) {
			config := DefaultConfig(m)
			config.Pool = []Pool{Mean, Max} // the suite's defect is brighter than the rest of its picture, which is all but constant on average
			detecttest.Run(t, detecttest.Method{Trainer: config, Open: Open(m), Coarse: slices.Contains(steps, m.Name)})
		})
	}
}

func lcg(n int) []float32 {
	out := make([]float32, n)
	for i := range out {
		out[i] = float32(detecttest.Noise(7, i))
	}
	return out
}

func TestPoolingIsWhatItSaysForAnyCellLeftOut(t *testing.T) {
	m := tensor.From(lcg(2*5*6), 2, 5, 6)
	deeper := tensor.From(lcg(3*4), 3, 2, 2)
	c := divide([]*tensor.Tensor{m, deeper}, 16)
	if c.gh != 2 || c.gw != 2 {
		t.Fatalf("%dx%d cells, want as many as the smallest map has positions", c.gh, c.gw)
	}
	for without := -1; without < 4; without++ {
		got := c.vector([]Pool{Std, Mean, Max}, without)
		var want [3][]float64
		for _, m := range []*tensor.Tensor{m, deeper} {
			h, w := m.Shape[1], m.Shape[2]
			for k := range m.Shape[0] {
				var values []float64
				for y := range h {
					for x := range w {
						if y*2/h*2+x*2/w != without {
							values = append(values, float64(m.Data[(k*h+y)*w+x]))
						}
					}
				}
				mean, square := 0.0, 0.0
				for _, v := range values {
					mean += v / float64(len(values))
				}
				for _, v := range values {
					square += (v - mean) * (v - mean) / float64(len(values))
				}
				want[0] = append(want[0], math.Sqrt(square))
				want[1] = append(want[1], mean)
				want[2] = append(want[2], slices.Max(values))
			}
		}
		for i, w := range slices.Concat(want[0], want[1], want[2]) {
			if math.Abs(got[i]-w) > 1e-7 { // of E[x²]-E[x]² in double precision, under a root
				t.Errorf("without cell %d, value %d is %v, want %v", without, i, got[i], w)
			}
		}
	}
}

func TestSpaceKeepsTheVarianceAskedFor(t *testing.T) {
	for _, shape := range [][2]int{{40, 7}, {5, 9}} { // more rows than columns, and fewer
		x := outlier.NewMatrix(shape[0], shape[1])
		for i := range x.Data {
			x.Data[i] = detecttest.Noise(3, i) * float64(i%shape[1]+1)
		}
		for _, share := range []float64{0.5, 0.9, 0.999999} {
			s, err := newSpace(t.Context(), Pooled{Scaling: Raw, KeepVariance: share}, x, 1)
			if err != nil {
				t.Fatal(err)
			}
			k := len(s.axes) / shape[1]
			all := variance(x)
			if kept := variance(s.apply(x)); kept < share*all*(1-1e-12) {
				t.Errorf("%v: %d components keep %v of the variance, want %v", shape, k, kept/all, share)
			}
			fewer := space{s.center, s.scale, s.axes[:max(k-1, 1)*shape[1]]}
			if less := variance(fewer.apply(x)); k > 1 && less >= share*all {
				t.Errorf("%v: %d components would keep %v of the variance, enough for %v", shape, k-1, less/all, share)
			}
		}
	}
}

func variance(x outlier.Matrix) float64 {
	total := 0.0
	for j := range x.Cols {
		mean := 0.0
		for i := range x.Rows {
			mean += x.Row(i)[j] / float64(x.Rows)
		}
		for i := range x.Rows {
			total += (x.Row(i)[j] - mean) * (x.Row(i)[j] - mean)
		}
	}
	return total
}

func TestScaling(t *testing.T) {
	column := []float64{4, 1, 3, 2, 100}
	for _, c := range []struct {
		by            Scaling
		center, scale float64
	}{
		{Standard, 22, 1 / math.Sqrt(1522)}, // ((18²+21²+19²+20²+78²)/5)
		{Robust, 3, 1. / 2},                 // quartiles 2 and 4
		{Raw, 0, 1},
	} {
		center, scale := scaling(c.by, slices.Clone(column))
		if math.Abs(center-c.center) > 1e-12 || math.Abs(scale-c.scale) > 1e-12 {
			t.Errorf("%s: (x - %v)·%v, want (x - %v)·%v", c.by, center, scale, c.center, c.scale)
		}
		if _, scale := scaling(c.by, []float64{0.1, 0.1, 0.1}); scale != 1 {
			t.Errorf("%s: a constant column is scaled by %v", c.by, scale)
		}
	}
}

func TestOptionsAreOneFlatObject(t *testing.T) {
	for _, m := range outlier.Methods() {
		if m.Name == "autoencoder" {
			continue
		}
		raw, err := json.Marshal(DefaultConfig(m))
		if err != nil {
			t.Fatalf("%s: %v", m.Name, err)
		}
		back, err := Parse(m, raw)
		if err != nil {
			t.Fatalf("%s: %v", m.Name, err)
		}
		if again, _ := json.Marshal(back); string(again) != string(raw) {
			t.Errorf("%s: %s became %s", m.Name, raw, again)
		}
	}
	m := method(t, "knn")
	c, err := Parse(m, json.RawMessage(`{"pool":["max","std"],"n_neighbors":3}`))
	if err != nil || !slices.Equal(c.Pool, []Pool{Max, Std}) || c.Scaling != Standard {
		t.Errorf("%+v, %v", c, err)
	}
	for bad, want := range map[string]string{
		`{"pool":[]}`:              "pool",
		`{"pool":["mean","mean"]}`: "pool",
		`{"pool":["median"]}`:      "pool",
		`{"scaling":"minmax"}`:     "scaling",
		`{"keep_variance":0}`:      "keep_variance",
		`{"keep_variance":1.5}`:    "keep_variance",
		`{"map_cells":65}`:         "map_cells",
		`{"no_such_option":1}`:     "no_such_option",
		`{"n_neighbors":0}`:        "n_neighbors",
		`[1]`:                      "array",
	} {
		if _, err := Parse(m, json.RawMessage(bad)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: want an error about %q, got %v", bad, want, err)
		}
	}
}

func TestWithoutCellsThereIsNoMap(t *testing.T) {
	config := DefaultConfig(method(t, "knn"))
	config.MapCells = 0
	d, err := config.Fit(t.Context(), detecttest.Pictures(12), &detect.FitOptions{Extractor: detecttest.Extractor{}})
	if err != nil {
		t.Fatal(err)
	}
	r, err := d.Score(t.Context(), tensor.New(1, 3, 64, 64), nil)
	if err != nil || r[0].Map != nil {
		t.Errorf("map %v, %v", r[0].Map, err)
	}
}

func TestDamagedDoublesAreErrors(t *testing.T) {
	m := method(t, "knn")
	d, err := DefaultConfig(m).Fit(t.Context(), detecttest.Pictures(12), &detect.FitOptions{Extractor: detecttest.Extractor{}})
	if err != nil {
		t.Fatal(err)
	}
	try := func(what string, edit func(map[string]detect.Doubles)) {
		s, err := d.State()
		if err != nil {
			t.Fatal(err)
		}
		for name, a := range s.Doubles {
			s.Doubles[name] = detect.Doubles{Shape: slices.Clone(a.Shape), Data: slices.Clone(a.Data)}
		}
		edit(s.Doubles)
		if _, err := Open(m)(s, detecttest.Extractor{}); err == nil {
			t.Errorf("%s: opened", what)
		}
	}
	s, _ := d.State()
	if len(s.Doubles) < 4 {
		t.Fatalf("only %d arrays", len(s.Doubles))
	}
	try("surplus", func(a map[string]detect.Doubles) { a["more"] = detect.Doubles{Shape: []int{1}, Data: []float64{1}} })
	for name := range s.Doubles {
		try("without "+name, func(a map[string]detect.Doubles) { delete(a, name) })
		try("NaN in "+name, func(a map[string]detect.Doubles) { a[name].Data[0] = math.NaN() })
		try("shorter "+name, func(a map[string]detect.Doubles) {
			n := len(a[name].Data) - 1
			a[name] = detect.Doubles{Shape: []int{n}, Data: a[name].Data[:n]}
		})
		try("another shape of "+name, func(a map[string]detect.Doubles) {
			a[name] = detect.Doubles{Shape: []int{len(a[name].Data) + 1}, Data: a[name].Data}
		})
	}
}
