package patchcore

import (
	"context"
	"encoding/json"
	"fmt"
	"math"

	"github.com/blemish/blemish/detect"
	"github.com/blemish/blemish/fault"
	"github.com/blemish/blemish/knn"
	"github.com/blemish/blemish/tensor"
	"github.com/blemish/blemish/transform"
)

// detector is a fitted PatchCore. Scores and map values are Euclidean distances between patch embeddings.
type detector struct {
	config    Config
	bank      *tensor.Tensor // (coreset, channels)
	rarity    *tensor.Tensor // (coreset): see Config.Support; nil without
	index     *knn.Index     // of the bank's rows, with a last value more where there are rarities
	extractor detect.Extractor
}

// newDetector lifts a bank with rarities out of the patches' space: each row gets its rarity r as a last value, where queries have 0, so that the
// distance from a row that lies d away is √(d²+r²).
func newDetector(c Config, bank, rarity *tensor.Tensor, e detect.Extractor) *detector {
	rows, dim := bank.Data, bank.Shape[1]
	if rarity != nil {
		rows = make([]float32, 0, len(bank.Data)+len(rarity.Data))
		for i, r := range rarity.Data {
			rows = append(append(rows, bank.Data[i*dim:][:dim]...), r)
		}
		dim++
	}
	return &detector{c, bank, rarity, knn.NewIndex(rows, dim), e}
}

// Score computes each patch's distance to the memory bank. The picture's score is the largest, weighted by eq. 7; the map is the distances, resized
// bilinearly to the picture and blurred, as the paper has it (3.3). anomalib 2.7 blurs alike, but repeats the nearest distance instead of resizing bilinearly.
func (d *detector) Score(ctx context.Context, batch *tensor.Tensor, opts *detect.ScoreOptions) ([]detect.Result, error) {
	workers := opts.WorkerCount()
	maps, err := detect.Features(ctx, d.extractor, batch, workers)
	if err != nil {
		return nil, err
	}
	results := make([]detect.Result, batch.Shape[0])
	for i := range results {
		one := make([]*tensor.Tensor, len(maps))
		for t, m := range maps {
			one[t] = m.Item(i)
		}
		p := patches(one)
		if p.Dim != d.bank.Shape[1] {
			return nil, &fault.ShapeError{What: "patch embedding", Want: fmt.Sprintf("(%d)", d.bank.Shape[1]), Got: []int{p.Dim}}
		}
		dim := p.Dim
		if d.rarity != nil {
			dim++
		}
		queries := make([]float32, p.H*p.W*dim)
		for j := range p.H * p.W {
			copy(queries[j*dim:], p.Data[j*p.Width:][:p.Dim])
		}
		nearest, err := d.index.Nearest(ctx, queries, workers)
		if err != nil {
			return nil, err
		}
		distances := tensor.New(p.H, p.W)
		farthest := 0
		for j, n := range nearest {
			distances.Data[j] = n.Distance
			if n.Distance > nearest[farthest].Distance {
				farthest = j
			}
		}
		results[i] = detect.Result{
			Score: d.weigh(nearest[farthest], queries[farthest*dim:][:dim]),
			Map:   transform.SmoothResize(distances, batch.Shape[2], batch.Shape[3], d.config.Sigma),
		}
	}
	return results, nil
}

// weigh is eq. 7: a patch whose nearest good patch m* is itself far from its neighbours, a rare kind of good, counts more.
//
//	s = (1 - exp‖q-m*‖ / Σ exp‖q-m‖) · ‖q-m*‖, the sum over the b nearest patches m to m*, itself among them
//
// A bank of one patch has no neighbours to weigh with: the score is the distance. (anomalib 2.7 scores 0 there.)
func (d *detector) weigh(nearest knn.Neighbour, query []float32) float32 {
	if d.config.Neighbours == 1 || d.index.Len() == 1 {
		return nearest.Distance
	}
	own := float64(nearest.Distance)
	sum := 0.0
	for _, n := range d.index.Neighbours(d.index.Vector(nearest.Index), d.config.Neighbours) {
		sq := 0.0
		for j, v := range d.index.Vector(n.Index) {
			diff := float64(query[j]) - float64(v)
			sq += diff * diff
		}
		sum += math.Exp(math.Sqrt(sq) - own)
	}
	return float32((1 - 1/sum) * own)
}

const (
	bankName   = "memory_bank"
	rarityName = "rarity"
)

func (d *detector) State() (detect.State, error) {
	config, err := json.Marshal(d.config)
	tensors := map[string]*tensor.Tensor{bankName: d.bank}
	if d.rarity != nil {
		tensors[rarityName] = d.rarity
	}
	return detect.State{Config: config, Tensors: tensors}, err
}

// Open restores a detector from its State.
func Open(s detect.State, e detect.Extractor) (detect.Detector, error) {
	var c Config
	if err := json.Unmarshal(s.Config, &c); err != nil {
		return nil, &fault.FormatError{Format: "PatchCore", Reason: "its configuration is damaged", Err: err}
	}
	if err := c.Validate(); err != nil {
		return nil, &fault.FormatError{Format: "PatchCore", Reason: "its configuration is damaged", Err: err}
	}
	bank := s.Tensors[bankName]
	channels := 0
	for _, t := range e.Taps() {
		channels += t.Channels
	}
	want := 1
	if c.Support > 0 {
		want = 2
	}
	if bank == nil || len(s.Tensors) != want || len(bank.Shape) != 2 || bank.Shape[0] < 1 || bank.Shape[1] != channels {
		return nil, &fault.FormatError{Format: "PatchCore", Reason: fmt.Sprintf("its memory bank is not of %d channels", channels)}
	}
	if !detect.Usable(bank.Data) {
		return nil, &fault.FormatError{Format: "PatchCore", Reason: "its memory bank holds numbers that are not finite, or beyond ±1e15"}
	}
	rarity := s.Tensors[rarityName]
	if c.Support > 0 && (rarity == nil || len(rarity.Shape) != 1 || rarity.Shape[0] != bank.Shape[0] || !detect.Usable(rarity.Data)) {
		return nil, &fault.FormatError{Format: "PatchCore", Reason: fmt.Sprintf("it does not hold a usable rarity for each of the %d patches of its memory bank", bank.Shape[0])}
	}
	return newDetector(c, bank, rarity, e), nil
}
