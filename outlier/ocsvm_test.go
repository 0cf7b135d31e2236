package outlier

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"slices"
	"testing"
)

func ocsvmCase(t *testing.T, raw json.RawMessage) OneClassSVMConfig {
	t.Helper()
	m, err := Lookup("ocsvm")
	if err != nil {
		t.Fatal(err)
	}
	c, err := m.Parse(raw)
	if err != nil {
		t.Fatal(err)
	}
	return c.(OneClassSVMConfig)
}

// Both keep kernel rows in single precision. What they round differently is far below 1e-4 in scores, relative to the largest; α are shares of
// 1. Only the rbf kernel makes them unique, up to what rows that are the same share.
func TestOneClassSVMIsThePeers(t *testing.T) {
	sets := goldenSets(t)
	var cases []struct {
		Set          string
		Config       json.RawMessage
		Alpha, Score []float64
		Offset       float64
	}
	readGolden(t, "neighbours/ocsvm", &cases)
	for _, c := range cases {
		t.Run(c.Set+string(c.Config), func(t *testing.T) {
			name := within("neighbours", c.Set)
			set, own := sets[name], subject{"ocsvm", name}
			config := ocsvmCase(t, c.Config)
			k := config.mapping(config.gamma(set.x), config.shiftOf(set.x))
			s, err := config.solve(context.Background(), set.x, k, nil)
			if err != nil {
				t.Fatal(err)
			}
			if config.Kernel == "rbf" {
				own.closeTo(t, "alpha", shares(set.x, s.alpha), shares(set.x, c.Alpha), 1, 1e-4)
			}
			d, err := config.Fit(context.Background(), set.x, nil)
			if err != nil {
				t.Fatal(err)
			}
			scores, err := d.Score(context.Background(), set.queries)
			if err != nil {
				t.Fatal(err)
			}
			unit := max(greatest(c.Score), 1e-6) // kernel values beyond single precision are 0 on one side alone
			own.closeTo(t, "score", scores, c.Score, unit, 1e-4)
			if slices.ContainsFunc(c.Alpha, func(a float64) bool { return a > 1e-9 && a < 1-1e-9 }) { // else ρ may lie anywhere between
				own.closeTo(t, "threshold", []float64{d.Threshold()}, []float64{-c.Offset}, math.Abs(c.Offset), 1e-4)
			}
			holdsKKT(t, config, config.gamma(set.x), set.x, s)
		})
	}
}

// shares adds up the α of rows that are the same.
func shares(x Matrix, alpha []float64) []float64 {
	sums := map[string]float64{}
	for i, a := range alpha {
		sums[fmt.Sprint(x.Row(i))] += a
	}
	var out []float64
	for _, key := range slices.Sorted(maps.Keys(sums)) {
		out = append(out, sums[key])
	}
	return out
}

func TestOneClassSVMSolutionsAreOptimal(t *testing.T) {
	for _, c := range []struct {
		nu, tol, cache float64
		kernel         string
		shrinking      bool
	}{
		{0.5, 1e-3, 200, "rbf", true}, {0.1, 1e-5, 200, "rbf", true}, {0.3, 1e-4, 1e-9, "rbf", true}, {0.3, 1e-4, 200, "rbf", false},
		{0.2, 1e-4, 200, "poly", true}, {1, 1e-3, 200, "linear", true}, {0.25, 1e-3, 200, "sigmoid", true},
	} {
		t.Run(fmt.Sprint(c), func(t *testing.T) {
			x := gaussians(4, 700, 5)
			config := DefaultOneClassSVM()
			config.Nu, config.Tol, config.CacheSize, config.Kernel, config.Shrinking, config.Coef0 = c.nu, c.tol, c.cache, c.kernel, c.shrinking, 0.1
			gamma := config.gamma(x)
			s, err := config.solve(context.Background(), x, config.mapping(gamma, config.shiftOf(x)), nil)
			if err != nil {
				t.Fatal(err)
			}
			holdsKKT(t, config, gamma, x, s)
		})
	}
}

// holdsKKT checks the conditions of optimality, from kernel values in double precision: Σα = nu·n, 0 ≤ α ≤ 1, and gradients at most ρ where α can
// shrink, at least ρ where it can grow, to the tolerance; and to the rounding of single-precision kernel rows, 1e-6 of their sum.
func holdsKKT(t *testing.T, c OneClassSVMConfig, gamma float64, x Matrix, s *smo) {
	t.Helper()
	sum, most, least := 0.0, math.Inf(-1), math.Inf(1)
	for i := range x.Rows {
		g, size := 0.0, 0.0
		for j, a := range s.alpha {
			v := exactKernel(c.KernelConfig, gamma, x.Row(i), x.Row(j))
			g += a * v
			size += a * math.Abs(v)
		}
		sum += s.alpha[i]
		if s.alpha[i] < 0 || s.alpha[i] > 1 {
			t.Fatalf("α %v", s.alpha[i])
		}
		if s.alpha[i] > 0 {
			most = max(most, g-1e-6*size)
		}
		if s.alpha[i] < 1 {
			least = min(least, g+1e-6*size)
		}
	}
	if n := float64(x.Rows); math.Abs(sum-c.Nu*n) > 1e-9*n {
		t.Errorf("Σα = %v, want %v", sum, c.Nu*n)
	}
	if most-least > c.Tol {
		t.Errorf("optimality is violated by %v, want at most %v", most-least, c.Tol)
	}
	if rho := s.rho(); c.Nu < 1 && (rho < min(least, most)-c.Tol || rho > max(least, most)+c.Tol) {
		t.Errorf("ρ = %v, want within %v to %v", rho, least, most)
	}
}

// Scores are sums over more support vectors than are taken together, from kernel values in double precision; each in single precision is off by
// less than 1e-6 of its value.
func TestOneClassSVMScoresAddUpAllSupportVectors(t *testing.T) {
	x, queries := gaussians(4, 700, 5), gaussians(5, 37, 5)
	for _, name := range []string{"rbf", "poly"} {
		config := DefaultOneClassSVM()
		config.Kernel, config.Coef0 = name, 0.1
		d, err := config.Fit(context.Background(), x, nil)
		if err != nil {
			t.Fatal(err)
		}
		m := d.(*OneClassSVM)
		if m.support.Rows <= rowBlock {
			t.Fatalf("%d support vectors, want more than %d", m.support.Rows, rowBlock)
		}
		scores, err := d.Score(context.Background(), queries)
		if err != nil {
			t.Fatal(err)
		}
		for i, got := range scores {
			want, size := 0.0, 0.0
			for k, a := range m.alpha {
				v := exactKernel(config.KernelConfig, m.kernel.gamma, m.support.Row(k), queries.Row(i))
				want -= a * v
				size += a * math.Abs(v)
			}
			if math.Abs(got-want) > 1e-6*size {
				t.Errorf("%s: score of query %d is %v, want %v", name, i, got, want)
			}
		}
	}
}

func exactKernel(c KernelConfig, gamma float64, x, y []float64) float64 {
	dot, distance := 0.0, 0.0
	for i := range x {
		dot += x[i] * y[i]
		distance += (x[i] - y[i]) * (x[i] - y[i])
	}
	switch c.Kernel {
	case "rbf":
		return math.Exp(-gamma * distance)
	case "poly":
		return math.Pow(gamma*dot+c.Coef0, float64(c.Degree))
	case "sigmoid":
		return math.Tanh(gamma*dot + c.Coef0)
	}
	return dot
}

func TestOneClassSVMIsTheSameForAnyWorkersCacheAndAfterOpening(t *testing.T) {
	x := gaussians(6, 1200, 7)
	var want []float64
	for _, workers := range []int{1, 3} {
		for _, cache := range []float64{200, 0.1} {
			c := DefaultOneClassSVM()
			c.Nu, c.CacheSize = 0.2, cache
			d, err := c.Fit(context.Background(), x, &Options{Workers: workers})
			if err != nil {
				t.Fatal(err)
			}
			state, err := d.State()
			if err != nil {
				t.Fatal(err)
			}
			if d, err = openOneClassSVM(state); err != nil {
				t.Fatal(err)
			}
			scores, err := d.Score(context.Background(), x)
			if err != nil {
				t.Fatal(err)
			}
			if scores = append(scores, d.Threshold()); want == nil {
				want = scores
			}
			if !slices.Equal(scores, want) {
				t.Errorf("%d workers, cache of %v MiB: other scores", workers, cache)
			}
		}
	}
}

func TestOneClassSVMRefuses(t *testing.T) {
	x := gaussians(1, 30, 3)
	for _, f := range []func(*OneClassSVMConfig){
		func(c *OneClassSVMConfig) { c.Nu = 0 },
		func(c *OneClassSVMConfig) { c.Nu = 1.1 },
		func(c *OneClassSVMConfig) { c.Tol = 0 },
		func(c *OneClassSVMConfig) { c.Kernel = "precomputed" },
		func(c *OneClassSVMConfig) { c.Gamma = Number(-1) },
		func(c *OneClassSVMConfig) { c.Gamma = Setting{Name: "median"} },
		func(c *OneClassSVMConfig) { c.Degree = -1 },
		func(c *OneClassSVMConfig) { c.CacheSize = 0 },
		func(c *OneClassSVMConfig) { c.MaxIter = -2 },
		func(c *OneClassSVMConfig) { c.MaxIter = 1; c.Nu = 0.3 },
	} {
		c := DefaultOneClassSVM()
		f(&c)
		if _, err := c.Fit(context.Background(), x, nil); err == nil {
			t.Errorf("%+v is accepted", c)
		}
	}
}

func BenchmarkOneClassSVMFit5000x64(b *testing.B) {
	x := gaussians(1, 5000, 64)
	for b.Loop() {
		if _, err := DefaultOneClassSVM().Fit(context.Background(), x, &Options{Workers: 2}); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkOneClassSVMScore5000x64(b *testing.B) {
	x := gaussians(1, 5000, 64)
	m, err := DefaultOneClassSVM().Fit(context.Background(), x, nil)
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if _, err := m.Score(context.Background(), x); err != nil {
			b.Fatal(err)
		}
	}
}
