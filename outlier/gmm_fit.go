package outlier

import (
	"context"
	"math"
	"math/rand/v2"
	"slices"

	"github.com/blemish/blemish/internal/parallel"
	"github.com/blemish/blemish/linalg"
)

// expectation is what the steps of expectation maximisation share.
type expectation struct {
	config  GMMConfig
	x       Matrix
	k       int
	workers int
	parts   int       // runs of rows, added up apart and then in order
	size    int       // of one component's second moments: packed of full, diagonal of the others
	center  []float64 // mean of all rows
	total   []float64 // of tied: scatter of all rows around center, packed
}

// sums are Σ share, Σ share·z and Σ share·z·zᵀ of rows z less a reference row for each component.
type sums struct {
	weight, first, second []float64 // (k), (k,d), (k,size)
	logLikelihood         float64
}

func newExpectation(c GMMConfig, x Matrix, k, workers int) *expectation {
	e := &expectation{config: c, x: x, k: k, workers: workers, size: x.Cols, center: meanOf(x)}
	if c.CovarianceType == "full" {
		e.size = x.Cols * (x.Cols + 1) / 2
	}
	e.parts = max(1, min(32, x.Rows/rowBlock, 1<<23/(k*e.size))) // at most 64 MB beyond a single set of sums
	return e
}

// start is a mixture to begin with.
func (e *expectation) start(ctx context.Context, rng *rand.Rand) (*mixture, error) {
	c, d := e.config, e.x.Cols
	if c.CovarianceType == "tied" && e.total == nil {
		var err error
		if e.total, err = scatter(ctx, centredOn(e.x, e.center), e.workers); err != nil {
			return nil, err
		}
	}
	var mix *mixture
	if len(c.WeightsInit) == 0 || len(c.MeansInit) == 0 || len(c.PrecisionsInit) == 0 {
		labels, err := e.label(ctx, rng)
		if err != nil {
			return nil, err
		}
		reference := NewMatrix(e.k, d)
		for k := range e.k {
			copy(reference.Row(k), e.center)
		}
		if mix, err = e.maximise(ctx, reference, func(part *sums, first, last int) {
			g := newGather(e, reference)
			for i := first; i < last; i++ {
				if labels[i] >= 0 {
					g.add(part, labels[i], 1, e.x.Row(i))
				}
			}
			g.flush(part)
		}, len(c.PrecisionsInit) > 0); err != nil {
			return nil, err
		}
	} else {
		mix = &mixture{k: e.k, d: d, kind: c.CovarianceType, weights: make([]float64, e.k), means: NewMatrix(e.k, d)}
	}
	if len(c.WeightsInit) > 0 {
		copy(mix.weights, c.WeightsInit)
	}
	for k, row := range c.MeansInit {
		copy(mix.means.Row(k), row)
	}
	if len(c.PrecisionsInit) > 0 {
		if err := mix.factorPrecisions(c.PrecisionsInit); err != nil {
			return nil, err
		}
	}
	return mix, mix.prepare()
}

// factorPrecisions sets the factors so that L⁻ᵀ·L⁻¹ is each precision matrix.
func (m *mixture) factorPrecisions(precisions [][]float64) error {
	d := m.d
	if m.kind == "diag" || m.kind == "spherical" {
		m.factors = NewMatrix(m.k, d)
		for k := range m.k {
			for j := range d {
				m.factors.Row(k)[j] = math.Sqrt(precisions[k][j%len(precisions[k])])
			}
		}
		return nil
	}
	m.factors = NewMatrix(len(precisions), d*(d+1)/2)
	for f, p := range precisions {
		// with rows and columns in reverse, P = R·Rᵀ; turned back, R is the upper triangle L⁻ᵀ
		r := make([]float64, d*(d+1)/2)
		for i := range d {
			for j := range i + 1 {
				r[i*(i+1)/2+j] = p[(d-1-i)*d+d-1-j]
			}
		}
		if linalg.Cholesky(r, d) != nil {
			return errCollapsed
		}
		for i := range d {
			for j := range i + 1 { // L⁻¹(i,j) is R's entry (d-1-j, d-1-i)
				m.factors.Row(f)[i*(i+1)/2+j] = r[(d-1-j)*(d-j)/2+d-1-i]
			}
		}
	}
	return nil
}

// step returns the mean log-likelihood of the rows, and the mixture that their shares make likeliest.
func (e *expectation) step(ctx context.Context, mix *mixture) (float64, *mixture, error) {
	var total float64
	next, err := e.maximise(ctx, mix.means, func(part *sums, first, last int) {
		r, g := mix.judgement(), newGather(e, mix.means)
		for from := first; from < last; from += judgedTogether {
			n := min(judgedTogether, last-from)
			mix.judge(e.x, from, from+n, r)
			for i, v := range r.logLikelihood[:n] {
				part.logLikelihood += v
				for k, share := range r.share.Row(i) {
					if share > 0 {
						g.add(part, k, share, e.x.Row(from+i))
					}
				}
			}
		}
		g.flush(part)
	}, false, &total)
	if err != nil {
		return 0, nil, err
	}
	return total / float64(e.x.Rows), next, next.prepare()
}

// gather collects rows of each component, so that four can be added at a time.
type gather struct {
	e         *expectation
	reference Matrix
	rows      [][]float64 // of each component: up to gathered rows less the reference
	weights   [][]float64
}

const gathered = 16

func newGather(e *expectation, reference Matrix) *gather {
	return &gather{e: e, reference: reference, rows: make([][]float64, e.k), weights: make([][]float64, e.k)}
}

func (g *gather) add(part *sums, k int, weight float64, row []float64) {
	d := len(row)
	if g.rows[k] == nil {
		g.rows[k], g.weights[k] = make([]float64, 0, gathered*d), make([]float64, 0, gathered)
	}
	at := len(g.rows[k])
	g.rows[k] = g.rows[k][:at+d]
	z, from := g.rows[k][at:at+d], g.reference.Row(k)[:d]
	for j, v := range row {
		z[j] = v - from[j]
	}
	if g.weights[k] = append(g.weights[k], weight); len(g.weights[k]) == gathered {
		g.empty(part, k)
	}
}

func (g *gather) flush(part *sums) {
	for k := range g.rows {
		g.empty(part, k)
	}
}

func (g *gather) empty(part *sums, k int) {
	rows, weights, d, size := g.rows[k], g.weights[k], g.e.x.Cols, g.e.size
	first := part.first[k*d : (k+1)*d]
	second := part.second[k*size : (k+1)*size]
	for i, w := range weights {
		part.weight[k] += w
		for j, v := range rows[i*d:][:d] {
			first[j] += w * v
		}
	}
	switch g.e.config.CovarianceType {
	case "full":
		addProducts(second, rows, weights, d)
	case "diag", "spherical":
		for i, w := range weights {
			for j, v := range rows[i*d:][:d] {
				second[j] += w * v * v
			}
		}
	}
	g.rows[k], g.weights[k] = rows[:0], weights[:0]
}

// maximise adds up what f finds in each run of rows, and makes the mixture of these sums. loose leaves the factors out.
func (e *expectation) maximise(ctx context.Context, reference Matrix, f func(part *sums, first, last int), loose bool, logLikelihood ...*float64) (*mixture, error) {
	parts := make([]sums, e.parts)
	parallel.For(e.workers, e.parts, func(p int) {
		parts[p] = sums{weight: make([]float64, e.k), first: make([]float64, e.k*e.x.Cols), second: make([]float64, e.k*e.size)}
		last := (p + 1) * e.x.Rows / e.parts
		for at := p * e.x.Rows / e.parts; at < last && ctx.Err() == nil; at += 4 * rowBlock {
			f(&parts[p], at, min(at+4*rowBlock, last))
		}
	})
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	all := &parts[0]
	for p := 1; p < e.parts; p++ {
		all.logLikelihood += parts[p].logLikelihood
		addTo(all.weight, parts[p].weight)
		addTo(all.first, parts[p].first)
		addTo(all.second, parts[p].second)
	}
	for _, l := range logLikelihood {
		*l = all.logLikelihood
	}
	return e.mixtureOf(all, reference, loose)
}

func addTo(a, b []float64) {
	for i, v := range b {
		a[i] += v
	}
}

func (e *expectation) mixtureOf(s *sums, reference Matrix, loose bool) (*mixture, error) {
	d, kind := e.x.Cols, e.config.CovarianceType
	m := &mixture{k: e.k, d: d, kind: kind, weights: make([]float64, e.k), means: NewMatrix(e.k, d)}
	all := 0.0
	for k := range e.k {
		s.weight[k] += 10 * 0x1p-52 // scikit-learn's guard against empty components
		all += s.weight[k]
	}
	rows := e.k
	if kind == "tied" {
		rows = 1
		m.factors = NewMatrix(1, len(e.total))
		copy(m.factors.Data, e.total)
	} else {
		m.factors = NewMatrix(rows, e.size)
	}
	for k := range e.k {
		w := s.weight[k]
		m.weights[k] = w / all
		mean, shift := m.means.Row(k), make([]float64, d)
		for j := range d {
			shift[j] = s.first[k*d+j] / w
			mean[j] = reference.Row(k)[j] + shift[j]
		}
		second := s.second[k*e.size : (k+1)*e.size]
		switch kind {
		case "full":
			factor := m.factors.Row(k)
			for i := range d {
				for j := range i + 1 {
					at := i*(i+1)/2 + j
					factor[at] = second[at]/w - shift[i]*shift[j]
				}
				factor[i*(i+1)/2+i] += e.config.RegCovar
			}
		case "tied": // Σ over rows of scatter around their means = scatter around the center less that of the means
			for i := range d {
				for j := range i + 1 {
					m.factors.Data[i*(i+1)/2+j] -= w * (mean[i] - e.center[i]) * (mean[j] - e.center[j])
				}
			}
		case "diag", "spherical":
			factor := m.factors.Row(k)
			average := 0.0
			for j := range d {
				factor[j] = second[j]/w - shift[j]*shift[j] + e.config.RegCovar
				average += factor[j] / float64(d)
			}
			if kind == "spherical" {
				for j := range factor {
					factor[j] = average
				}
			}
		}
	}
	if kind == "tied" {
		for i := range m.factors.Data {
			m.factors.Data[i] /= all
		}
		for i := range d {
			m.factors.Data[i*(i+1)/2+i] += e.config.RegCovar
		}
	}
	if loose {
		return m, nil
	}
	return m, m.invert()
}

// invert turns covariances into factors.
func (m *mixture) invert() error {
	if m.kind == "diag" || m.kind == "spherical" {
		for i, v := range m.factors.Data {
			if !(v > 0) {
				return errCollapsed
			}
			m.factors.Data[i] = 1 / math.Sqrt(v)
		}
		return nil
	}
	for f := range m.factors.Rows {
		if err := invertCovariance(m.factors.Row(f), m.d); err != nil {
			return err
		}
	}
	return nil
}

// label gives rows to components, -1 to none: those of k-means, or one row a component.
func (e *expectation) label(ctx context.Context, rng *rand.Rand) ([]int, error) {
	labels := make([]int, e.x.Rows)
	if e.k == 1 && e.config.InitParams == "kmeans" {
		return labels, nil
	}
	var chosen []int
	if e.config.InitParams == "random_from_data" {
		chosen = rng.Perm(e.x.Rows)[:e.k]
	} else {
		var err error
		if chosen, err = spread(ctx, e.x, e.k, rng, e.workers); err != nil {
			return nil, err
		}
	}
	if e.config.InitParams == "kmeans" {
		return kMeans(ctx, e.x, rowsOf(e.x, chosen), e.workers)
	}
	for i := range labels {
		labels[i] = slices.Index(chosen, i)
	}
	return labels, nil
}
