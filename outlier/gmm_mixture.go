package outlier

import (
	"math"

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
	offsets []float64 // (k): log weight + log det L⁻¹ - d/2·log 2π
	four    [][]panel // of full and tied: the triangle four rows at a time
}

// panel is four rows of a lower triangle, interleaved and filled up with zeros: entry (r,j) is [j][r].
type panel [][4]float64

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
		m.four = make([][]panel, m.factors.Rows)
		for f := range m.four {
			m.four[f] = panelsOf(m.factors.Row(f), m.d)
		}
	}
	return nil
}

func panelsOf(lower []float64, d int) []panel {
	var panels []panel
	for from := 0; from < d; from += 4 {
		p := make(panel, min(from+4, d))
		for r := range min(4, d-from) {
			i := from + r
			for j, v := range lower[i*(i+1)/2:][:i+1] {
				p[j][r] = v
			}
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

// responsibility is scratch memory of likelihood, and its by-product.
type responsibility struct {
	share []float64 // (k): of each component in the row, 1 in all
	best  int       // the greatest
	z     []float64 // (d)
	begun []float64 // (k): each component's squared distance by its first begunPanels, where begin found it; else empty
}

func (m *mixture) scratch() *responsibility {
	return &responsibility{share: make([]float64, m.k), z: make([]float64, m.d)}
}

// likelihood returns the row's log-likelihood and fills in shares. It looks at component first before the others, and gives these up as soon as
// they are sure to be left out; no result depends on which is first.
func (m *mixture) likelihood(row []float64, first int, r *responsibility) float64 {
	greatest := m.logProbability(row, first, math.Inf(-1), r)
	r.share[first] = greatest
	for k := range m.k {
		if k != first {
			r.share[k] = m.logProbability(row, k, greatest+leastShare, r)
			greatest = max(greatest, r.share[k])
		}
	}
	sum := 0.0
	for k, v := range r.share {
		if v == greatest {
			r.best = k
		}
		if v -= greatest; v >= leastShare {
			r.share[k] = math.Exp(v)
			sum += r.share[k]
		} else {
			r.share[k] = 0
		}
	}
	for k := range r.share {
		r.share[k] /= sum
	}
	return greatest + math.Log(sum)
}

// begunPanels are those of the row's first values, four times as many.
const begunPanels = 2

// begin returns the component that the row's first values make likeliest, and keeps what it found for likelihood. A factor's first rows say how
// likely these values are, whatever follows.
func (m *mixture) begin(row []float64, r *responsibility) int {
	if r.begun = r.begun[:0]; m.four == nil || m.k == 1 || m.d <= 4*begunPanels {
		return 0
	}
	best, greatest := 0, math.Inf(-1)
	for k := range m.k {
		mean := m.means.Row(k)
		for j := range 4 * begunPanels {
			r.z[j] = row[j] - mean[j]
		}
		square := 0.0
		for _, p := range m.panels(k)[:begunPanels] {
			square += p.square(r.z)
		}
		r.begun = append(r.begun, square)
		if v := m.offsets[k] - square/2; v > greatest {
			best, greatest = k, v
		}
	}
	return best
}

// panels are component k's.
func (m *mixture) panels(k int) []panel {
	if len(m.four) == 1 {
		k = 0
	}
	return m.four[k]
}

// square is the length of four rows' products with z, squared.
func (p panel) square(z []float64) float64 {
	var s0, s1, s2, s3 float64
	for j, v := range z[:len(p)] {
		c := &p[j]
		s0 += c[0] * v
		s1 += c[1] * v
		s2 += c[2] * v
		s3 += c[3] * v
	}
	return s0*s0 + s1*s1 + (s2*s2 + s3*s3)
}

// logProbability is of the row and component k together, or -Inf once it is below least.
func (m *mixture) logProbability(row []float64, k int, least float64, r *responsibility) float64 {
	mean := m.means.Row(k)[:len(row)]
	offset := m.offsets[k]
	most := 2 * (offset - least) // of the squared distance
	square := 0.0
	if m.four == nil {
		for j, f := range m.factor(k)[:len(row)] {
			y := f * (row[j] - mean[j])
			square += y * y
		}
		return offset - square/2
	}
	panels := m.panels(k)
	if len(r.begun) > 0 {
		if square, panels = r.begun[k], panels[begunPanels:]; square > most {
			return math.Inf(-1)
		}
	}
	done := 0
	for _, p := range panels {
		for ; done < len(p); done++ {
			r.z[done] = row[done] - mean[done]
		}
		if square += p.square(r.z); square > most {
			return math.Inf(-1)
		}
	}
	return offset - square/2
}

// invertCovariance turns a packed covariance into L⁻¹.
func invertCovariance(lower []float64, d int) error {
	if linalg.Cholesky(lower, d) != nil {
		return errCollapsed
	}
	linalg.InvertLower(lower, d)
	return nil
}
