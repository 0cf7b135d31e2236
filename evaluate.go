package blemish

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/blemish/blemish/metric"
)

// Evaluate scores a labelled source and measures how well the model tells good pictures from defective ones.
// A picture that cannot be read ends the evaluation: figures over part of a set are not figures of the set.
func (m *Model) Evaluate(ctx context.Context, labelled Source, opts *Options) (*Evaluation, error) {
	if labelled.Len() == 0 {
		return nil, errors.New("no pictures to evaluate")
	}
	pixels, err := metric.NewPixelEvaluator()
	if err != nil {
		return nil, err
	}
	defer pixels.Close()
	e := &Evaluation{Images: labelled.Len(), ByDefect: map[string]DefectEvaluation{}, Threshold: m.threshold()}
	unmasked := 0
	tick := opts.progress("score", labelled.Len())
	var busy time.Duration // wall time of scoring alone
	start := time.Now()
	for s, err := range m.ScoreAll(ctx, labelled, opts) {
		if err = errors.Join(err, s.Err); err != nil {
			return nil, err
		}
		busy += time.Since(start)
		tick()
		if s.Picture.Kind == "" {
			return nil, fmt.Errorf("%s: it is not known whether this picture is good: put it in a class folder", s.Picture.Path)
		}
		e.add(s)
		switch {
		case s.Result.Map == nil:
		case s.Picture.Defective && s.Picture.Mask == nil:
			unmasked++
		default:
			if err := addPixels(pixels, s); err != nil {
				return nil, err
			}
		}
		start = time.Now()
	}
	e.MsPerImage = float64(busy.Microseconds()) / 1e3 / float64(labelled.Len())
	if unmasked > 0 {
		e.note("%d defective pictures have no mask: they count as pictures, not as pixels", unmasked)
	}
	if c, err := m.Classifier(); err == nil {
		e.classified(c.Classes)
	}
	return e, e.measure(pixels)
}

func (m *Model) threshold() *float64 {
	if t := m.info.Calibration.Image; t != nil {
		return &t.Value
	}
	return nil
}

func (e *Evaluation) note(format string, args ...any) {
	note := fmt.Sprintf(format, args...)
	if !slices.Contains(e.Notes, note) {
		e.Notes = append(e.Notes, note)
	}
}

func (e *Evaluation) add(s Scored) {
	e.Pictures = append(e.Pictures, ScoredPicture{
		Path: s.Picture.Path, Kind: s.Picture.Kind, Defective: s.Picture.Defective,
		Score: s.Result.Score, PValue: s.Result.PValue, Anomalous: s.Result.Anomalous, Class: s.Result.Class,
	})
	switch {
	case s.Picture.Defective && s.Result.Anomalous:
		e.Counts.TP++
	case s.Picture.Defective:
		e.Counts.FN++
	case s.Result.Anomalous:
		e.Counts.FP++
	default:
		e.Counts.TN++
	}
}

func addPixels(pixels *metric.PixelEvaluator, s Scored) error {
	h, w := s.Result.Map.Shape[0], s.Result.Map.Shape[1]
	var mask []uint8
	if s.Picture.Mask != nil {
		mask = s.Picture.Mask.Data
	}
	if err := pixels.Add(s.Picture.Kind, s.Result.Map.Data, mask, w, h); err != nil {
		return fmt.Errorf("%s: %w", s.Picture.Path, err)
	}
	return nil
}

// measure fills in the figures, over all pictures and for each kind of defect against all good pictures.
func (e *Evaluation) measure(pixels *metric.PixelEvaluator) error {
	var kinds []string
	for _, p := range e.Pictures {
		if p.Defective && !slices.Contains(kinds, p.Kind) {
			kinds = append(kinds, p.Kind)
		}
	}
	slices.Sort(kinds)
	var err error
	if e.Image, err = e.imageMetrics(e.Pictures); err != nil {
		return err
	}
	all, byKind, err := pixels.Results()
	if err != nil {
		return err
	}
	if all == nil {
		e.note("pixel figures need masks of defects and good pixels")
	} else {
		e.Pixel = pixelMetrics(*all)
	}
	for _, kind := range kinds {
		var subset []ScoredPicture
		var d DefectEvaluation
		for _, p := range e.Pictures {
			if !p.Defective || p.Kind == kind {
				subset = append(subset, p)
			}
			if p.Defective && p.Kind == kind {
				d.Images++
			}
		}
		if d.Image, err = e.imageMetrics(subset); err != nil {
			return err
		}
		if r, ok := byKind[kind]; ok {
			d.Pixel = pixelMetrics(r)
		}
		e.ByDefect[kind] = d
	}
	return nil
}

func (e *Evaluation) imageMetrics(pictures []ScoredPicture) (ImageMetrics, error) {
	scores := make([]float64, len(pictures))
	labels := make([]bool, len(pictures))
	for i, p := range pictures {
		scores[i], labels[i] = p.Score, p.Defective
	}
	var m ImageMetrics
	auroc, err := metric.AUROC(scores, labels)
	if errors.Is(err, metric.ErrOneClass) {
		e.note("image figures need good and defective pictures")
		return m, nil
	}
	if err != nil {
		return m, err
	}
	ap, err := metric.AveragePrecision(scores, labels)
	if err != nil {
		return m, err
	}
	f1, err := metric.F1Max(scores, labels)
	if err != nil {
		return m, err
	}
	m.AUROC, m.AP, m.F1Max = &auroc, &ap, &f1.Value
	if e.Threshold == nil {
		e.note("the model has no threshold: calibrate it with: blemish calibrate FILE DIR")
		return m, nil
	}
	balanced, err := metric.BalancedAccuracy(scores, labels, *e.Threshold)
	if err != nil {
		return m, err
	}
	m.BalancedAccuracy = &balanced
	c := metric.Confuse(scores, labels, *e.Threshold)
	accuracy := float64(c.TP+c.TN) / float64(len(scores))
	m.Accuracy = &accuracy
	return m, nil
}

func pixelMetrics(r metric.PixelResult) PixelMetrics {
	return PixelMetrics{AUROC: &r.AUROC, AP: &r.AP, F1Max: &r.F1Max, AUPRO: &r.AUPRO, AUPRO05: &r.AUPRO05}
}
