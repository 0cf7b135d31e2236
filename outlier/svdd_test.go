package outlier

import (
	"context"
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/blemish/blemish/nn"
)

// hashed sets weights to those of testdata/gen/svdd.py.
func hashed(net nn.Sequential, stream int) {
	for layer, p := range net.Params() {
		bound := 1 / math.Sqrt(float64(p.Value.Shape[1]))
		for k := range p.Value.Data {
			p.Value.Data[k] = float32((2*float64(number(stream+layer, k))/(1<<24) - 1) * bound)
		}
	}
}

// hashedOrders are those of testdata/gen/svdd.py, epoch after epoch.
func hashedOrders(n int) func() []int {
	epoch := 0
	return func() []int {
		p := make([]int, n)
		for i := range p {
			p[i] = i
		}
		for i := n - 1; i > 0; i-- {
			j := number(100+epoch, i) % (i + 1)
			p[i], p[j] = p[j], p[i]
		}
		epoch++
		return p
	}
}

// From the same weights and in the same order, losses, center, radius and scores are PyTorch's. Both compute in float32; up to 130 steps of Adam,
// which divides by roots of tiny squares, carry rounding along: 5e-6 was seen, and four times that is allowed.
func TestSVDDLearnsAsThePeerDoes(t *testing.T) {
	var cases []struct {
		Set, Objective    string
		Pretrain          int
		Losses, Center    []float64
		Radius, Threshold float64
		Score             []float64
	}
	readGolden(t, "svdd", &cases)
	sets := goldenSets(t)
	const tolerance = 2e-5
	for _, c := range cases {
		name := c.Set + "/" + c.Objective
		if c.Pretrain > 0 {
			name += "/pretrained"
		}
		t.Run(name, func(t *testing.T) {
			ctx := context.Background()
			x, own := sets[c.Set].x, subject{"svdd", c.Set}
			config := DefaultSVDD()
			config.Hidden, config.Objective, config.WarmUp, config.Epochs, config.BatchSize, config.LR, config.Pretrain = []int{6, 3}, c.Objective, 2, 12, 16, 0.01, c.Pretrain
			var losses []float64
			config.EpochEnd = func(_ int, loss float64) { losses = append(losses, loss) }
			m := config.begin(x, rand.New(rand.NewPCG(0, 0)))
			hashed(m.net, 0)
			l := &svddLearning{SVDD: m, scaled: m.scaled(x), order: hashedOrders(x.Rows)}
			if c.Pretrain > 0 {
				decoder := m.decoder(x.Cols, rand.New(rand.NewPCG(0, 0)))
				hashed(decoder, 50)
				if err := l.pretrain(ctx, decoder); err != nil {
					t.Fatal(err)
				}
			}
			if err := m.finish(ctx, x, l); err != nil {
				t.Fatal(err)
			}
			own.closeTo(t, "losses", losses, c.Losses, 1e-3*c.Losses[0], tolerance)
			var center []float64
			for _, v := range m.center {
				center = append(center, float64(v))
			}
			own.closeTo(t, "center", center, c.Center, 1, tolerance)
			own.closeTo(t, "radius", []float64{l.radius}, []float64{c.Radius}, 1, tolerance)
			scores, err := m.Score(ctx, sets[c.Set].queries)
			if err != nil {
				t.Fatal(err)
			}
			own.closeTo(t, "score", scores, c.Score, 1e-3*greatest(c.Score), tolerance)
			own.closeTo(t, "threshold", []float64{m.Threshold()}, []float64{c.Threshold}, 1e-3*greatest(c.Score), tolerance)
		})
	}
}

func TestSVDDRefuses(t *testing.T) {
	x := gaussians(1, 30, 3)
	for want, f := range map[string]func(*SVDDConfig){
		"hidden_neurons":        func(c *SVDDConfig) { c.Hidden = nil },
		"widths of 1":           func(c *SVDDConfig) { c.Hidden = []int{4, 0} },
		"activation = swi":      func(c *SVDDConfig) { c.Activation = "swi" },
		"not 0 at 0":            func(c *SVDDConfig) { c.Activation = "sigmoid" },
		"objective":             func(c *SVDDConfig) { c.Objective = "two-class" },
		"nu = 0":                func(c *SVDDConfig) { c.Nu = 0 },
		"warm_up_epochs":        func(c *SVDDConfig) { c.Objective, c.Epochs, c.WarmUp = softBoundary, 5, 5 },
		"scale = log":           func(c *SVDDConfig) { c.Scale = "log" },
		"lr = 0":                func(c *SVDDConfig) { c.LR = 0 },
		"weight_decay":          func(c *SVDDConfig) { c.WeightDecay = -1 },
		"batch_size":            func(c *SVDDConfig) { c.BatchSize = 0 },
		"epochs = 0":            func(c *SVDDConfig) { c.Epochs = 0 },
		"pretrain_epochs":       func(c *SVDDConfig) { c.Pretrain = -1 },
		"pretrain_weight_decay": func(c *SVDDConfig) { c.PretrainDecay = -1 },
		"contamination":         func(c *SVDDConfig) { c.Contamination = 0.6 },
		"not finite":            func(c *SVDDConfig) { c.LR = 1e30 },
	} {
		c := DefaultSVDD()
		f(&c)
		if _, err := c.Fit(t.Context(), x, nil); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("want an error about %q, got %v", want, err)
		}
	}
}

// Every objective leaves its share of the rows fitted outside.
func TestSVDDLeavesItsShareOutside(t *testing.T) {
	x := clusters(203)
	for _, change := range []func(*SVDDConfig){
		func(c *SVDDConfig) {}, func(c *SVDDConfig) { c.Objective = softBoundary }, func(c *SVDDConfig) { c.Pretrain = 20 },
		func(c *SVDDConfig) { c.Activation = "tanh" }, func(c *SVDDConfig) { c.Hidden = []int{8} },
	} {
		c := DefaultSVDD()
		c.Epochs = 40
		change(&c)
		d, err := c.Fit(t.Context(), x, &Options{Seed: 1})
		if err != nil {
			t.Fatal(err)
		}
		scores, err := d.Score(t.Context(), x)
		if err != nil {
			t.Fatal(err)
		}
		above := 0
		for _, s := range scores {
			if s > d.Threshold() {
				above++
			}
		}
		if above < 20 || above > 21 { // 10 % of 203, by contamination and by nu
			t.Errorf("%+v: %d rows above the threshold", c, above)
		}
	}
}
