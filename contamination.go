package blemish

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"path/filepath"
	"slices"
	"strings"

	"github.com/blemish/blemish/fault"
)

// Contamination says whether some of the good pictures may be defective, and how many are then left out. The zero value trusts all of them.
type Contamination struct {
	Auto bool    // leave out what is far less like the others than most are
	Rate float64 // or so many: this share of the pictures, and half as many again, since a defect that stays costs more than a good picture that goes
}

// MaxContamination is the largest rate: beyond it, what is called good would not be the rule.
const MaxContamination = 0.5

// Validate refuses a rate that is out of range, and auto with a rate.
func (c Contamination) Validate() error {
	switch {
	case !(c.Rate >= 0 && c.Rate <= MaxContamination):
		return &fault.ConfigError{Field: "contamination", Value: c.Rate, Reason: fmt.Sprintf("want auto, or a share of the pictures of at most %v, such as 0.1", MaxContamination)}
	case c.Auto && c.Rate > 0:
		return &fault.ConfigError{Field: "contamination", Value: c.Rate, Reason: "want auto or a rate, not both"}
	}
	return nil
}

// Suspect is a picture that was given as good and left out of the training.
type Suspect struct {
	Path   string  `json:"path"`  // within the folder that all training pictures are in
	Score  float64 `json:"score"` // how far its most unusual patches lie from those of other pictures: spreads above the median picture
	Reason string  `json:"reason"`
}

// How suspects are found. docs/contamination.md says what these were chosen from.
const (
	screenSpreads = 3   // by auto: how far above the median a suspect is
	screenSurplus = 1.5 // by rate: how many are left out for each one expected
	screenLeast   = 10  // pictures without which there is no rule to be an exception from
)

// screen finds suspects among good pictures, whatever the method that is to learn from them: it compares the patches of each picture with those of
// the others. It returns the other pictures and the suspects, most suspicious first.
func (t trainer) screen(ctx context.Context, good Source, c Contamination) (Source, []Suspect, error) {
	if c == (Contamination{}) {
		return good, nil, nil
	}
	if good.Len() < screenLeast {
		return nil, nil, fmt.Errorf("%d good pictures are too few to find the defective ones among them: give at least %d", good.Len(), screenLeast)
	}
	preprocess, extract := t.plan.preprocess, t.extract
	if extract == nil { // the method looks at pixels
		p, err := Config{}.resolve()
		if err != nil {
			return nil, nil, err
		}
		net, err := p.openBackbone(t.opts)
		if err != nil {
			return nil, nil, err
		}
		preprocess, extract = p.preprocess, net.extract
	}
	pictures, paths, err := sparsePatches(ctx, prepared{good, preprocess, t.opts.workers()}, extract, "suspects: ", t.opts)
	if err != nil {
		return nil, nil, err
	}
	scores, err := strangeness(ctx, pictures, t.seed, "suspects", t.opts)
	if err != nil {
		return nil, nil, err
	}
	out, why := c.choose(scores)
	dir := commonFolder(paths)
	var suspects []Suspect
	trusted := make([]int, 0, good.Len())
	for _, i := range out {
		suspects = append(suspects, Suspect{
			Path: strings.TrimPrefix(filepath.ToSlash(paths[i]), dir), Score: scores[i],
			Reason: fmt.Sprintf("its most unusual patches lie %.1f spreads farther from those of other pictures than is usual, %s", scores[i], why),
		})
	}
	for i := range good.Len() {
		if !slices.Contains(out, i) {
			trusted = append(trusted, i)
		}
	}
	return subset{good, trusted}, suspects, nil
}

// choose returns the pictures to leave out, highest score first, and why.
func (c Contamination) choose(scores []float64) (out []int, why string) {
	order := make([]int, len(scores))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(i, j int) int { return cmp.Compare(scores[j], scores[i]) })
	most := int(MaxContamination * float64(len(scores)))
	if !c.Auto {
		n := min(int(math.Round(screenSurplus*c.Rate*float64(len(scores)))), most)
		return order[:n], fmt.Sprintf("and it is among the %d of %d for which that is most", n, len(scores))
	}
	n := 0
	for n < most && scores[order[n]] > screenSpreads {
		n++
	}
	return order[:n], fmt.Sprintf("more than %d", screenSpreads)
}

// commonFolder is the longest folder, with its last slash, that all paths begin with: a model does not tell where on a machine its pictures were.
func commonFolder(paths []string) string {
	dir := filepath.ToSlash(paths[0])
	dir = dir[:strings.LastIndex(dir, "/")+1]
	for _, p := range paths {
		for !strings.HasPrefix(filepath.ToSlash(p), dir) {
			dir = dir[:strings.LastIndex(strings.TrimSuffix(dir, "/"), "/")+1]
		}
	}
	return dir
}
