package patchcore

import (
	"context"
	"math"
	"slices"
	"testing"

	"github.com/blemish/blemish/detect"
	"github.com/blemish/blemish/detect/detecttest"
	"github.com/blemish/blemish/tensor"
)

func TestConformanceWithSupport(t *testing.T) {
	config := DefaultConfig()
	config.Sigma, config.Support = 2, 0.2
	detecttest.Run(t, detecttest.Method{Trainer: config, Open: Open})
}

func rowsOf(t *testing.T, number, h, w int) [][]float32 {
	t.Helper()
	x := picture(number, h, w)
	maps, err := given{}.Features(context.Background(), x.Reshape(append([]int{1}, x.Shape...)...), 1)
	if err != nil {
		t.Fatal(err)
	}
	for i := range maps {
		maps[i] = maps[i].Item(0)
	}
	p := patches(maps)
	var rows [][]float32
	for at := 0; at < len(p.Data); at += p.Width {
		rows = append(rows, p.Data[at:at+p.Dim])
	}
	return rows
}

func distance(a, b []float32) float64 {
	sq := 0.0
	for i := range a {
		sq += (float64(a[i]) - float64(b[i])) * (float64(a[i]) - float64(b[i]))
	}
	return math.Sqrt(sq)
}

func nearest(a []float32, rows [][]float32) float64 {
	least := math.Inf(1)
	for _, b := range rows {
		least = min(least, distance(a, b))
	}
	return least
}

// All pairs of patches are compared here in double precision.
func TestRarePatchesExcuseLess(t *testing.T) {
	set := golden{Sizes: [][2]int{{4, 5}, {4, 5}, {3, 6}, {5, 4}, {4, 4}}}
	config := DefaultConfig()
	config.CoresetRatio, config.Support, config.Neighbours = 0.4, 0.4, 1
	d, err := config.Fit(context.Background(), set, &detect.FitOptions{Extractor: given{}, Seed: 1})
	if err != nil {
		t.Fatal(err)
	}
	state, err := d.State()
	if err != nil {
		t.Fatal(err)
	}
	bank, rarity := state.Tensors[bankName], state.Tensors[rarityName]
	var pictures [][][]float32
	for i, s := range set.Sizes {
		pictures = append(pictures, rowsOf(t, i, s[0], s[1]))
	}
	want := make([]float64, bank.Shape[0])
	for i := range want {
		row := bank.Data[i*12:][:12]
		var others []float64
		for _, rows := range pictures {
			if least := nearest(row, rows); least > 0 { // its own picture has the very patch
				others = append(others, least)
			}
		}
		if len(others) != 4 {
			t.Fatalf("row %d is of %d pictures", i, 5-len(others))
		}
		slices.Sort(others)
		want[i] = others[1] // 0.4 of three steps, rounded down
		if got := float64(rarity.Data[i]); math.Abs(got-want[i]) > 1e-6*want[i] {
			t.Errorf("the rarity of row %d is %v, want %v", i, got, want[i])
		}
	}
	x := picture(9, 4, 4)
	got, err := d.Score(context.Background(), x.Reshape(append([]int{1}, x.Shape...)...), nil)
	if err != nil {
		t.Fatal(err)
	}
	score := 0.0
	for _, q := range rowsOf(t, 9, 4, 4) {
		least := math.Inf(1)
		for i, r := range want {
			least = min(least, math.Hypot(distance(q, bank.Data[i*12:][:12]), r))
		}
		score = max(score, least)
	}
	if math.Abs(float64(got[0].Score)-score) > 1e-6*score {
		t.Errorf("score %v, want %v", got[0].Score, score)
	}

	alone, err := config.Fit(context.Background(), golden{Sizes: set.Sizes[:1]}, &detect.FitOptions{Extractor: given{}, Seed: 1})
	if err != nil {
		t.Fatal(err)
	}
	if s, _ := alone.State(); slices.Max(s.Tensors[rarityName].Data) != 0 {
		t.Error("a picture that is alone has rare patches")
	}
	for name, change := range map[string]func(){
		"none":    func() { delete(state.Tensors, rarityName) },
		"too few": func() { state.Tensors[rarityName] = tensor.New(bank.Shape[0] - 1) },
		"not finite": func() {
			state.Tensors[rarityName] = tensor.From(slices.Repeat([]float32{float32(math.NaN())}, bank.Shape[0]), bank.Shape[0])
		},
		"not asked for": func() {
			state.Tensors[rarityName], state.Config = rarity, []byte(`{"coreset_ratio":0.4,"neighbours":1}`)
		},
	} {
		saved := state.Config
		change()
		if _, err := Open(state, given{}); err == nil {
			t.Errorf("rarities %s: opened", name)
		}
		state.Config, state.Tensors[rarityName] = saved, rarity
	}
	if _, err := Open(state, given{}); err != nil {
		t.Error(err)
	}
}

func TestSupportOutOfRange(t *testing.T) {
	for _, bad := range []float64{-0.1, 1, math.NaN()} {
		c := DefaultConfig()
		c.Support = bad
		if c.Validate() == nil {
			t.Errorf("support %v is accepted", bad)
		}
	}
}
