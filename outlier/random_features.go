package outlier

import (
	"math"
	"math/rand/v2"
)

// randomFeatures maps a row to cosines along random directions, whose dot products are on average the kernel exp(-γ‖x-y‖²) (Rahimi and Recht,
// NIPS 2007), as scikit-learn's RBFSampler: z = √(2/m)·cos(Wᵀx + b), W normal of variance 2γ, b uniform over a turn.
type randomFeatures struct {
	weights Matrix    // (m,d): W transposed
	offset  []float64 // (m)
	rows    packed    // weights, to be computed with
}

func newRandomFeatures(components, cols int, gamma float64, rng *rand.Rand) *randomFeatures {
	weights, offset := NewMatrix(components, cols), make([]float64, components)
	for i := range weights.Data {
		weights.Data[i] = math.Sqrt(2*gamma) * rng.NormFloat64()
	}
	for i := range offset {
		offset[i] = 2 * math.Pi * rng.Float64()
	}
	return randomFeaturesOf(weights, offset)
}

func randomFeaturesOf(weights Matrix, offset []float64) *randomFeatures {
	return &randomFeatures{weights, offset, packedOf(weights)}
}

func (m *randomFeatures) values() int   { return len(m.offset) }
func (m *randomFeatures) features() int { return len(m.offset) }

// first writes the cosines.
func (m *randomFeatures) first(dst, rows [][]float64) {
	m.rows.dots(dst, rows)
	for _, values := range dst {
		for i, v := range values {
			values[i] = math.Cos(v + m.offset[i])
		}
	}
}

func (m *randomFeatures) scale() float64 { return math.Sqrt(2 / float64(len(m.offset))) }

// second gives the features their length.
func (m *randomFeatures) second(dst, values [][]float64) {
	s := m.scale()
	for i, row := range values {
		for j, v := range row {
			dst[i][j] = s * v
		}
	}
}

func (m *randomFeatures) folded(weights []float64) []float64 {
	out := make([]float64, len(weights))
	m.second([][]float64{out}, [][]float64{weights})
	return out
}

func (m *randomFeatures) arrays() map[string]Array {
	return map[string]Array{"random_weights": arrayOf(m.weights), "random_offset": vectorOf(m.offset)}
}

func readRandomFeatures(r *saved) *randomFeatures {
	weights := r.matrix("random_weights", -1, -1)
	offset := r.array("random_offset", weights.Rows).Data
	if r.err == nil && measurable(weights) != nil {
		r.err = r.damaged("random_weights are beyond double precision")
	}
	if r.err != nil {
		return nil
	}
	return randomFeaturesOf(weights, offset)
}
