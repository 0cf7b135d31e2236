package report

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/blemish/blemish"
	"github.com/blemish/blemish/imageio"
	"github.com/blemish/blemish/metric"
	"github.com/blemish/blemish/tensor"
)

// sample is a rendered picture with a spot as its defect and a made-up map of it.
type sample struct {
	scored  blemish.ScoredPicture
	picture *imageio.Picture
	m       *tensor.Tensor
	mask    *imageio.Mask
}

// render draws a sample of side x side pixels: a woven texture, and a dark spot of the given radius unless that is 0.
func render(rng *rand.Rand, side int, radius float64) sample {
	s := sample{picture: imageio.New(side, side, 3, 8), m: tensor.New(side, side), mask: &imageio.Mask{Width: side, Height: side, Data: make([]uint8, side*side)}}
	cx, cy := float64(side)*(0.25+0.5*rng.Float64()), float64(side)*(0.25+0.5*rng.Float64())
	phase, wobble := rng.Float64()*6, 0.6+0.4*rng.Float64()
	for y := range side {
		for x := range side {
			fx, fy := float64(x), float64(y)
			weave := 150 + 35*math.Sin(fx/5+phase)*math.Cos(fy/6) + 12*rng.NormFloat64()
			r := math.Hypot((fx-cx)*wobble, fy-cy) * (1 + 0.15*math.Sin(5*math.Atan2(fy-cy, fx-cx)))
			i := y*side + x
			if r < radius {
				s.mask.Data[i] = 1
				weave *= 0.45
			}
			heat := 0.8 + 0.25*math.Sin(fx/40+phase)*math.Cos(fy/50) + 0.05*rng.NormFloat64()
			if radius > 0 {
				heat += 2.4 * math.Exp(-r*r/(2.2*radius*radius))
			}
			s.m.Data[i] = float32(heat)
			for c, tint := range []float64{1.05, 0.98, 0.85} {
				s.picture.Pix8[3*i+c] = uint8(min(max(weave*tint, 0), 255))
			}
		}
	}
	if radius == 0 {
		s.mask = nil
	}
	return s
}

var testScale = NewScale(0.8, 1.9)

// madeUp is a section of good pictures and two kinds of defect with made-up scores, and galleries of its pictures.
func madeUp(t testing.TB, name string, seed uint64, side, perKind int) Section {
	t.Helper()
	rng := rand.New(rand.NewPCG(seed, 7))
	threshold := 2.2
	e := &blemish.Evaluation{ByDefect: map[string]blemish.DefectEvaluation{}, Threshold: &threshold, MsPerImage: 11.3 + float64(seed)}
	samples := map[string]sample{}
	for _, kind := range []struct {
		name   string
		mean   float64
		radius float64
		count  int
	}{{"good", 1.6, 0, 3 * perKind}, {"stain", 3.3, 0.1, perKind}, {"scratch", 2.5, 0.05, perKind}} {
		for i := range kind.count {
			s := render(rng, side, kind.radius*float64(side))
			s.scored = blemish.ScoredPicture{
				Path: fmt.Sprintf("%s/test/%s/%03d.png", name, kind.name, i), Kind: kind.name, Defective: kind.radius > 0,
				Score: kind.mean + 0.4*rng.NormFloat64(), PValue: 0,
			}
			s.scored.Anomalous = s.scored.Score > threshold
			s.scored.PValue = min(1, math.Exp(-2*(s.scored.Score-1)))
			samples[s.scored.Path] = s
			e.Pictures = append(e.Pictures, s.scored)
		}
	}
	e.Images = len(e.Pictures)
	measure(t, e)
	section := Section{Name: name, Evaluation: e, Galleries: Choose(e, 6)}
	for _, g := range section.Galleries {
		for _, c := range g.Cards {
			s := samples[c.Scored.Path]
			if err := c.Draw(s.picture, s.m, s.mask, testScale); err != nil {
				t.Fatal(err)
			}
		}
	}
	return section
}

// measure fills in the image figures from the scores, and makes up those of pixels.
func measure(t testing.TB, e *blemish.Evaluation) {
	t.Helper()
	figures := func(pictures []blemish.ScoredPicture) blemish.ImageMetrics {
		var scores []float64
		var labels []bool
		for _, p := range pictures {
			scores, labels = append(scores, p.Score), append(labels, p.Defective)
		}
		auroc, err := metric.AUROC(scores, labels)
		if err != nil {
			t.Fatal(err)
		}
		ap, _ := metric.AveragePrecision(scores, labels)
		f1, _ := metric.F1Max(scores, labels)
		balanced, _ := metric.BalancedAccuracy(scores, labels, *e.Threshold)
		return blemish.ImageMetrics{AUROC: &auroc, AP: &ap, F1Max: &f1.Value, BalancedAccuracy: &balanced}
	}
	pixels := func(base float64) blemish.PixelMetrics {
		auroc, ap, f1, pro, pro05 := base, base-0.4, base-0.35, base-0.06, base-0.2
		return blemish.PixelMetrics{AUROC: &auroc, AP: &ap, F1Max: &f1, AUPRO: &pro, AUPRO05: &pro05}
	}
	e.Image, e.Pixel = figures(e.Pictures), pixels(0.974)
	for i, kind := range defectKinds(e.Pictures) {
		var subset []blemish.ScoredPicture
		d := blemish.DefectEvaluation{Pixel: pixels(0.96 + 0.01*float64(i))}
		for _, p := range e.Pictures {
			if !p.Defective || p.Kind == kind {
				subset = append(subset, p)
			}
			if p.Kind == kind {
				d.Images++
			}
		}
		d.Image = figures(subset)
		e.ByDefect[kind] = d
	}
	for _, p := range e.Pictures {
		switch {
		case p.Defective && p.Anomalous:
			e.Counts.TP++
		case p.Defective:
			e.Counts.FN++
		case p.Anomalous:
			e.Counts.FP++
		default:
			e.Counts.TN++
		}
	}
}
