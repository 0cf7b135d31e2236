package classifier

import (
	"context"
	"math"

	"github.com/blemish/blemish/nn"
	"github.com/blemish/blemish/tensor"
)

// finish takes the best weights, and finds out on the validation pictures how far the probabilities must be tempered and whether judging
// mirrored pictures, too, helps.
func (f *fit) finish(ctx context.Context) (*Detector, error) {
	c := f.config
	if c.StopAfter > 0 {
		for i, s := range nn.State(f.net) {
			copy(s.Value.Data, f.best.buffers[i].Value.Data)
		}
	}
	f.net.training(c, false)
	fitted := Fitted{Config: c, Classes: f.data.Classes, Clean: f.data.Clean, Temperature: 1, History: f.progress.History, Best: f.progress.BestEpoch}
	logits := f.validLogits()
	if c.Temper {
		fitted.Temperature = temperature(logits, f.valid.labels)
	}
	if c.Flips {
		if err := f.mirrors(ctx, logits, &fitted); err != nil {
			return nil, err
		}
	}
	if f.scaling != nil {
		out := f.net.last[0]
		f.scaling.fold(out.Weight.Value, out.Bias.Value)
	}
	nn.Freeze(f.net, true)
	return newDetector(fitted, f.opts.Extractor, f.net), nil
}

// mirrors finds out whether averaging over a picture's mirror images, one or all three, helps. That costs two and four times the work, which
// must be worth it: at least as many right, and a twentieth off the loss.
func (f *fit) mirrors(ctx context.Context, plain *tensor.Tensor, fitted *Fitted) error {
	best, _ := score(plain, f.valid.labels)
	least := expected(plain, f.valid.labels, fitted.Temperature)
	sum := plain.Clone()
	done := 0
	for _, m := range []Mirrors{Sideways, AllMirrors} {
		images := m.images()
		for _, turn := range images[done:] {
			features, err := f.cache(ctx, "mirrored validation features", f.data.Valid, judged, turn.of)
			if err != nil {
				return err
			}
			if f.scaling != nil {
				f.scaling.apply(features)
			}
			for i, v := range f.logitsOf(features).Data {
				sum.Data[i] += v
			}
		}
		done = len(images)
		mean, t := sum.Clone(), 1.0
		for i := range mean.Data {
			mean.Data[i] /= float32(1 + done)
		}
		if f.config.Temper {
			t = temperature(mean, f.valid.labels)
		}
		right, _ := score(mean, f.valid.labels)
		if l := expected(mean, f.valid.labels, t); right >= best && l < 0.95*least {
			fitted.Mirrored, fitted.Temperature, best, least = m, t, right, l
		}
	}
	return nil
}

// score counts the pictures whose own class has the highest logit (N,K), and returns the mean cross-entropy.
func score(logits *tensor.Tensor, labels []int) (right int, mean float64) {
	k := logits.Shape[1]
	for i, l := range labels {
		row := logits.Data[i*k:][:k]
		if highest(row) == l {
			right++
		}
	}
	return right, loss(logits, labels, 1)
}

func highest(row []float32) int {
	best := 0
	for k, v := range row {
		if v > row[best] {
			best = k
		}
	}
	return best
}

// loss is the mean of -log softmax(logits/t)[label].
func loss(logits *tensor.Tensor, labels []int, t float64) float64 {
	k, sum := logits.Shape[1], 0.0
	for i, l := range labels {
		p := probabilities(logits.Data[i*k:][:k], t)
		sum -= math.Log(max(p[l], math.SmallestNonzeroFloat64))
	}
	return sum / float64(len(labels))
}

// probabilities is softmax(logits/t).
func probabilities(logits []float32, t float64) []float64 {
	top := float64(logits[highest(logits)])
	p, total := make([]float64, len(logits)), 0.0
	for k, v := range logits {
		p[k] = math.Exp((float64(v) - top) / t)
		total += p[k]
	}
	for k := range p {
		p[k] /= total
	}
	return p
}

// expected is the mean of -Σ q·log softmax(logits/t), where q is what n pictures of a class say of the next one: its own class with
// probability (n+1)/(n+K), each of the others with 1/(n+K). With certain labels instead, few pictures that are all classified rightly would
// make every verdict certain (Platt, 1999, section 2.2).
func expected(logits *tensor.Tensor, labels []int, t float64) float64 {
	k, sum := logits.Shape[1], 0.0
	counts := make([]int, k)
	for _, l := range labels {
		counts[l]++
	}
	for i, l := range labels {
		n := float64(counts[l])
		for c, p := range probabilities(logits.Data[i*k:][:k], t) {
			q := 1 / (n + float64(k))
			if c == l {
				q *= n + 1
			}
			sum -= q * math.Log(max(p, math.SmallestNonzeroFloat64))
		}
	}
	return sum / float64(len(labels))
}

// temperature minimises the expected loss over t from 1/20 to 20 by golden sections of log t, in which it has one minimum (Guo et al., ICML
// 2017).
func temperature(logits *tensor.Tensor, labels []int) float64 {
	at := func(u float64) float64 { return expected(logits, labels, math.Exp(u)) }
	low, high := -math.Log(20), math.Log(20)
	golden := (math.Sqrt(5) - 1) / 2
	a, b := high-golden*(high-low), low+golden*(high-low)
	fa, fb := at(a), at(b)
	for range 60 {
		if fa <= fb {
			high, b, fb = b, a, fa
			a = high - golden*(high-low)
			fa = at(a)
		} else {
			low, a, fa = a, b, fb
			b = low + golden*(high-low)
			fb = at(b)
		}
	}
	return math.Exp((low + high) / 2)
}
