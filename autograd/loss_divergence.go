package autograd

import "math"

// KLDiv is the Kullback-Leibler divergence of distributions: Σ y·(log y - x), x holding logarithms of probabilities and y probabilities, of
// equal shapes. PyTorch's default ReduceMean divides by the number of values; the divergence as it is defined is ReduceBatchMean. Where y is
// 0, its term is 0; the gradient of y there is taken to be -x, its logarithm left out.
func (t *Tape) KLDiv(x, y *Var, r Reduction) *Var { return t.pair(klDiv, backKLDiv, x, y, 0, 0, r) }

// KLDivLog is KLDiv with y, too, given as logarithms: Σ exp(y)·(y-x).
func (t *Tape) KLDivLog(x, y *Var, r Reduction) *Var {
	return t.pair(klDivLog, backKLDivLog, x, y, 0, 0, r)
}

// GaussianKL is the divergence of normal distributions from the standard normal, the regulariser of variational autoencoders (Kingma and
// Welling 2014, appendix B): -½·Σ(1 + logvar - mu² - exp(logvar)), divided by N; mu and logvar (N, …).
func (t *Tape) GaussianKL(mu, logvar *Var) *Var {
	if len(mu.Shape()) == 0 {
		t.misfit("gaussian_kl", "(N, …)", mu.Shape())
	}
	return t.pair(gaussianKL, backGaussianKL, mu, logvar, 0, 0, ReduceBatchMean)
}

var klDiv = &pairwise{"kl_div", func(x, y, _, _ float64) float64 {
	if y == 0 {
		return 0
	}
	return y * (math.Log(y) - x)
}, func(x, y, _, _ float64) (dx, dy float64) {
	if y == 0 {
		return 0, -x
	}
	return -y, math.Log(y) + 1 - x
}}

var klDivLog = &pairwise{"kl_div", func(x, y, _, _ float64) float64 { return math.Exp(y) * (y - x) }, func(x, y, _, _ float64) (dx, dy float64) {
	p := math.Exp(y)
	return -p, p * (y - x + 1)
}}

// exp(logvar)-1 is computed as one, exact near 0
var gaussianKL = &pairwise{"gaussian_kl", func(mu, logvar, _, _ float64) float64 {
	return (mu*mu + math.Expm1(logvar) - logvar) / 2
}, func(mu, logvar, _, _ float64) (dmu, dlogvar float64) { return mu, math.Expm1(logvar) / 2 }}

func backKLDiv(t *Tape, n *node)      { t.backPair(n, klDiv) }
func backKLDivLog(t *Tape, n *node)   { t.backPair(n, klDivLog) }
func backGaussianKL(t *Tape, n *node) { t.backPair(n, gaussianKL) }
