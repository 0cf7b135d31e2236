package metric

// Limits of the false-positive rate up to which AUPRO is integrated.
const (
	proLimit   = 0.3 // Bergmann et al., "The MVTec Anomaly Detection Dataset", IJCV 2021, 6.2
	proLimit05 = 0.05
)

// curve accumulates the figures of one set of pixels while these pass from the highest score down. Every curve is flat, or straight,
// between scores of positives, so that only those need a step.
type curve struct {
	total
	tp       int64
	overlap  float64 // sum over regions of the share of their pixels passed
	lastFP   int64   // at the last step
	auroc    float64
	ap, f1   float64
	pro      [2]float64
	proLimit [2]float64 // in false positives
}

func newCurve(t total) *curve {
	return &curve{total: t, proLimit: [2]float64{proLimit * float64(t.negatives), proLimit05 * float64(t.negatives)}}
}

// step takes all pixels of one score: positives that cover so much overlap, and negatives. Until then fp negatives had passed.
func (c *curve) step(positives int64, overlap float64, negatives, fp int64) {
	c.advance(fp)
	tp := c.tp + positives
	c.auroc += float64(negatives) * (float64(c.tp) + float64(tp)) / 2
	c.integrate(float64(fp), float64(fp+negatives), c.overlap, c.overlap+overlap)
	c.tp, c.lastFP, c.overlap = tp, fp+negatives, c.overlap+overlap
	precision := float64(tp) / float64(tp+c.lastFP)
	c.ap += float64(positives) * precision
	c.f1 = max(c.f1, 2*float64(tp)/float64(tp+c.lastFP+c.positives))
}

// advance adds the flat part since the last step.
func (c *curve) advance(fp int64) {
	c.auroc += float64(fp-c.lastFP) * float64(c.tp)
	c.integrate(float64(c.lastFP), float64(fp), c.overlap, c.overlap)
	c.lastFP = fp
}

// integrate adds a straight piece of the overlap curve, as far as the limits.
func (c *curve) integrate(x0, x1, y0, y1 float64) {
	for i, limit := range c.proLimit {
		end, y := min(x1, limit), y1
		if end <= x0 {
			continue
		}
		if end < x1 {
			y = y0 + (y1-y0)*(end-x0)/(x1-x0)
		}
		c.pro[i] += (end - x0) * (y0 + y) / 2
	}
}

func (c *curve) result() PixelResult {
	c.advance(c.negatives)
	p, n, r := float64(c.positives), float64(c.negatives), float64(c.regions)
	return PixelResult{
		AUROC: c.auroc / p / n, AP: c.ap / p, F1Max: c.f1,
		AUPRO: c.pro[0] / r / c.proLimit[0], AUPRO05: c.pro[1] / r / c.proLimit[1],
	}
}

// Results returns the figures over all pictures, and for each group against all good pictures. A set without both kinds of pixels
// has no result: it is nil, or missing.
func (e *PixelEvaluator) Results() (all *PixelResult, byGroup map[string]PixelResult, err error) {
	sum := e.totals[0]
	curves := make([]*curve, len(e.groups))
	for g, t := range e.totals[1:] {
		sum.positives += t.positives
		sum.negatives += t.negatives
		sum.regions += t.regions
		t.negatives += e.totals[0].negatives
		curves[g+1] = newCurve(t)
	}
	curves[0] = newCurve(sum)

	// pixels of the score at hand, by group
	positives, negatives := make([]int64, len(curves)), make([]int64, len(curves))
	overlap := make([]float64, len(curves))
	passed := make([]int64, len(curves)) // negatives of higher scores; of group 0: those of good pictures
	all0 := int64(0)
	key, any := uint32(0), false
	flush := func() {
		var p, n int64
		o := 0.0
		for g := range curves {
			p, n, o = p+positives[g], n+negatives[g], o+overlap[g]
			if positives[g] > 0 {
				curves[g].step(positives[g], overlap[g], negatives[0]+negatives[g], passed[0]+passed[g])
			}
		}
		if p > 0 {
			curves[0].step(p, o, n, all0)
		}
		all0 += n
		for g := range curves {
			passed[g] += negatives[g]
			positives[g], negatives[g], overlap[g] = 0, 0, 0
		}
	}
	err = e.merge(func(x pixel) {
		if any && x.key != key {
			flush()
		}
		key, any = x.key, true
		if x.region == 0 {
			negatives[x.group]++
			return
		}
		positives[x.group]++
		overlap[x.group] += 1 / float64(x.region)
	})
	if err != nil {
		return nil, nil, err
	}
	flush()
	byGroup = map[string]PixelResult{}
	for g, c := range curves {
		if c.positives == 0 || c.negatives == 0 {
			continue
		}
		r := c.result()
		if g == 0 {
			all = &r
		} else {
			byGroup[e.groups[g]] = r
		}
	}
	return all, byGroup, nil
}
