package outlier

import (
	"context"
	"math"
	"math/rand/v2"

	"github.com/blemish/blemish/internal/parallel"
	"github.com/blemish/blemish/linalg"
)

// nystroem maps a row to features whose dot products are close to a kernel's values: N·k(x), where k(x) are its kernel values with some of the
// rows fitted, the basis, and N is the inverse root of the kernel matrix K of the basis (Williams and Seeger, NIPS 2000). As scikit-learn's
// Nystroem, N is U·S^-½·V of K's singular values, of which none counts as less than 1e-12. K is computed in double precision, rows' distances by
// direct subtraction.
type nystroem struct {
	config        KernelConfig
	gamma         float64
	components    Matrix    // (m,d), the basis
	normalization Matrix    // (m,m)
	lengths       []float64 // of the basis rows, for the cosine

	basis, rows packed // components and normalization, to be computed with
}

// nystroemKernels are those of KernelConfig, and two more: laplacian exp(-γ Σ|x-y|) and cosine x·y/(|x||y|), 0 of a row of zeros.
var nystroemKernels = []string{"rbf", "laplacian", "linear", "poly", "sigmoid", "cosine"}

// leastSingular is scikit-learn's bound of singular values.
const leastSingular = 1e-12

// newNystroem picks the basis at random; of fewer rows than components, each is in it, as in scikit-learn.
func newNystroem(ctx context.Context, c SGDOneClassSVMConfig, x Matrix, gamma float64, rng *rand.Rand, workers int) (*nystroem, error) {
	return nystroemOn(ctx, c.KernelConfig, x, gamma, rng.Perm(x.Rows)[:min(c.NComponents, x.Rows)], workers)
}

// nystroemOn takes the rows of the given indices for the basis.
func nystroemOn(ctx context.Context, c KernelConfig, x Matrix, gamma float64, indices []int, workers int) (*nystroem, error) {
	n := &nystroem{config: c, gamma: gamma, components: NewMatrix(len(indices), x.Cols)}
	for k, i := range indices {
		copy(n.components.Row(k), x.Row(i))
	}
	n.prepareBasis()
	m := len(indices)
	k := make([]float64, m*m)
	if err := eachMapped(ctx, n, n.components, workers, func(first int, values [][]float64) {
		for i, v := range values {
			copy(k[(first+i)*m:], v)
		}
	}); err != nil {
		return nil, err
	}
	for _, v := range k {
		if v-v != 0 {
			return nil, errKernelRange
		}
	}
	values, vectors, err := linalg.SymmetricEigen(k, m)
	if err != nil {
		return nil, err
	}
	n.normalization = inverseRoot(values, vectors, workers)
	n.rows = packedOf(n.normalization)
	return n, ctx.Err()
}

func (n *nystroem) prepareBasis() {
	n.basis = packedOf(n.components)
	n.lengths = make([]float64, n.components.Rows)
	for i := range n.lengths {
		n.lengths[i] = math.Sqrt(dotProduct(n.components.Row(i), n.components.Row(i)))
	}
}

// inverseRoot is Σ sign(λ)·max(|λ|, 1e-12)^-½·vvᵀ: U·S^-½·V of a symmetric matrix, whose singular values are its eigenvalues' magnitudes.
func inverseRoot(values, vectors []float64, workers int) Matrix {
	m := len(values)
	out := NewMatrix(m, m)
	weights := make([]float64, m)
	for k, v := range values {
		weights[k] = math.Copysign(1/math.Sqrt(max(math.Abs(v), leastSingular)), v)
	}
	parallel.For(workers, m, func(i int) {
		row := out.Row(i)
		for k, w := range weights {
			axis := vectors[k*m : (k+1)*m]
			s := w * axis[i]
			for j, v := range axis {
				row[j] += s * v
			}
		}
	})
	return out
}

func (n *nystroem) values() int   { return n.components.Rows }
func (n *nystroem) features() int { return n.normalization.Rows }

// first writes k(x).
func (n *nystroem) first(dst, rows [][]float64) {
	switch n.config.Kernel {
	case "rbf":
		n.basis.squares(dst, rows)
	case "laplacian":
		n.basis.absolutes(dst, rows)
	default:
		n.basis.dots(dst, rows)
	}
	for i, values := range dst {
		n.ofProducts(values, rows[i])
	}
}

// ofProducts turns the products or distances of a row and the basis into kernel values.
func (n *nystroem) ofProducts(values, row []float64) {
	switch n.config.Kernel {
	case "rbf", "laplacian":
		for i, v := range values {
			values[i] = 0
			if v *= -n.gamma; v >= -700 { // beyond, it is less than 1e-304
				values[i] = expOf(v)
			}
		}
	case "poly":
		for i, v := range values {
			values[i] = power(n.gamma*v+n.config.Coef0, n.config.Degree)
		}
	case "sigmoid":
		for i, v := range values {
			values[i] = math.Tanh(n.gamma*v + n.config.Coef0)
		}
	case "cosine":
		length := math.Sqrt(dotProduct(row, row))
		for i, v := range values {
			if v != 0 {
				values[i] = v / (length * n.lengths[i])
			}
		}
	}
}

// second writes N·k.
func (n *nystroem) second(dst, values [][]float64) { n.rows.dots(dst, values) }

// folded is Nᵀ·w: w·(N·k) = (Nᵀ·w)·k.
func (n *nystroem) folded(weights []float64) []float64 {
	out := make([]float64, n.normalization.Cols)
	for i, w := range weights {
		for j, v := range n.normalization.Row(i) {
			out[j] += w * v
		}
	}
	return out
}

func (n *nystroem) arrays() map[string]Array {
	return map[string]Array{"components": arrayOf(n.components), "normalization": arrayOf(n.normalization), "gamma": numberOf(n.gamma)}
}

func readNystroem(r *saved, c KernelConfig) *nystroem {
	n := &nystroem{config: c, components: r.matrix("components", -1, -1), gamma: r.number("gamma")}
	n.normalization = r.matrix("normalization", n.components.Rows, n.components.Rows)
	if r.err == nil && !(n.gamma > 0) {
		r.err = r.damaged("gamma is %v", n.gamma)
	}
	if r.err == nil && measurable(n.components) != nil {
		r.err = r.damaged("components are beyond double precision")
	}
	if r.err != nil {
		return nil
	}
	n.prepareBasis()
	n.rows = packedOf(n.normalization)
	return n
}
