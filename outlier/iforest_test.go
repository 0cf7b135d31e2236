package outlier

import (
	"context"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/blemish/blemish/metric"
)

// plantTree lays scikit-learn's nodes out so that siblings lie together.
func plantTree(left, right, feature []int, threshold []float64, samples []int) isolationTree {
	t := isolationTree{nodes: make([]isolationNode, 1), samples: []int32{0}}
	var copyNode func(to, from int)
	copyNode = func(to, from int) {
		t.samples[to] = int32(samples[from])
		if left[from] < 0 {
			return
		}
		child := len(t.nodes)
		t.nodes = append(t.nodes, isolationNode{}, isolationNode{})
		t.samples = append(t.samples, 0, 0)
		t.nodes[to] = isolationNode{roundDown(threshold[from]), int32(feature[from]), int32(child)}
		copyNode(child, left[from])
		copyNode(child+1, right[from])
	}
	copyNode(0, 0)
	t.finish()
	return t
}

// The same trees give the same paths: whole numbers and logarithms, added in the same order.
func TestIsolationForestScoresThePeersTrees(t *testing.T) {
	sets := goldenSets(t)
	var cases []struct {
		Set     string
		Samples int
		Trees   []struct {
			Left, Right, Feature, Samples []int
			Threshold                     []float64
		}
		Fitted, Score []float64
		Threshold     float64
	}
	readGolden(t, "neighbours/iforest", &cases)
	for _, c := range cases {
		t.Run(c.Set, func(t *testing.T) {
			name := within("neighbours", c.Set)
			set, s := sets[name], subject{"iforest, same trees", name}
			f := &IsolationForest{cols: set.x.Cols, samples: c.Samples}
			for _, tree := range c.Trees {
				f.trees = append(f.trees, plantTree(tree.Left, tree.Right, tree.Feature, tree.Threshold, tree.Samples))
			}
			scores, err := f.Score(context.Background(), set.queries)
			if err != nil {
				t.Fatal(err)
			}
			s.closeTo(t, "score", scores, c.Score, 1e-12, 1e-12)
			if scores, err = f.Score(context.Background(), set.x); err != nil {
				t.Fatal(err)
			}
			s.closeTo(t, "fitted", scores, c.Fitted, 1e-12, 1e-12)
			s.closeTo(t, "threshold", []float64{quantile(scores, 0.9)}, []float64{c.Threshold}, 1e-12, 1e-12)
		})
	}
}

// Of 2 rows 1; the others by scikit-learn.
func TestAveragePath(t *testing.T) {
	for n, want := range map[int]float64{0: 0, 1: 0, 2: 1, 3: 1.207392357589623, 256: 10.244770920119917} {
		if got := averagePath(n); math.Abs(got-want) > 1e-12 {
			t.Errorf("%d rows: %v, want %v", n, got, want)
		}
	}
}

func TestIsolationTreesSplitAsTheyShould(t *testing.T) {
	x := gaussians(3, 500, 6)
	for i := range x.Rows {
		x.Row(i)[2] = 7 // cannot be split
	}
	for _, level := range []int{0, 2} {
		c := IsolationForestConfig{NEstimators: 40, MaxSamples: Number(100), MaxFeatures: 4, Contamination: Auto, ExtensionLevel: level}
		d, err := c.Fit(context.Background(), x, &Options{Seed: 5})
		if err != nil {
			t.Fatal(err)
		}
		split := map[int32]int{}
		for _, tree := range d.(*IsolationForest).trees {
			own := map[int32]bool{}
			for i, n := range tree.nodes {
				if int(n.left) == i {
					continue
				}
				if tree.samples[i] != tree.samples[n.left]+tree.samples[n.left+1] {
					t.Fatalf("level %d: node of %d rows, children of %d and %d", level, tree.samples[i], tree.samples[n.left], tree.samples[n.left+1])
				}
				if level == 0 {
					if min(tree.samples[n.left], tree.samples[n.left+1]) == 0 {
						t.Fatal("a straight split leaves a side empty")
					}
					own[n.feature] = true
				}
				for _, c := range tree.columns[i*tree.width : (i+1)*tree.width] {
					own[c] = true
				}
			}
			if tree.samples[0] != 100 || tree.levels > 7 || len(own) > 4 {
				t.Fatalf("level %d: %d rows, %d levels, columns %v; want 100, at most 7, at most 4 of them", level, tree.samples[0], tree.levels, own)
			}
			for c := range own {
				split[c]++
			}
		}
		if level == 0 && split[2] > 0 || len(split) < 5 {
			t.Errorf("level %d: columns are split %v times", level, split)
		}
	}
}

func TestDrawnRowsAreDistinctOrNot(t *testing.T) {
	g := grower{rng: rand.New(rand.NewPCG(1, 1))}
	seen := make([]int, 10)
	for range 2000 {
		rows := g.drawRows(10, 4, false)
		slices.Sort(rows)
		if len(slices.Compact(slices.Clone(rows))) != 4 {
			t.Fatalf("%v", rows)
		}
		for _, r := range rows {
			seen[r]++
		}
	}
	// 800 each, deviation √(2000·0.4·0.6) = 22
	if slices.Min(seen) < 690 || slices.Max(seen) > 910 {
		t.Errorf("drawn %v times", seen)
	}
	if rows := g.drawRows(3, 50, true); slices.Max(rows) > 2 || slices.Min(rows) < 0 {
		t.Errorf("%v", rows)
	}
}

// ring is n rows around a circle in the first two of d columns, and n/20 in its middle: outliers that no single column shows.
func ring(seed uint64, n, d int) (x Matrix, labels []bool) {
	x = gaussians(seed, n, d)
	labels = make([]bool, n)
	for i := range n {
		row := x.Row(i)
		angle := row[0] * 40
		radius := 3 + 0.1*row[1]
		if labels[i] = i%20 == 0; labels[i] {
			radius = 0.5 * row[1]
		}
		row[0], row[1] = radius*math.Cos(angle), radius*math.Sin(angle)
	}
	return x, labels
}

// scikit-learn's mean over 30 seeds on the same rows, with its standard deviation: testdata/gen/neighbours.py. The mean of 30 runs here may
// differ by 4 standard errors of the difference, 4·√(2/30) deviations.
func TestIsolationForestIsAsGoodAsScikitLearnsOver30Seeds(t *testing.T) {
	sets := goldenSets(t)
	var cases []struct {
		Set             string
		Labels          []bool
		Mean, Deviation float64
	}
	readGolden(t, "neighbours/iforest_auroc", &cases)
	for _, c := range cases {
		sum := 0.0
		for seed := range uint64(30) {
			r, err := Rank(context.Background(), DefaultIsolationForest(), sets["neighbours/"+c.Set].x, 0, &Options{Seed: seed})
			if err != nil {
				t.Fatal(err)
			}
			auroc, err := metric.AUROC(r.Scores, c.Labels)
			if err != nil {
				t.Fatal(err)
			}
			sum += auroc / 30
		}
		t.Logf("%s: AUROC %.4f, scikit-learn's %.4f ± %.4f", c.Set, sum, c.Mean, c.Deviation)
		if math.Abs(sum-c.Mean) > 4*math.Sqrt(2./30)*c.Deviation {
			t.Errorf("%s: mean AUROC %.4f, scikit-learn's %.4f ± %.4f", c.Set, sum, c.Mean, c.Deviation)
		}
	}
}

func TestObliqueSplitsFindWhatLiesBetween(t *testing.T) {
	x, labels := ring(9, 1000, 2)
	mean := func(level int) (sum float64) {
		c := DefaultIsolationForest()
		c.ExtensionLevel = level
		for seed := range uint64(5) {
			r, err := Rank(context.Background(), c, x, 0, &Options{Seed: seed})
			if err != nil {
				t.Fatal(err)
			}
			auroc, err := metric.AUROC(r.Scores, labels)
			if err != nil {
				t.Fatal(err)
			}
			sum += auroc / 5
		}
		return sum
	}
	straight, oblique := mean(0), mean(1)
	t.Logf("AUROC straight %.3f, oblique %.3f", straight, oblique)
	if !(oblique > straight+0.03) {
		t.Errorf("AUROC straight %.3f, oblique %.3f", straight, oblique)
	}
}

func TestIsolationForestRefuses(t *testing.T) {
	x := gaussians(1, 5, 3)
	for _, f := range []func(*IsolationForestConfig){
		func(c *IsolationForestConfig) { c.NEstimators = 0 },
		func(c *IsolationForestConfig) { c.MaxSamples = Number(0) },
		func(c *IsolationForestConfig) { c.MaxSamples = Number(0.1) },
		func(c *IsolationForestConfig) { c.MaxSamples = Number(2.5) },
		func(c *IsolationForestConfig) { c.MaxFeatures = 4 },
		func(c *IsolationForestConfig) { c.MaxFeatures = 0 },
		func(c *IsolationForestConfig) { c.ExtensionLevel = 3 },
		func(c *IsolationForestConfig) { c.ExtensionLevel = -1 },
		func(c *IsolationForestConfig) { c.Contamination = Number(0.7) },
	} {
		c := DefaultIsolationForest()
		f(&c)
		if _, err := c.Fit(context.Background(), x, nil); err == nil {
			t.Errorf("%+v is accepted", c)
		}
	}
	x.Data[4] = 1e39
	if _, err := DefaultIsolationForest().Fit(context.Background(), x, nil); err == nil {
		t.Error("a value beyond single precision is accepted")
	}
}

func BenchmarkIsolationForestFit100000x64(b *testing.B) {
	x := gaussians(1, 100000, 64)
	for b.Loop() {
		if _, err := DefaultIsolationForest().Fit(context.Background(), x, &Options{Workers: 2}); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkIsolationForestScore100000x64(b *testing.B) {
	x := gaussians(1, 100000, 64)
	m, err := DefaultIsolationForest().Fit(context.Background(), x, nil)
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if _, err := m.Score(context.Background(), x); err != nil {
			b.Fatal(err)
		}
	}
}
