package outlier

import (
	"encoding/json"
	"math"
	"os"
	"slices"
	"testing"
)

// reduceGolden is scikit-learn's, of testdata/gen/reduce.py.
type reduceGolden struct {
	X, Scaled, Coordinates [][]float64
	Share                  []float64
}

func openReduceGolden(t *testing.T) reduceGolden {
	t.Helper()
	raw, err := os.ReadFile("testdata/reduce.json")
	if err != nil {
		t.Fatal(err)
	}
	var g reduceGolden
	if err := json.Unmarshal(raw, &g); err != nil {
		t.Fatal(err)
	}
	return g
}

func stacked(rows [][]float64) Matrix {
	return Matrix{len(rows), len(rows[0]), slices.Concat(rows...)}
}

func TestRobustScaleIsScikitLearns(t *testing.T) {
	g := openReduceGolden(t)
	want := stacked(g.Scaled)
	got := RobustScale(stacked(g.X))
	for i, v := range want.Data {
		if math.Abs(got.Data[i]-v) > 1e-12*(1+math.Abs(v)) {
			t.Fatalf("value %d: %v, want %v", i, got.Data[i], v)
		}
	}
	rare := NewMatrix(8, 2) // a column whose quartiles agree, and a constant one
	rare.Row(3)[0] = 4
	got = RobustScale(rare) // its deviation is √(16/8 - 0.25)
	if want := 4 / math.Sqrt(1.75); math.Abs(got.Row(3)[0]-want) > 1e-12 || got.Row(0)[0] != 0 || got.Row(3)[1] != 0 {
		t.Errorf("%v", got)
	}
}

func TestPrincipalComponentsAreScikitLearns(t *testing.T) {
	g := openReduceGolden(t)
	x, want := stacked(g.X), stacked(g.Coordinates)
	for keep := 1; keep <= 5; keep++ {
		got, explained, err := Principal(t.Context(), x, 1, keep, nil)
		if err != nil {
			t.Fatal(err)
		}
		share := 0.0
		for _, s := range g.Share[:keep] {
			share += s
		}
		if got.Cols != keep || math.Abs(explained-share) > 1e-10 {
			t.Fatalf("%d components explain %v, want %d and %v", got.Cols, explained, keep, share)
		}
		for j := range keep {
			sign := 1.0
			if got.Row(7)[j]*want.Row(7)[j] < 0 { // either direction of an axis is right
				sign = -1
			}
			for i := range x.Rows {
				// only rounding is left of coordinates of 1 to 1000
				if d := math.Abs(sign*got.Row(i)[j] - want.Row(i)[j]); d > 1e-7 {
					t.Fatalf("row %d, component %d of %d: %v, want %v", i, j, keep, got.Row(i)[j], want.Row(i)[j])
				}
			}
		}
	}
	got, explained, err := Principal(t.Context(), x, 0.99, 12, nil)
	if err != nil {
		t.Fatal(err)
	}
	enough, sum := 0, 0.0
	for sum < 0.99 {
		sum += g.Share[enough]
		enough++
	}
	if got.Cols != enough || explained < 0.99 {
		t.Errorf("99 %% of the variance: %d components, want %d", got.Cols, enough)
	}
}

func TestStandardScale(t *testing.T) {
	got := StandardScale(Matrix{4, 2, []float64{1, 5, 2, 5, 3, 5, 6, 5}}) // mean 3, variance 3.5
	for i, want := range []float64{-2, 0, -1, 0, 0, 0, 3, 0} {
		if math.Abs(got.Data[i]-want/math.Sqrt(3.5)) > 1e-14 {
			t.Errorf("value %d: %v", i, got.Data[i])
		}
	}
}

func TestPrincipalComponentsOfFewAndEqualRows(t *testing.T) {
	g := openReduceGolden(t)
	two := Matrix{2, 12, stacked(g.X).Data[:24]}
	got, explained, err := Principal(t.Context(), two, 1, 8, nil)
	if err != nil {
		t.Fatal(err)
	}
	apart := 0.0
	for j := range 12 {
		apart += math.Pow(two.Row(0)[j]-two.Row(1)[j], 2)
	}
	if got.Cols != 1 || math.Abs(explained-1) > 1e-12 || math.Abs(math.Abs(got.Data[0]-got.Data[1])-math.Sqrt(apart)) > 1e-9 {
		t.Errorf("two rows: %v, %v", got, explained)
	}
	if got, _, err := Principal(t.Context(), NewMatrix(5, 3), 1, 2, nil); err != nil || slices.Max(got.Data) != 0 {
		t.Errorf("equal rows: %v, %v", got, err)
	}
	for _, workers := range []int{2, 5} {
		big := clusters(1000)
		one, _, _ := Principal(t.Context(), big, 1, 3, &Options{Workers: 1})
		many, _, _ := Principal(t.Context(), big, 1, 3, &Options{Workers: workers})
		if !slices.Equal(one.Data, many.Data) {
			t.Errorf("%d workers: other coordinates", workers)
		}
	}
	if _, _, err := Principal(t.Context(), two, 1, 0, nil); err == nil {
		t.Error("no components")
	}
}
