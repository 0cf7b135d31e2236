package metric

import (
	"encoding/json"
	"errors"
	"math"
	"math/rand/v2"
	"os"
	"slices"
	"testing"
)

type imageGolden struct {
	Scores    []float64
	Anomalous []bool
	AUROC, AP float64
	F1Max     float64
}

func TestImageFiguresAreScikitLearns(t *testing.T) {
	raw, err := os.ReadFile("testdata/image.json")
	if err != nil {
		t.Fatal(err)
	}
	var cases []imageGolden
	if err := json.Unmarshal(raw, &cases); err != nil {
		t.Fatal(err)
	}
	for i, c := range cases {
		auroc, err1 := AUROC(c.Scores, c.Anomalous)
		ap, err2 := AveragePrecision(c.Scores, c.Anomalous)
		f1, err3 := F1Max(c.Scores, c.Anomalous)
		if err := errors.Join(err1, err2, err3); err != nil {
			t.Fatal(err)
		}
		for what, d := range map[string]float64{"AUROC": auroc - c.AUROC, "AP": ap - c.AP, "F1-max": f1.Value - c.F1Max} {
			if math.Abs(d) > 1e-12 { // both sum a few hundred float64
				t.Errorf("case %d: %s is off by %v", i, what, d)
			}
		}
		n := Confuse(c.Scores, c.Anomalous, f1.Threshold)
		if got := 2 * float64(n.TP) / float64(2*n.TP+n.FP+n.FN); math.Abs(got-f1.Value) > 1e-12 {
			t.Errorf("case %d: F1 at the threshold is %v, want %v", i, got, f1.Value)
		}
	}
}

func TestOneClassAndNaNAreErrors(t *testing.T) {
	if _, err := AUROC([]float64{1, 2}, []bool{true, true}); !errors.Is(err, ErrOneClass) {
		t.Errorf("one class: %v", err)
	}
	if _, err := AUROC([]float64{1, math.NaN()}, []bool{true, false}); err == nil {
		t.Error("a NaN score is accepted")
	}
	if b, err := BalancedAccuracy([]float64{1, 2, 3, 4, 5}, []bool{false, true, false, false, true}, 2.5); err != nil || math.Abs(b-(0.5+1./3)/2) > 1e-15 {
		t.Errorf("balanced accuracy %v, %v", b, err)
	}
}

func TestCurvesEndWhereTheyMust(t *testing.T) {
	scores, labels := []float64{3, 1, 2, 2}, []bool{true, false, true, false}
	roc, _ := ROC(scores, labels)
	if want := []Point{{0, 0}, {0, 0.5}, {0.5, 1}, {1, 1}}; !slices.Equal(roc, want) {
		t.Errorf("ROC %v, want %v", roc, want)
	}
	pr, _ := PR(scores, labels)
	if want := []Point{{0, 1}, {0.5, 1}, {1, 2. / 3}, {1, 0.5}}; !slices.Equal(pr, want) {
		t.Errorf("PR %v, want %v", pr, want)
	}
}

type pixelCase struct {
	Width, Height int
	Maps          [][]float32
	Masks         [][]uint8 // null for a good picture
	Kinds         []string
	All           PixelResult
	ByKind        map[string]PixelResult
}

func TestPixelFiguresAreThoseOfBruteForce(t *testing.T) {
	raw, err := os.ReadFile("testdata/pixels.json")
	if err != nil {
		t.Fatal(err)
	}
	var cases []pixelCase
	if err := json.Unmarshal(raw, &cases); err != nil {
		t.Fatal(err)
	}
	for i, c := range cases {
		for _, room := range []int{bufferedPixels, 97, 1} { // in memory, and in ever more runs in a file
			if room == 1 && i > 0 {
				continue
			}
			e, err := NewPixelEvaluator()
			if err != nil {
				t.Fatal(err)
			}
			e.room = room
			for j := range c.Maps {
				if err := e.Add(c.Kinds[j], c.Maps[j], c.Masks[j], c.Width, c.Height); err != nil {
					t.Fatal(err)
				}
			}
			all, byKind, err := e.Results()
			if err != nil {
				t.Fatal(err)
			}
			check := func(what string, got, want PixelResult) {
				t.Helper()
				g, w := [5]float64{got.AUROC, got.AP, got.F1Max, got.AUPRO, got.AUPRO05}, [5]float64{want.AUROC, want.AP, want.F1Max, want.AUPRO, want.AUPRO05}
				for k := range g {
					if !(math.Abs(g[k]-w[k]) < 1e-10) {
						t.Errorf("case %d, room %d, %s: %+v, want %+v", i, room, what, got, want)
						return
					}
				}
			}
			check("all", *all, c.All)
			if len(byKind) != len(c.ByKind) {
				t.Errorf("case %d: results of %d kinds, want %d", i, len(byKind), len(c.ByKind))
			}
			for kind, want := range c.ByKind {
				check(kind, byKind[kind], want)
			}
			name := ""
			if e.file != nil {
				name = e.file.Name()
			}
			if err := e.Close(); err != nil {
				t.Fatal(err)
			}
			if _, err := os.Stat(name); name != "" && !os.IsNotExist(err) {
				t.Errorf("the temporary file is still there: %v", err)
			}
		}
	}
}

func TestPixelsWithoutDefectsHaveNoResult(t *testing.T) {
	e, _ := NewPixelEvaluator()
	defer e.Close()
	if err := e.Add("good", []float32{1, 2}, nil, 2, 1); err != nil {
		t.Fatal(err)
	}
	if all, kinds, err := e.Results(); all != nil || len(kinds) != 0 || err != nil {
		t.Errorf("%v %v %v", all, kinds, err)
	}
	if err := e.Add("good", []float32{1, float32(math.NaN())}, nil, 2, 1); err == nil {
		t.Error("a NaN in a map is accepted")
	}
	if err := e.Add("good", []float32{1}, nil, 2, 1); err == nil {
		t.Error("a map of the wrong size is accepted")
	}
}

func TestComponentsAreEightConnected(t *testing.T) {
	mask := []uint8{
		1, 0, 0, 1,
		0, 1, 0, 0,
		0, 0, 0, 1,
		1, 1, 0, 1,
	}
	labels, n := Components(mask, 4, 4)
	want := []int32{1, 0, 0, 2, 0, 1, 0, 0, 0, 0, 0, 3, 4, 4, 0, 3}
	if n != 4 || !slices.Equal(labels, want) {
		t.Errorf("%d components %v, want %v", n, labels, want)
	}
	values := make([]float32, 16)
	for i, m := range mask {
		values[i] = float32(m) * float32(i+1)
	}
	if got, want := Regions(values, 4, 4, 0), []Region{{0, 0, 2, 2, 6}, {3, 0, 1, 1, 4}, {3, 2, 1, 2, 16}, {0, 3, 2, 1, 14}}; !slices.Equal(got, want) {
		t.Errorf("regions %v, want %v", got, want)
	}
}

func BenchmarkPixelEvaluator(b *testing.B) {
	const side, pictures = 512, 40
	rng := rand.New(rand.NewPCG(1, 1))
	scores, mask := make([]float32, side*side), make([]uint8, side*side)
	for i := range scores {
		scores[i] = rng.Float32()
		if i%side < 40 && i/side < 40 {
			mask[i] = 1
		}
	}
	for b.Loop() {
		e, _ := NewPixelEvaluator()
		for i := range pictures {
			m := mask
			if i%2 == 0 {
				m = nil
			}
			if err := e.Add("scratch", scores, m, side, side); err != nil {
				b.Fatal(err)
			}
		}
		if _, _, err := e.Results(); err != nil {
			b.Fatal(err)
		}
		e.Close()
	}
	b.ReportMetric(float64(b.N)*side*side*pictures/b.Elapsed().Seconds()/1e6, "Mpixel/s")
}
