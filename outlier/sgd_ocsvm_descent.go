package outlier

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"

	"github.com/blemish/blemish/internal/kernel"
)

// descent minimises ν/2·‖w‖² + ν·b + mean of max(0, 1 - (w·z + b)) over the rows z, one row a step: Schölkopf's problem with offset 1 - b. It
// takes scikit-learn's steps in scikit-learn's order. w is kept as scale·v, so that shrinking it costs one product (Shalev-Shwartz, Singer and
// Srebro, ICML 2007), and the mean of all w as (Σ + a·v)/b (Bottou, Stochastic Gradient Descent Tricks, 2012).
type descent struct {
	config SGDOneClassSVMConfig
	rows   Matrix

	v         []float64
	scale     float64
	square    float64 // ‖w‖²
	intercept float64
	seen      float64 // rows, from 1
	eta       float64

	sum           []float64 // nil: no average
	a, b          float64
	meanIntercept float64

	epochs    int
	converged bool
}

const (
	fetchAhead  = 2   // steps
	mostFetched = 512 // values of a row: the processor foresees what follows them
)

// leastScale is where v is made small instead.
const leastScale = 1e-9

func newDescent(c SGDOneClassSVMConfig, rows Matrix) *descent {
	s := &descent{config: c, rows: rows, v: make([]float64, rows.Cols), scale: 1, intercept: 1, seen: 1, eta: c.Eta0, b: 1}
	if c.Average > 0 {
		s.sum = make([]float64, rows.Cols)
	}
	return s
}

// run goes through the rows until the mean objective no longer improves.
func (s *descent) run(ctx context.Context, rng *rand.Rand, opts *Options) error {
	order := make([]int, s.rows.Rows)
	for i := range order {
		order[i] = i
	}
	best, worse := math.Inf(1), 0
	for s.epochs < s.config.MaxIter {
		if err := ctx.Err(); err != nil {
			return err
		}
		if s.config.Shuffle {
			rng.Shuffle(len(order), func(i, j int) { order[i], order[j] = order[j], order[i] })
		}
		objective := 0.0
		for t, i := range order {
			if t+fetchAhead < len(order) { // the processor foresees no shuffled rows
				row := s.rows.Row(order[t+fetchAhead])
				kernel.Fetch(row[:min(len(row), mostFetched)])
			}
			objective += s.step(s.rows.Row(i))
		}
		s.epochs++
		opts.report(s.epochs, s.config.MaxIter)
		if !s.isFinite() {
			return fmt.Errorf("the plane left double precision in pass %d: scale the columns, or take a smaller eta0", s.epochs)
		}
		objective /= float64(len(order))
		if s.config.Tol >= 0 && objective > best-s.config.Tol {
			worse++
		} else {
			worse = 0
		}
		best = min(best, objective)
		if worse < s.config.NoChange {
			continue
		}
		if s.config.LearningRate == "adaptive" && s.eta > 1e-6 {
			s.eta /= 5
			worse = 0
			continue
		}
		s.converged = true
		break
	}
	s.resetScale()
	return nil
}

// step learns from one row, and returns the objective before it did.
func (s *descent) step(z []float64) float64 {
	nu := s.config.Nu
	p := s.scale*dotOfFour(s.v, z) + s.intercept
	switch s.config.LearningRate {
	case "optimal":
		first := 1 / (math.Sqrt(1/math.Sqrt(nu)) * nu) // so that the first step is √(1/√ν)
		s.eta = 1 / (nu * (first + s.seen - 1))
	case "invscaling":
		s.eta = s.config.Eta0 / math.Pow(s.seen, s.config.PowerT)
	}
	objective := max(0, 1-p) + nu*0.5*s.square + s.intercept*nu
	update := 0.0
	if p <= 1 {
		update = s.eta
	}
	s.shrink(max(0, 1-s.eta*nu))
	if update != 0 {
		s.add(z, update)
	}
	if s.config.FitIntercept {
		s.intercept += update - s.eta*nu
	}
	if from := float64(s.config.Average); s.sum != nil && s.seen >= from {
		n := s.seen - from + 1
		s.addAverage(z, update, n)
		s.meanIntercept += (s.intercept - s.meanIntercept) / n
	}
	s.seen++
	return objective
}

func (s *descent) shrink(by float64) {
	s.scale *= by
	s.square *= by * by
	if s.scale < leastScale {
		s.resetScale()
	}
}

// add adds by·z to w.
func (s *descent) add(z []float64, by float64) {
	by /= s.scale
	square := 0.0
	for j, u := range z {
		s.v[j] += u * by
		square += s.v[j] * s.v[j]
	}
	s.square = square * (s.scale * s.scale)
}

// addAverage makes w the n-th that is averaged; its last step was by·z.
func (s *descent) addAverage(z []float64, by, n float64) {
	if by != 0 {
		by = s.a * -by / s.scale
		for j, u := range z {
			s.sum[j] += u * by
		}
	}
	if n > 1 {
		s.b /= 1 - 1/n
	}
	s.a += s.b * s.scale / n
}

func (s *descent) resetScale() {
	if s.sum != nil {
		for j, v := range s.v {
			s.sum[j] = (s.sum[j] + s.a*v) / s.b
		}
		s.a, s.b = 0, 1
	}
	for j := range s.v {
		s.v[j] *= s.scale
	}
	s.scale = 1
}

func (s *descent) isFinite() bool {
	total := s.intercept
	for _, v := range s.v {
		total += 0 * v
	}
	return total-total == 0
}

// plane is the last one, or the mean where enough rows were seen for one.
func (s *descent) plane() (coef []float64, intercept float64) {
	if s.sum != nil && float64(s.config.Average) <= s.seen-1 {
		return s.sum, s.meanIntercept
	}
	return s.v, s.intercept
}

// dotOfFour is the dot product, in four sums that do not wait for each other.
func dotOfFour(a, b []float64) float64 {
	b = b[:len(a)]
	var s0, s1, s2, s3 float64
	j := 0
	for ; j+4 <= len(a); j += 4 {
		s0 += a[j] * b[j]
		s1 += a[j+1] * b[j+1]
		s2 += a[j+2] * b[j+2]
		s3 += a[j+3] * b[j+3]
	}
	for ; j < len(a); j++ {
		s0 += a[j] * b[j]
	}
	return s0 + s1 + (s2 + s3)
}
