package outlier

import (
	"context"
	"math"

	"github.com/blemish/blemish/internal/parallel"
)

// scoreGroups is scoreBlocks with a size of its own.
func scoreGroups(ctx context.Context, rows, size, workers int, f func(first, last int)) error {
	parallel.For(workers, (rows+size-1)/size, func(b int) {
		if ctx.Err() == nil {
			f(b*size, min((b+1)*size, rows))
		}
	})
	return ctx.Err()
}

// kdeBlock is up to rowBlock rows, four interleaved: column j of rows 4·g to 4·g+3 is four[g·d+j]. Missing rows are zeros.
type kdeBlock struct {
	rows int
	four [][4]float64
}

func interleave(x Matrix) []kdeBlock {
	var blocks []kdeBlock
	for from := 0; from < x.Rows; from += rowBlock {
		b := kdeBlock{rows: min(rowBlock, x.Rows-from)}
		b.four = make([][4]float64, (b.rows+3)/4*x.Cols)
		for i := range b.rows {
			for j, v := range x.Row(from + i) {
				b.four[i/4*x.Cols+j][i%4] = v
			}
		}
		blocks = append(blocks, b)
	}
	return blocks
}

// distances writes squared distances from a query, by direct subtraction.
func (b kdeBlock) distances(dst, query []float64) {
	d := len(query)
	for g := range len(b.four) / d {
		four := b.four[g*d:][:len(query)]
		var s0, s1, s2, s3 float64
		for j, v := range query {
			c := &four[j]
			d0, d1, d2, d3 := v-c[0], v-c[1], v-c[2], v-c[3]
			s0 += d0 * d0
			s1 += d1 * d1
			s2 += d2 * d2
			s3 += d3 * d3
		}
		to := dst[4*g : 4*g+4]
		to[0], to[1], to[2], to[3] = s0, s1, s2, s3
	}
}

// kernelSum is sum·exp(shift). Kernels of unbounded support are added as exponentials relative to the greatest so far.
type kernelSum struct{ sum, shift float64 }

// add adds the kernels of squared distances, which it overwrites. without is one that is left out, or -1.
func (s *kernelSum) add(kernel string, h float64, squares []float64, without int) {
	switch kernel {
	case "gaussian":
		factor := -0.5 / (h * h)
		for i, v := range squares {
			squares[i] = v * factor
		}
		s.addExponentials(squares, without)
		return
	case "exponential":
		for i, v := range squares {
			squares[i] = -math.Sqrt(v) / h
		}
		s.addExponentials(squares, without)
		return
	}
	s.shift = 0
	for i, v := range squares {
		d := math.Sqrt(v)
		if i == without || d >= h {
			continue
		}
		switch kernel {
		case "tophat":
			s.sum++
		case "epanechnikov":
			s.sum += 1 - v/(h*h)
		case "linear":
			s.sum += 1 - d/h
		case "cosine":
			s.sum += math.Cos(math.Pi / 2 * d / h)
		}
	}
}

func (s *kernelSum) addExponentials(exponents []float64, without int) {
	if without >= 0 {
		exponents[without] = math.Inf(-1)
	}
	greatest := s.shift
	for _, v := range exponents {
		if v > greatest {
			greatest = v
		}
	}
	if math.IsInf(greatest, -1) {
		return
	}
	if greatest > s.shift {
		s.sum *= math.Exp(s.shift - greatest)
		s.shift = greatest
	}
	for _, v := range exponents {
		if v -= s.shift; v > -60 { // beyond, even 10⁹ of them are below the sum's rounding
			s.sum += expOf(v)
		}
	}
}

// parts are 2^(i/64).
var parts = func() (t [64]float64) {
	for i := range t {
		t[i] = math.Exp2(float64(i) / 64)
	}
	return t
}()

// expOf is exp(z) for z in [-700,0], to 2e-16 relative and |z|·2e-16: 2^(k/64)·exp(r), |r| ≤ ln2/128, by a table and Taylor's polynomial.
func expOf(z float64) float64 {
	const toInteger = 3 << 51 // added to a small float64, it leaves an integer in the lowest bits
	t := z*(64*math.Log2E) + toInteger
	b := math.Float64bits(t)
	r := z - (t-toInteger)*(math.Ln2/64)
	p := 1 + r*(1+r*(1./2+r*(1./6+r*(1./24+r*(1./120)))))
	return parts[b&63] * math.Float64frombits((b>>6+1023)<<52) * p
}

// logKernelVolume is the logarithm of a kernel's integral over d dimensions at bandwidth 1.
func logKernelVolume(kernel string, d int) float64 {
	n := float64(d)
	ball := func(n float64) float64 { // volume of the unit ball
		g, _ := math.Lgamma(n/2 + 1)
		return n/2*math.Log(math.Pi) - g
	}
	sphere := func(n float64) float64 { return math.Log(2*math.Pi) + ball(n-1) } // surface of the ball of n+1 dimensions
	switch kernel {
	case "gaussian":
		return n / 2 * math.Log(2*math.Pi)
	case "tophat":
		return ball(n)
	case "epanechnikov":
		return ball(n) + math.Log(2/(n+2))
	case "exponential":
		g, _ := math.Lgamma(n)
		return sphere(n-1) + g
	case "linear":
		return ball(n) - math.Log(n+1)
	}
	return sphere(n-1) + math.Log(cosineMoment(n))
}

// cosineMoment is ∫₀¹ cos(πr/2)·r^(n-1) dr, by the cosine's Taylor series. scikit-learn 1.9 integrates by parts, but of even n leaves the last term
// out (n = 2: a density that integrates to 0.36; n = 4: NaN), and of more than about 15 loses all digits to cancellation: there, scores differ from
// its by a constant.
func cosineMoment(n float64) float64 {
	sum, term := 0.0, 1.0
	for k := 0.0; k < 40; k++ {
		sum += term / (n + 2*k)
		term *= -(math.Pi / 2) * (math.Pi / 2) / ((2*k + 1) * (2*k + 2))
	}
	return sum
}
