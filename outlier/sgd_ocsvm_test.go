package outlier

import (
	"cmp"
	"context"
	"encoding/json"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/blemish/blemish/metric"
)

// sgdCase is a case of testdata/gen/sgd_ocsvm.py.
type sgdCase struct {
	Set            string
	Config         json.RawMessage
	Basis          []int
	Weights, Shift []float64
	Features       []float64 // of the first three queries
	Coef, Score    []float64
	Offset         float64
	Passes         int
	Error          string
}

// mapOf is the feature map that a case gives.
func (c sgdCase) mapOf(t testing.TB, config SGDOneClassSVMConfig, x Matrix) featureMap {
	t.Helper()
	switch config.FeatureMap {
	case "nystroem":
		n, err := nystroemOn(context.Background(), config.KernelConfig, x, config.gamma(x), c.Basis, 1)
		if err != nil {
			t.Fatal(err)
		}
		return n
	case "rbf_sampler":
		return randomFeaturesOf(Matrix{len(c.Shift), x.Cols, c.Weights}, c.Shift)
	}
	return identity(x.Cols)
}

// Rows in their order, the same basis and the same random features. Sums differ in their order alone, so that planes and scores are 1e-9 of the
// greatest coefficient or score from scikit-learn's. Means of planes are differences of sums that grow with the rows seen: 1e-7. Nystroem's inverse
// root raises rounding by up to 1e6 where kernel matrices are singular: its features agree to 1e-6, as what is made of them.
func TestSGDOneClassSVMIsThePeers(t *testing.T) {
	var cases []sgdCase
	readGolden(t, "sgd/sgd_ocsvm", &cases)
	sets := goldenSets(t)
	for _, c := range cases {
		t.Run(c.Set+string(c.Config), func(t *testing.T) {
			set, s := sets[c.Set], subject{"sgd_ocsvm", c.Set}
			parsed, err := parseMethod("sgd_ocsvm", c.Config)
			if err != nil {
				t.Fatal(err)
			}
			config := parsed.(SGDOneClassSVMConfig)
			features := c.mapOf(t, config, set.x)
			m, err := config.fitOn(context.Background(), set.x, features, nil, nil)
			if c.Error != "" {
				if err == nil {
					t.Error("fitted, where scikit-learn refuses")
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			tolerance := 1e-9
			if config.Average > 0 {
				tolerance = 1e-7
			}
			if config.FeatureMap == "nystroem" {
				tolerance = 1e-6
			}
			if len(c.Features) > 0 {
				values, z := NewMatrix(3, features.values()), NewMatrix(3, features.features())
				features.first(values.rows(0, 3), set.queries.rows(0, 3))
				features.second(z.rows(0, 3), values.rows(0, 3))
				s.closeTo(t, "features", z.Data, c.Features, greatest(c.Features), tolerance)
			}
			s.closeTo(t, "coef", m.coef, c.Coef, greatest(c.Coef), tolerance)
			s.closeTo(t, "threshold", []float64{m.Threshold()}, []float64{-c.Offset}, 1, tolerance)
			scores, err := m.Score(context.Background(), set.queries)
			if err != nil {
				t.Fatal(err)
			}
			s.closeTo(t, "score", scores, c.Score, greatest(c.Score), tolerance)
			if m.Iterations != c.Passes {
				t.Errorf("%d passes, want %d", m.Iterations, c.Passes)
			}
		})
	}
}

func parseMethod(name string, raw json.RawMessage) (Config, error) {
	m, err := Lookup(name)
	if err != nil {
		return nil, err
	}
	return m.Parse(raw)
}

func greatest(values []float64) float64 {
	g := 1e-300
	for _, v := range values {
		g = max(g, math.Abs(v))
	}
	return g
}

// Of shuffled rows and a random basis, only distributions can agree: over 30 seeds, the mean rank correlation of scores with the exact one-class
// SVM's lies within four standard errors of the difference from scikit-learn's.
func TestSGDOneClassSVMApproximatesTheExactOneAsScikitLearnsDoes(t *testing.T) {
	var cases []struct {
		Set, Map        string
		Components      int
		Mean, Deviation float64
	}
	readGolden(t, "sgd/quality", &cases)
	sets := goldenSets(t)
	for _, c := range cases {
		t.Run(c.Set+"/"+c.Map, func(t *testing.T) {
			x := sets[c.Set].x
			exact := DefaultOneClassSVM()
			exact.Tol = 1e-6
			want := ranksOf(scoresOf(t, exact, x, x, 0))
			var all []float64
			for seed := range uint64(30) {
				config := DefaultSGDOneClassSVM()
				config.FeatureMap, config.NComponents = c.Map, c.Components
				all = append(all, correlation(ranksOf(scoresOf(t, config, x, x, seed)), want))
			}
			mean, square := 0.0, 0.0
			for _, r := range all {
				mean += r / 30
			}
			for _, r := range all {
				square += (r - mean) * (r - mean) / 29
			}
			noise := math.Sqrt((square + c.Deviation*c.Deviation) / 30)
			if !(math.Abs(mean-c.Mean) < 4*noise) {
				t.Errorf("correlation %.4f ± %.4f, scikit-learn's is %.4f ± %.4f", mean, math.Sqrt(square), c.Mean, c.Deviation)
			}
			t.Logf("correlation %.4f ± %.4f, scikit-learn's is %.4f ± %.4f", mean, math.Sqrt(square), c.Mean, c.Deviation)
		})
	}
}

// One digit of ten is learned, all are judged: the approximation tells them apart as well as the exact SVM, to a hundredth.
func TestSGDOneClassSVMTellsDigitsApartAsTheExactOneDoes(t *testing.T) {
	all := digitRows(t)
	pixels := func(keep func(i int, digit float64) bool) (x Matrix, labels []bool) {
		x.Cols = 64
		for i := range all.Rows {
			if digit := math.Round(all.Row(i)[64] * 9); keep(i, digit) {
				x.Data = append(x.Data, all.Row(i)[:64]...)
				x.Rows++
				labels = append(labels, digit != 7)
			}
		}
		return x, labels
	}
	sevens, _ := pixels(func(i int, digit float64) bool { return digit == 7 && i%2 == 0 })
	others, labels := pixels(func(i int, digit float64) bool { return i%2 == 1 })
	exact := DefaultOneClassSVM()
	exact.Nu = 0.1
	want := auroc(t, scoresOf(t, exact, sevens, others, 0), labels)
	for _, config := range []SGDOneClassSVMConfig{
		{FeatureMap: "nystroem", NComponents: 100}, {FeatureMap: "rbf_sampler", NComponents: 1000},
	} {
		c := DefaultSGDOneClassSVM()
		c.FeatureMap, c.NComponents, c.Nu = config.FeatureMap, config.NComponents, 0.1
		got := auroc(t, scoresOf(t, c, sevens, others, 1), labels)
		t.Logf("%s: AUROC %.4f, exact %.4f", c.FeatureMap, got, want)
		if math.Abs(got-want) > 0.01 {
			t.Errorf("%s: AUROC %.4f, exact %.4f", c.FeatureMap, got, want)
		}
	}
}

func scoresOf(t *testing.T, c Config, fitted, judged Matrix, seed uint64) []float64 {
	t.Helper()
	m, err := c.Fit(context.Background(), fitted, &Options{Seed: seed})
	if err != nil {
		t.Fatal(err)
	}
	scores, err := m.Score(context.Background(), judged)
	if err != nil {
		t.Fatal(err)
	}
	return scores
}

// ranksOf counts from 0, equal values in their order.
func ranksOf(values []float64) []float64 {
	order := make([]int, len(values))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(values[a], values[b]) })
	ranks := make([]float64, len(values))
	for r, i := range order {
		ranks[i] = float64(r)
	}
	return ranks
}

func correlation(a, b []float64) float64 {
	n := float64(len(a))
	x, y := meanOf(Matrix{len(a), 1, a})[0], meanOf(Matrix{len(b), 1, b})[0]
	var aa, bb, ab float64
	for i := range a {
		aa += (a[i] - x) * (a[i] - x) / n
		bb += (b[i] - y) * (b[i] - y) / n
		ab += (a[i] - x) * (b[i] - y) / n
	}
	return ab / math.Sqrt(aa*bb)
}

func TestSGDOneClassSVMRefuses(t *testing.T) {
	x := gaussians(1, 30, 3)
	for want, f := range map[string]func(*SGDOneClassSVMConfig){
		"feature_map":      func(c *SGDOneClassSVMConfig) { c.FeatureMap = "fourier" },
		"n_components":     func(c *SGDOneClassSVMConfig) { c.NComponents = 0 },
		"at most":          func(c *SGDOneClassSVMConfig) { c.Nu = 1.5 },
		"kernel":           func(c *SGDOneClassSVMConfig) { c.Kernel = "chi2" },
		"random features":  func(c *SGDOneClassSVMConfig) { c.FeatureMap, c.Kernel = "rbf_sampler", "linear" },
		"gamma":            func(c *SGDOneClassSVMConfig) { c.Gamma = Number(0) },
		"degree":           func(c *SGDOneClassSVMConfig) { c.Degree = -1 },
		"max_iter":         func(c *SGDOneClassSVMConfig) { c.MaxIter = 0 },
		"tol":              func(c *SGDOneClassSVMConfig) { c.Tol = -0.5 },
		"n_iter_no_change": func(c *SGDOneClassSVMConfig) { c.NoChange = 0 },
		"learning_rate":    func(c *SGDOneClassSVMConfig) { c.LearningRate = "cosine" },
		"eta0":             func(c *SGDOneClassSVMConfig) { c.Eta0 = 0 },
		"power_t":          func(c *SGDOneClassSVMConfig) { c.PowerT = -1 },
		"average":          func(c *SGDOneClassSVMConfig) { c.Average = -1 },
		"double precision": func(c *SGDOneClassSVMConfig) { c.Kernel, c.Degree, c.Gamma = "poly", 2000, Number(1e3) },
		"pass 1":           func(c *SGDOneClassSVMConfig) { c.FeatureMap, c.LearningRate, c.Eta0 = "linear", "constant", 1e308 },
	} {
		c := DefaultSGDOneClassSVM()
		f(&c)
		if _, err := c.Fit(context.Background(), x, nil); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("want an error about %q, got %v", want, err)
		}
	}
}

func BenchmarkSGDOneClassSVMFit100000x64(b *testing.B) {
	x := gaussians(1, 100_000, 64)
	for b.Loop() {
		m, err := DefaultSGDOneClassSVM().Fit(context.Background(), x, &Options{Workers: 2})
		if err != nil {
			b.Fatal(err)
		}
		b.ReportMetric(float64(m.(*SGDOneClassSVM).Iterations), "passes")
	}
}

func auroc(t *testing.T, scores []float64, anomalous []bool) float64 {
	t.Helper()
	a, err := metric.AUROC(scores, anomalous)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// Kernel values are those of the definition, near and so far that they are 0, for a basis of more rows than are met at once.
func TestNystroemValuesAreTheKernel(t *testing.T) {
	const gamma = 0.3
	x := gaussians(5, 20, 3)
	rows := x.clone()
	for i := range rows.Rows {
		for j := range 3 {
			rows.Row(i)[j] *= math.Pow(1.5, float64(i)) // up to 2000 apart
		}
	}
	for _, name := range nystroemKernels {
		n := &nystroem{config: KernelConfig{Kernel: name, Coef0: 0.5, Degree: 3}, gamma: gamma, components: x}
		n.prepareBasis()
		got := NewMatrix(20, 20)
		n.first(got.rows(0, 20), rows.rows(0, 20))
		for i := range 20 {
			for k, v := range got.Row(i) {
				a, b := rows.Row(i), x.Row(k)
				want, scale := exactKernel(n.config, gamma, a, b), 0.0
				switch name {
				case "laplacian":
					want = math.Exp(-gamma * (math.Abs(a[0]-b[0]) + math.Abs(a[1]-b[1]) + math.Abs(a[2]-b[2])))
				case "cosine":
					want /= math.Sqrt(dotProduct(a, a) * dotProduct(b, b))
				}
				for j := range a {
					scale += math.Abs(a[j] * b[j])
				}
				if name == "poly" {
					scale = math.Pow(gamma*scale+0.5, 3)
				}
				tolerance := 1e-13 * math.Abs(want) // of the exponentials, whose exponents are up to 700
				if name != "rbf" && name != "laplacian" {
					tolerance = 1e-14 * (1 + scale)
				}
				if !(math.Abs(v-want) <= max(tolerance, 1e-300)) {
					t.Errorf("%s of row %d and basis row %d is %v, want %v", name, i, k, v, want)
				}
			}
		}
	}
}

// Singular values count as 1e-12 at least, and eigenvalues keep their sign: U·S^-½·V of a diagonal matrix.
func TestInverseRootIsBounded(t *testing.T) {
	got := inverseRoot([]float64{4, -0.25, 1e-13, 0}, []float64{1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1}, 1)
	for i, want := range []float64{0.5, -2, 1e6, 1e6} {
		for j, v := range got.Row(i) {
			if j != i && v != 0 || j == i && math.Abs(v-want) > 1e-9*math.Abs(want) {
				t.Errorf("row %d, column %d: %v", i, j, v)
			}
		}
	}
}

// Products of random features are the kernel on average; of 40,000, the mean is within 4/√40000 of it. Near the origin a wrong phase would show.
func TestRandomFeaturesApproximateTheirKernel(t *testing.T) {
	const gamma, m = 0.7, 40_000
	f := newRandomFeatures(m, 2, gamma, rand.New(rand.NewPCG(1, 1)))
	rows := Matrix{4, 2, []float64{0, 0, 0.1, 0.3, 1, -0.5, -1, 1}}
	values, z := NewMatrix(4, m), NewMatrix(4, m)
	f.first(values.rows(0, 4), rows.rows(0, 4))
	f.second(z.rows(0, 4), values.rows(0, 4))
	for i := range 4 {
		for j := range i + 1 {
			want := exactKernel(KernelConfig{Kernel: "rbf"}, gamma, rows.Row(i), rows.Row(j))
			if got := dotProduct(z.Row(i), z.Row(j)); math.Abs(got-want) > 0.02 {
				t.Errorf("rows %d and %d: %v, the kernel is %v", i, j, got, want)
			}
		}
	}
}
