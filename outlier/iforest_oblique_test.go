package outlier

import (
	"context"
	"math"
	"testing"
)

// The first split of an oblique tree goes through a point that is uniform in the box around all rows: given its weights w, w·point has mean w·center
// and variance Σ(w·side)²/12, and lies within the box's projection. Over 4,000 trees mean and variance of what is left after both are taken off are
// within four standard errors of 0 and 1 (those of a variance of sums of two uniform numbers are at most √(0.8/4000), those of a product of both 1/√4000).
func TestObliqueSplitsGoThroughTheBoxAroundTheRows(t *testing.T) {
	x := Matrix{Cols: 3}
	low, high := [3]float64{1000, -5, 0}, [3]float64{1001, 5, 40}
	for i := range 64 {
		for j := range 3 {
			at := 0.5 + 0.01*float64(i%5) // most rows in the middle: offsets drawn from the rows, or from their projections, would show
			if i == 2*j {
				at = 0
			} else if i == 2*j+1 {
				at = 1
			}
			x.Data = append(x.Data, low[j]+at*(high[j]-low[j]))
		}
		x.Rows++
	}
	c := DefaultIsolationForest()
	c.ExtensionLevel, c.NEstimators, c.MaxSamples = 1, 4000, Number(64)
	m, err := c.Fit(context.Background(), x, &Options{Seed: 1})
	if err != nil {
		t.Fatal(err)
	}
	var mean, square float64
	seen := map[int32]int{}
	for _, tree := range m.(*IsolationForest).trees {
		center, variance, reach := 0.0, 0.0, 0.0
		for k := range 2 {
			j, w := tree.columns[k], tree.weights[k]
			seen[j]++
			side := w * (high[j] - low[j])
			center += w * (low[j] + high[j]) / 2
			variance += side * side / 12
			reach += math.Abs(side) / 2
		}
		apart := tree.offsets[0] - center
		if math.Abs(apart) > reach*(1+1e-6) {
			t.Fatalf("an offset is %v from the center, the box's projection reaches to %v", apart, reach)
		}
		mean += apart / math.Sqrt(variance) / 4000
		square += apart * apart / variance / 4000
	}
	if math.Abs(mean) > 4/math.Sqrt(4000) {
		t.Errorf("offsets are %v deviations from the center on average", mean)
	}
	if math.Abs(square-1) > 4*math.Sqrt(0.8/4000) {
		t.Errorf("offsets vary by %v of what points in the box give", square)
	}
	for j := range int32(3) { // two of three columns a tree: 8000/3 each, deviation √(4000·2/9)
		if math.Abs(float64(seen[j])-8000./3) > 4*math.Sqrt(4000*2./9) {
			t.Errorf("column %d splits %d times", j, seen[j])
		}
	}
}
