package outlier

import (
	"fmt"
	"math"
	"slices"

	"github.com/blemish/blemish/fault"
	"github.com/blemish/blemish/internal/kernel"
)

// KernelConfig is a kernel K(x,y) of support vector machines, with scikit-learn's parameters.
type KernelConfig struct {
	Kernel string  `json:"kernel"` // rbf exp(-γ‖x-y‖²), linear x·y, poly (γ x·y+coef0)^degree or sigmoid tanh(γ x·y+coef0)
	Gamma  Setting `json:"gamma"`  // scale: 1/(d·variance of all values), or 1 if that is 0; auto: 1/d; or a number
	Coef0  float64 `json:"coef0"`
	Degree int     `json:"degree"`
}

// Validate names the first parameter that is out of range.
func (c KernelConfig) Validate() error {
	switch {
	case !slices.Contains([]string{"rbf", "linear", "poly", "sigmoid"}, c.Kernel):
		return &fault.ConfigError{Field: "kernel", Value: c.Kernel, Reason: "known are rbf, linear, poly and sigmoid"}
	case c.Coef0-c.Coef0 != 0:
		return &fault.ConfigError{Field: "coef0", Value: c.Coef0, Reason: "want a finite number"}
	case c.Degree < 0:
		return &fault.ConfigError{Field: "degree", Value: c.Degree, Reason: "want 0 or more"}
	}
	return c.Gamma.check("gamma", "scale", "auto")
}

// gamma is the number that the setting stands for.
func (c KernelConfig) gamma(x Matrix) float64 {
	switch c.Gamma.Name {
	case "":
		return c.Gamma.Value
	case "auto":
		return 1 / float64(x.Cols)
	}
	n := float64(len(x.Data))
	mean, variance := 0.0, 0.0
	for _, v := range x.Data {
		mean += v / n
	}
	for _, v := range x.Data {
		variance += (v - mean) * (v - mean) / n
	}
	if variance == 0 {
		return 1
	}
	return 1 / (float64(x.Cols) * variance)
}

// mapped is a kernel ready to be computed: rows are shifted (rbf only: it does not change distances, and keeps rounding small), multiplied by
// √γ and rounded to single precision, so that γ is in them.
type mapped struct {
	config KernelConfig
	gamma  float64
	shift  []float64 // of each column
	width  int       // values of a mapped row, zeros behind
}

func (c KernelConfig) mapping(gamma float64, shift []float64) *mapped {
	return &mapped{c, gamma, shift, kernel.Dim(len(shift))}
}

// shiftOf is the mean row for the kernel that distances decide, else zeros.
func (c KernelConfig) shiftOf(x Matrix) []float64 {
	shift := make([]float64, x.Cols)
	if c.Kernel == "rbf" {
		for i := range x.Rows {
			for j, v := range x.Row(i) {
				shift[j] += v / float64(x.Rows)
			}
		}
	}
	return shift
}

// farthestMapped is the largest magnitude of which squares can be added up in single precision.
const farthestMapped = 1e15

// rows maps x to (Rows, width).
func (m *mapped) rows(x Matrix) ([]float32, error) {
	out := kernel.Aligned(x.Rows * m.width)
	scale := math.Sqrt(m.gamma)
	if m.config.Kernel == "linear" {
		scale = 1
	}
	for i := range x.Rows {
		for j, v := range x.Row(i) {
			v = (v - m.shift[j]) * scale
			if !(math.Abs(v) < farthestMapped) {
				return nil, fmt.Errorf("row %d, column %d (both from 0) is %v: too far for the kernel; scale the columns", i, j, x.Row(i)[j])
			}
			out[i*m.width+j] = float32(v)
		}
	}
	return out, nil
}

// values are K of a mapped row and of each of rows, in single precision.
func (m *mapped) values(dst, row, rows []float32) {
	if m.config.Kernel == "rbf" {
		kernel.Gaussians(dst, row, rows)
		return
	}
	for i := range dst {
		dst[i] = float32(m.ofProduct(row, rows[i*m.width:][:m.width]))
	}
}

// own is K of a mapped row and itself.
func (m *mapped) own(row []float32) float64 {
	if m.config.Kernel == "rbf" {
		return 1
	}
	return m.ofProduct(row, row)
}

// ofProduct is K of two mapped rows, of the kernels that their product decides.
func (m *mapped) ofProduct(a, b []float32) float64 {
	_, dot := kernel.Moments(a, b, 0, 0)
	switch m.config.Kernel {
	case "poly":
		return power(dot+m.config.Coef0, m.config.Degree)
	case "sigmoid":
		return math.Tanh(dot + m.config.Coef0)
	}
	return dot
}

func power(v float64, n int) float64 {
	p := 1.0
	for ; n > 0; n >>= 1 {
		if n&1 == 1 {
			p *= v
		}
		v *= v
	}
	return p
}
