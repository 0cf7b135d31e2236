package outlier

import (
	"math"

	"github.com/blemish/blemish/internal/kernel"
	"github.com/blemish/blemish/linalg"
)

// mixture is normal distributions. factors hold L⁻¹ of each covariance L·Lᵀ: of full and tied packed lower triangles (tied: one), of diag and
// spherical the diagonals.
type mixture struct {
	k, d    int
	kind    string
	weights []float64 // (k)
	means   Matrix    // (k,d)
	factors Matrix
	offsets []float64          // (k): log weight + log det L⁻¹ - d/2·log 2π
	panels  [][]kernel.Panel64 // of full and tied: each triangle, kernel.Block rows at a time
}

// leastShare is e^-70 ≈ 4e-31: components whose share of a row is less than this of the greatest are left out. All of them change a sum by less
// than its rounding.
const leastShare = -70

// prepare computes what likelihood needs. It fails where a factor's diagonal is not positive.
func (m *mixture) prepare() error {
	m.offsets = make([]float64, m.k)
	triangular := m.kind == "full" || m.kind == "tied"
	for k := range m.k {
		factor, logDet := m.factor(k), 0.0
		for j := range m.d {
			v := 0.0
			if triangular {
				v = factor[j*(j+1)/2+j]
			} else {
				v = factor[j]
			}
			if !(v > 0) || math.IsInf(v, 0) {
				return errCollapsed
			}
			logDet += math.Log(v)
		}
		m.offsets[k] = math.Log(m.weights[k]) + logDet - float64(m.d)/2*math.Log(2*math.Pi)
	}
	if triangular {
		m.panels = make([][]kernel.Panel64, m.factors.Rows)
		for f := range m.panels {
			m.panels[f] = triangleOf(m.factors.Row(f), m.d)
		}
	}
	return nil
}

// triangleOf cuts zeros above the diagonal off where a whole panel has them.
func triangleOf(lower []float64, d int) []kernel.Panel64 {
	var panels []kernel.Panel64
	for from := 0; from < d; from += kernel.Block {
		p := kernel.NewPanel64(min(from+kernel.Block, d))
		for i := from; i < len(p); i++ {
			p.Set(i-from, lower[i*(i+1)/2:][:i+1])
		}
		panels = append(panels, p)
	}
	return panels
}

// factor is component k's.
func (m *mixture) factor(k int) []float64 {
	if m.factors.Rows == 1 {
		k = 0
	}
	return m.factors.Row(k)
}

func (m *mixture) parameters() int {
	size := m.k * m.d * (m.d + 1) / 2
	switch m.kind {
	case "tied":
		size = m.d * (m.d + 1) / 2
	case "diag":
		size = m.k * m.d
	case "spherical":
		size = m.k
	}
	return size + m.k*m.d + m.k - 1
}

// judgedTogether rows are judged at a time, as many as the innermost cache holds beside some panels.
const judgedTogether = 64

// judgement is what judge finds of up to judgedTogether rows, and its scratch memory.
type judgement struct {
	logLikelihood []float64 // of each row
	share         Matrix    // (rows,k): of each component in the row, 1 in all

	square    Matrix    // (k,rows): squared distances as far as measured
	likeliest []int     // of each row: the component that its first values make likeliest
	greatest  []float64 // of each row: the greatest log-probability so far
	open      []int     // rows to be measured
	rows      [][]float64
	dots      []float64 // (rows,kernel.Block)
}

func (m *mixture) judgement() *judgement {
	return &judgement{
		logLikelihood: make([]float64, judgedTogether), share: NewMatrix(judgedTogether, m.k), square: NewMatrix(m.k, judgedTogether),
		likeliest: make([]int, judgedTogether), greatest: make([]float64, judgedTogether), dots: make([]float64, judgedTogether*kernel.Block),
	}
}

// judge finds the log-likelihoods and shares of rows first to last-1 of x. A component is given up as soon as it is sure to be left out, which shows
// early when the likeliest one is known: a factor's first rows say how likely a row's first values are, whatever follows. No result depends on the
// other rows.
func (m *mixture) judge(x Matrix, first, last int, r *judgement) {
	n := last - first
	r.open, r.rows = r.open[:0], r.rows[:0]
	for i := range n {
		r.open, r.rows = append(r.open, i), append(r.rows, x.Row(first+i))
	}
	for k := range m.k {
		clear(r.square.Row(k))
		m.measure(k, 0, r)
	}
	if m.panelCount() > 1 {
		m.finish(x, first, n, r)
	}
	for i := range n {
		r.logLikelihood[i] = m.conclude(i, r)
	}
}

// finish measures what the first panel leaves: of each row's likeliest component, then of the others as long as they matter.
func (m *mixture) finish(x Matrix, first, n int, r *judgement) {
	for k, offset := range m.offsets {
		for i, square := range r.square.Row(k)[:n] {
			if v := offset - square/2; k == 0 || v > r.greatest[i] {
				r.greatest[i], r.likeliest[i] = v, k
			}
		}
	}
	for i := range n {
		r.greatest[i] = math.Inf(-1) // what was measured is a bound only
	}
	for _, others := range []bool{false, true} {
		for k, offset := range m.offsets {
			squares := r.square.Row(k)
			r.open = r.open[:0]
			for i, likeliest := range r.likeliest[:n] {
				if others == (likeliest != k) {
					r.open = append(r.open, i)
				}
			}
			m.giveUp(k, r)
			for panel := 1; panel < m.panelCount() && len(r.open) > 0; panel++ {
				r.rows = r.rows[:0]
				for _, i := range r.open {
					r.rows = append(r.rows, x.Row(first+i))
				}
				m.measure(k, panel, r)
				m.giveUp(k, r)
			}
			for _, i := range r.open {
				r.greatest[i] = max(r.greatest[i], offset-squares[i]/2)
			}
		}
	}
}

// panelCount is 1 of diag and spherical, too, which are measured at once.
func (m *mixture) panelCount() int {
	if m.panels == nil {
		return 1
	}
	return len(m.panels[0])
}

// measure adds a panel of component k's factor to the squared distances of the open rows.
func (m *mixture) measure(k, panel int, r *judgement) {
	mean, squares := m.means.Row(k), r.square.Row(k)
	if m.panels == nil {
		factor := m.factor(k)[:len(mean)]
		for o, i := range r.open {
			square := 0.0
			for j, v := range r.rows[o][:len(mean)] {
				y := factor[j] * (v - mean[j])
				square += y * y
			}
			squares[i] = square
		}
		return
	}
	m.panels[min(k, len(m.panels)-1)][panel].Dots(r.dots, kernel.Block, r.rows, mean)
	for o, i := range r.open {
		squares[i] += squaredLength((*[kernel.Block]float64)(r.dots[o*kernel.Block:]))
	}
}

// squaredLength adds up squares in four sums that do not wait for each other.
func squaredLength(v *[kernel.Block]float64) float64 {
	var s0, s1, s2, s3 float64
	for j := 0; j < len(v); j += 4 {
		s0 += v[j] * v[j]
		s1 += v[j+1] * v[j+1]
		s2 += v[j+2] * v[j+2]
		s3 += v[j+3] * v[j+3]
	}
	return s0 + s1 + (s2 + s3)
}

// giveUp closes the rows that component k is too far from: what was measured is enough for conclude to leave it out.
func (m *mixture) giveUp(k int, r *judgement) {
	offset, squares, still := m.offsets[k], r.square.Row(k), r.open[:0]
	for _, i := range r.open {
		if !(squares[i] > 2*(offset-(r.greatest[i]+leastShare))) {
			still = append(still, i)
		}
	}
	r.open = still
}

// conclude fills in the row's shares, and returns its log-likelihood.
func (m *mixture) conclude(i int, r *judgement) float64 {
	share, greatest := r.share.Row(i), math.Inf(-1)
	for k, offset := range m.offsets {
		share[k] = offset - r.square.Row(k)[i]/2
		greatest = max(greatest, share[k])
	}
	sum := 0.0
	for k, v := range share {
		share[k] = 0
		if v -= greatest; v >= leastShare {
			share[k] = math.Exp(v)
			sum += share[k]
		}
	}
	for k := range share {
		share[k] /= sum
	}
	return greatest + math.Log(sum)
}

// invertCovariance turns a packed covariance into L⁻¹.
func invertCovariance(lower []float64, d int) error {
	if linalg.Cholesky(lower, d) != nil {
		return errCollapsed
	}
	linalg.InvertLower(lower, d)
	return nil
}
