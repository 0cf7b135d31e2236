package outlier

import (
	"context"
	"encoding/json"
	"math"
	"slices"
	"testing"
)

// densityCase is a case of testdata/gen/density.py.
type densityCase struct {
	Method, Set string
	Config      json.RawMessage
	Scores      []float64 // of the queries; nil where the peer raises
	Rank        []float64 // of the rows fitted; KDE: leave-one-out
	Threshold   float64
	Bound       float64
	Iterations  int
	LogDet      float64 `json:"log_det"` // of the robust covariance before correction
}

func densityGoldens(t *testing.T) (cases []densityCase) {
	t.Helper()
	for _, name := range []string{"cases", "others"} {
		var some []densityCase
		readGolden(t, "density/"+name, &some)
		cases = append(cases, some...)
	}
	return cases
}

// Agreement is relative, or absolute below a unit: the squared spread of the rows for PCA (whose rest may be rounding), 1e-6 elsewhere.
// Peers' sums differ in order alone, so most agree to 1e-10; 1e-6 is what the package promises. Histograms and tails count: 1e-12.
func TestDensitiesAreThePeers(t *testing.T) {
	ctx := context.Background()
	sets, cases := goldenSets(t), densityGoldens(t)
	for _, c := range cases {
		t.Run(c.Method+"/"+c.Set+"/"+string(c.Config[:min(len(c.Config), 60)]), func(t *testing.T) {
			name := within("density", c.Set)
			set, s := sets[name], subject{c.Method, name}
			method, err := Lookup(c.Method)
			if err != nil {
				t.Fatal(err)
			}
			config, err := method.Parse(c.Config)
			if err != nil {
				t.Fatal(err)
			}
			if m, ok := config.(MahalanobisConfig); ok {
				s.detector += ", " + m.Covariance
			}
			m, err := config.Fit(ctx, set.x, nil)
			if c.Scores == nil {
				if err == nil {
					t.Error("fitted, where the peer refuses")
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			unit, tolerance := 1e-6, 1e-6
			switch c.Method {
			case "pca":
				for _, v := range centredOn(set.x, meanOf(set.x)).Data {
					unit += v * v / float64(set.x.Rows)
				}
			case "hbos", "ecod", "copod", "mad":
				tolerance = 1e-12
			case "zscore": // means of rows 1e4 away are rounded to 1e-12
				tolerance = 1e-11
			}
			if c.LogDet != 0 {
				best, _, err := config.(MahalanobisConfig).leastDeterminant(ctx, set.x, nil)
				if err != nil || set.x.Cols > 1 && best.logDet > c.LogDet+1e-9 {
					t.Fatalf("least log-determinant %v %v, the peer's is %v", best.logDet, err, c.LogDet)
				}
				if set.x.Cols > 1 && best.logDet < c.LogDet-1e-9 {
					t.Logf("least log-determinant %v, the peer's best of 20 starts is %v: another optimum", best.logDet, c.LogDet)
					s.note("lower")
					return
				}
			}
			got, err := m.Score(ctx, set.queries)
			if err != nil {
				t.Fatal(err)
			}
			s.closeTo(t, "score", got, c.Scores, unit, tolerance)
			if len(c.Rank) > 0 {
				r, err := Rank(ctx, config, set.x, 0, nil)
				if err != nil {
					t.Fatal(err)
				}
				s.closeTo(t, "rank", r.Scores, c.Rank, unit, tolerance)
			}
			if c.Threshold != 0 {
				s.closeTo(t, "threshold", []float64{m.Threshold()}, []float64{c.Threshold}, unit, tolerance)
			}
			if g, ok := m.(*GMM); ok {
				s.closeTo(t, "lower bound", []float64{g.LowerBound}, []float64{c.Bound}, unit, tolerance)
				if g.Iterations != c.Iterations {
					t.Errorf("%d iterations, want %d", g.Iterations, c.Iterations)
				}
			}
		})
	}
}

// A mixture of three far groups is found from any start, and BIC counts the groups.
func TestBICCountsTheGroups(t *testing.T) {
	sets := goldenSets(t)
	c := DefaultGMM()
	c.NComponents, c.MaxComponents, c.NInit = Setting{Name: "bic"}, 5, 2
	m, err := c.Fit(context.Background(), sets["density/blobs"].x, &Options{Seed: 1})
	if err != nil {
		t.Fatal(err)
	}
	if k := m.(*GMM).Components(); k != 3 {
		t.Errorf("%d components, want 3", k)
	}
}

// Of rows of which two fifths are planted far away, the robust distance keeps the planted ones far; the empirical one is pulled to them.
func TestRobustCovarianceResistsContamination(t *testing.T) {
	for _, n := range []int{200, 1500} {
		x := gaussians(3, n, 4)
		bad := n * 2 / 5
		for i := range bad {
			for j := range 4 {
				x.Row(i)[j] += 8
			}
		}
		least := func(covariance string) (planted, clean float64) {
			r, err := Rank(context.Background(), MahalanobisConfig{Covariance: covariance, Contamination: 0.4}, x, 0, nil)
			if err != nil {
				t.Fatal(err)
			}
			return slices.Min(r.Scores[:bad]), slices.Max(r.Scores[bad:])
		}
		if planted, clean := least("robust"); !(planted > 3*clean) {
			t.Errorf("n=%d: planted rows at %v and more, clean at up to %v", n, planted, clean)
		}
		if planted, clean := least("empirical"); planted > clean {
			t.Errorf("n=%d: the empirical covariance tells them apart, too: the test is too easy", n)
		}
	}
}

// What judge leaves out changes nothing: log-likelihoods and shares are those of all components by the definition, beside any other rows.
func TestSharesOfHopelessComponentsNeverMatter(t *testing.T) {
	leftOut, counted := map[string]int{}, map[string]int{}
	for _, d := range []int{2, 18, 40} {
		x := gaussians(2, 300, d)
		for i := range x.Rows {
			far := float64(1+i%3*4) * float64(i%4) // some groups overlap, some are out of each other's sight
			for j := range d {
				x.Row(i)[j] += far * math.Sin(float64(i%4*d+j))
			}
		}
		for _, kind := range []string{"full", "tied", "diag", "spherical"} {
			c := DefaultGMM()
			c.NComponents, c.CovarianceType = Number(4), kind
			m, err := c.Fit(context.Background(), x, nil)
			if err != nil {
				t.Fatal(err)
			}
			x := x.clone()
			for i := 0; i < x.Rows; i += 10 { // outliers, by what is measured last
				x.Row(i)[d-1] += 40
			}
			mix := m.(*GMM).mix
			alone, together := mix.judgement(), mix.judgement()
			for first := 0; first < x.Rows; first += judgedTogether {
				last := min(first+judgedTogether, x.Rows)
				mix.judge(x, first, last, together)
				for i := first; i < last; i++ {
					want, shares := byDefinition(mix, x.Row(i))
					got := together.logLikelihood[i-first]
					if !(math.Abs(got-want) <= 1e-12*(1+math.Abs(want))) {
						t.Errorf("%s, d=%d, row %d: log-likelihood %v, want %v", kind, d, i, got, want)
					}
					for k, share := range together.share.Row(i - first) {
						if !(math.Abs(share-shares[k]) <= 1e-11) {
							t.Errorf("%s, d=%d, row %d: share of component %d is %v, want %v", kind, d, i, k, share, shares[k])
						}
						counted[kind]++
						if share == 0 {
							leftOut[kind]++
						}
					}
					mix.judge(x, i, i+1, alone)
					if alone.logLikelihood[0] != got || !slices.Equal(alone.share.Row(0), together.share.Row(i-first)) {
						t.Errorf("%s, d=%d, row %d: alone %v, %v; among others %v, %v", kind, d, i, alone.logLikelihood[0], alone.share.Row(0), got,
							together.share.Row(i-first))
					}
				}
			}
		}
	}
	for kind, all := range counted {
		if n := leftOut[kind]; n < all/5 || n > all*2/3 {
			t.Errorf("%s: %d of %d shares left out: the test is too easy", kind, n, all)
		}
	}
}

// byDefinition returns a row's log-likelihood and shares, nothing left out.
func byDefinition(m *mixture, row []float64) (logLikelihood float64, shares []float64) {
	logs := make([]float64, m.k)
	for k := range logs {
		logs[k] = math.Log(m.weights[k]) - float64(m.d)/2*math.Log(2*math.Pi)
		for i := range row {
			from, y, entry := i, 0.0, 0.0
			if m.panels != nil {
				from = 0
			}
			for j := from; j <= i; j++ {
				entry = m.factor(k)[i]
				if m.panels != nil {
					entry = m.factor(k)[i*(i+1)/2+j]
				}
				y += entry * (row[j] - m.means.Row(k)[j])
			}
			logs[k] += math.Log(entry) - y*y/2
		}
	}
	greatest := slices.Max(logs)
	for _, v := range logs {
		shares = append(shares, math.Exp(v-greatest))
	}
	sum := 0.0
	for _, v := range shares {
		sum += v
	}
	for k := range shares {
		shares[k] /= sum
	}
	return greatest + math.Log(sum), shares
}

func BenchmarkGMM8Full50000x32(b *testing.B) {
	x := gaussians(1, 50000, 32)
	for i := range x.Rows { // eight groups that overlap
		for j := range 32 {
			x.Row(i)[j] += math.Sin(float64(i%8*32+j) * 1.7)
		}
	}
	c := DefaultGMM()
	c.NComponents = Number(8)
	for b.Loop() {
		m, err := c.Fit(context.Background(), x, &Options{Workers: 2})
		if err != nil {
			b.Fatal(err)
		}
		b.ReportMetric(float64(m.(*GMM).Iterations), "iterations")
	}
}

func BenchmarkGMMScore50000x32(b *testing.B) {
	x, centres := gaussians(1, 50000, 32), gaussians(9, 8, 32)
	for i := range x.Rows {
		for j, v := range centres.Row(i % 8) {
			x.Row(i)[j] += 2 * v
		}
	}
	c := DefaultGMM()
	c.NComponents, c.MaxIter = Number(8), 5
	m, err := c.Fit(context.Background(), x, nil)
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if _, err := m.Score(context.Background(), x); err != nil {
			b.Fatal(err)
		}
	}
}
