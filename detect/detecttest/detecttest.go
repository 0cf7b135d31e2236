// Package detecttest is the suite that every detection method must pass.
package detecttest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/blemish/blemish/detect"
	"github.com/blemish/blemish/tensor"
)

// Method is what the suite needs of a method.
type Method struct {
	Trainer detect.Trainer
	Open    func(detect.State, detect.Extractor) (detect.Detector, error)
	Pixels  bool // it looks at pixels, and needs no extractor
	Coarse  bool // its map is of steps, whose peak may be anywhere
}

// Run checks a method on rendered pictures of two sizes, with a small extractor.
func Run(t *testing.T, m Method) {
	train := Pictures(24)
	fit := func(t *testing.T, workers int) detect.Detector {
		t.Helper()
		d, err := m.Trainer.Fit(context.Background(), train, &detect.FitOptions{Extractor: Extractor{}, Seed: 3, Workers: workers})
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	d := fit(t, 1)

	t.Run("a planted defect scores highest, and where it is", func(t *testing.T) {
		worstGood := float32(math.Inf(-1))
		for i := range 8 {
			worstGood = max(worstGood, score(t, d, picture(100+i, nil)).Score)
		}
		for i := range 8 {
			x, y := 16+4*i, 40-4*i
			r := score(t, d, picture(200+i, &[2]int{x, y}))
			if r.Score <= worstGood {
				t.Errorf("defect %d scores %v, the worst good picture %v", i, r.Score, worstGood)
			}
			w := r.Map.Shape[1]
			peak := slices.Index(r.Map.Data, slices.Max(r.Map.Data))
			if dx, dy := peak%w-(x+defectSize/2), peak/w-(y+defectSize/2); dx*dx+dy*dy > 12*12 && !m.Coarse {
				t.Errorf("defect at (%d,%d): the map's peak is at (%d,%d)", x, y, peak%w, peak/w)
			}
		}
	})
	t.Run("scores are finite and maps of the picture's size", func(t *testing.T) {
		for i := range 4 {
			x := picture(300+i, nil)
			r := score(t, d, x)
			if !slices.Equal(r.Map.Shape, x.Shape[1:]) {
				t.Errorf("picture %v has a map of shape %v", x.Shape, r.Map.Shape)
			}
			for _, v := range append(slices.Clone(r.Map.Data), r.Score) {
				if math.IsNaN(float64(v)) || math.IsInf(float64(v), 0) {
					t.Fatalf("a score or map value is %v", v)
				}
			}
		}
	})
	t.Run("a batch scores as its pictures do alone", func(t *testing.T) {
		pictures := []*tensor.Tensor{picture(400, nil), picture(402, &[2]int{20, 20}), picture(404, nil)}
		batch, err := d.Score(context.Background(), tensor.Stack(pictures), &detect.ScoreOptions{Workers: 3})
		if err != nil {
			t.Fatal(err)
		}
		for i, x := range pictures {
			same(t, fmt.Sprintf("picture %d", i), score(t, d, x), batch[i])
		}
	})
	t.Run("workers change nothing", func(t *testing.T) {
		same(t, "fitted with 1 and 5 workers", score(t, d, picture(500, nil)), score(t, fit(t, 5), picture(500, nil)))
		equalStates(t, state(t, d), state(t, fit(t, 5)))
	})
	t.Run("a saved detector scores the same, bit for bit", func(t *testing.T) {
		opened, err := m.Open(state(t, d), Extractor{})
		if err != nil {
			t.Fatal(err)
		}
		for i := range 3 {
			same(t, "opened", score(t, d, picture(600+i, nil)), score(t, opened, picture(600+i, nil)))
		}
		equalStates(t, state(t, d), state(t, opened))
	})
	t.Run("a damaged state is an error", func(t *testing.T) { damaged(t, m, state(t, d)) })
	t.Run("cancelling stops", func(t *testing.T) {
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		if _, err := m.Trainer.Fit(ctx, train, &detect.FitOptions{Extractor: Extractor{}}); !errors.Is(err, context.Canceled) {
			t.Errorf("fit: %v", err)
		}
		if _, err := d.Score(ctx, picture(2, nil).Reshape(1, 3, 64, 64), nil); !errors.Is(err, context.Canceled) {
			t.Errorf("score: %v", err)
		}
		ctx, cancel = context.WithCancel(context.Background())
		_, err := m.Trainer.Fit(ctx, train, &detect.FitOptions{Extractor: Extractor{}, Progress: func(detect.Progress) { cancel() }})
		if !errors.Is(err, context.Canceled) {
			t.Errorf("fit, cancelled at its first progress: %v", err)
		}
	})
	t.Run("goroutines may score at once", func(t *testing.T) {
		want := score(t, d, picture(700, nil))
		var wg sync.WaitGroup
		for range 4 {
			wg.Go(func() {
				r, err := d.Score(context.Background(), picture(700, nil).Reshape(1, 3, 64, 64), nil)
				if err != nil || r[0].Score != want.Score {
					t.Errorf("concurrently: %v, %v; alone %v", r, err, want.Score)
				}
			})
		}
		wg.Wait()
	})
	t.Run("bad input is an error", func(t *testing.T) {
		if _, err := d.Score(context.Background(), tensor.New(3, 64, 64), nil); err == nil {
			t.Error("a picture that is no batch is accepted")
		}
		spoilt := picture(2, nil)
		for _, v := range []float64{math.NaN(), math.Inf(1), 1e30} {
			spoilt.Data[700] = float32(v)
			if _, err := d.Score(context.Background(), spoilt.Reshape(1, 3, 64, 64), nil); !errors.Is(err, detect.ErrUnusable) {
				t.Errorf("score of a picture with a pixel of %v: %v", v, err)
			}
			ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
			if _, err := m.Trainer.Fit(ctx, with{train, spoilt}, &detect.FitOptions{Extractor: Extractor{}}); !errors.Is(err, detect.ErrUnusable) {
				t.Errorf("fit on a picture with a pixel of %v: %v", v, err)
			} else if !strings.Contains(err.Error(), "the last") {
				t.Errorf("fit on a picture with a pixel of %v does not name it: %v", v, err)
			}
			cancel()
		}
		flat := with{train, tensor.New(64, 64)}
		if _, err := m.Trainer.Fit(context.Background(), flat, &detect.FitOptions{Extractor: Extractor{}}); err == nil {
			t.Error("fit on a picture without channels is accepted")
		}
		if m.Pixels {
			if _, err := m.Open(state(t, d), nil); err != nil {
				t.Errorf("opened without an extractor: %v", err)
			}
		} else if _, err := m.Trainer.Fit(context.Background(), train, nil); err == nil {
			t.Error("fit without an extractor is accepted")
		}
		if _, err := m.Trainer.Fit(context.Background(), Pictures(0), &detect.FitOptions{Extractor: Extractor{}}); err == nil {
			t.Error("fit without samples is accepted")
		}
	})
}

func score(t *testing.T, d detect.Detector, x *tensor.Tensor) detect.Result {
	t.Helper()
	r, err := d.Score(context.Background(), x.Reshape(append([]int{1}, x.Shape...)...), &detect.ScoreOptions{Workers: 1})
	if err != nil {
		t.Fatal(err)
	}
	return r[0]
}

func same(t *testing.T, what string, a, b detect.Result) {
	t.Helper()
	if a.Score != b.Score || !slices.Equal(a.Map.Data, b.Map.Data) {
		t.Errorf("%s: scores %v and %v, or their maps, differ", what, a.Score, b.Score)
	}
}

func state(t *testing.T, d detect.Detector) detect.State {
	t.Helper()
	s, err := d.State()
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func equalStates(t *testing.T, a, b detect.State) {
	t.Helper()
	if string(a.Config) != string(b.Config) || len(a.Tensors) != len(b.Tensors) {
		t.Error("configurations or numbers of tensors differ")
	}
	for name, x := range a.Tensors {
		y := b.Tensors[name]
		if y == nil || !slices.Equal(x.Shape, y.Shape) || !slices.Equal(x.Data, y.Data) {
			t.Errorf("tensor %s differs", name)
		}
	}
}

// damaged opens a state in which one thing after the other is wrong.
func damaged(t *testing.T, m Method, s detect.State) {
	change := func(what string, edit func(tensors map[string]*tensor.Tensor) json.RawMessage) {
		tensors := map[string]*tensor.Tensor{}
		for name, x := range s.Tensors {
			tensors[name] = x.Clone()
		}
		config := edit(tensors)
		if _, err := m.Open(detect.State{Config: config, Tensors: tensors}, Extractor{}); err == nil {
			t.Errorf("%s: accepted", what)
		}
	}
	change("no configuration", func(map[string]*tensor.Tensor) json.RawMessage { return nil })
	change("configuration of another kind", func(map[string]*tensor.Tensor) json.RawMessage { return json.RawMessage(`[1]`) })
	change("an unknown tensor", func(x map[string]*tensor.Tensor) json.RawMessage {
		x["surplus"] = tensor.New(1)
		return s.Config
	})
	for name := range s.Tensors {
		change("without "+name, func(x map[string]*tensor.Tensor) json.RawMessage {
			delete(x, name)
			return s.Config
		})
		change("flat "+name, func(x map[string]*tensor.Tensor) json.RawMessage {
			x[name] = tensor.From(x[name].Data[1:], len(x[name].Data)-1)
			return s.Config
		})
		change("NaN in "+name, func(x map[string]*tensor.Tensor) json.RawMessage {
			x[name].Data[len(x[name].Data)/2] = float32(math.NaN())
			return s.Config
		})
	}
}

// Extractor is a small stand-in for a backbone: mean, contrast and slopes of blocks of 4 and of 8 pixels.
type Extractor struct{}

func (Extractor) Taps() []detect.Tap {
	return []detect.Tap{{Name: "fine", Channels: 4, Stride: 4}, {Name: "coarse", Channels: 4, Stride: 8}}
}

func (e Extractor) Features(ctx context.Context, batch *tensor.Tensor, _ int) ([]*tensor.Tensor, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	var out []*tensor.Tensor
	n, h, w := batch.Shape[0], batch.Shape[2], batch.Shape[3]
	for _, tap := range e.Taps() {
		s := tap.Stride
		m := tensor.New(n, 4, h/s, w/s)
		for i := range n {
			gray := batch.Item(i).Data[:h*w]
			to := m.Item(i)
			for y := range h / s {
				for x := range w / s {
					var sum, squares, right, down float64
					for j := range s * s {
						v := float64(gray[(y*s+j/s)*w+x*s+j%s])
						sum += v
						squares += v * v
						right += v * float64(2*(j%s)-s+1)
						down += v * float64(2*(j/s)-s+1)
					}
					k := float64(s * s)
					mean := sum / k
					for c, v := range []float64{mean, math.Sqrt(max(0, squares/k-mean*mean)), right / k, down / k} {
						to.Data[(c*(h/s)+y)*(w/s)+x] = float32(v)
					}
				}
			}
		}
		out = append(out, m)
	}
	return out, nil
}

// Pictures is a source of n good pictures, the odd ones wider than the even ones.
type Pictures int

func (p Pictures) Len() int { return int(p) }

func (p Pictures) Samples(ctx context.Context) iter.Seq2[detect.Sample, error] {
	return func(yield func(detect.Sample, error) bool) {
		for i := range int(p) {
			if err := ctx.Err(); err != nil {
				yield(detect.Sample{}, err)
				return
			}
			if !yield(detect.Sample{Name: fmt.Sprint("picture ", i), Image: picture(i, nil)}, nil) {
				return
			}
		}
	}
}

// with is a source with one more picture.
type with struct {
	detect.Source
	last *tensor.Tensor
}

func (w with) Samples(ctx context.Context) iter.Seq2[detect.Sample, error] {
	return func(yield func(detect.Sample, error) bool) {
		for s, err := range w.Source.Samples(ctx) {
			if !yield(s, err) {
				return
			}
		}
		yield(detect.Sample{Name: "the last", Image: w.last}, nil)
	}
}

const defectSize = 8 // pixels

// picture draws a soft grid with noise, and a bright square at defect.
func picture(seed int, defect *[2]int) *tensor.Tensor {
	rng := rand.New(rand.NewPCG(uint64(seed), 1))
	h, w := 64, 64+16*(seed%2)
	t := tensor.New(3, h, w)
	phase := rng.Float64()
	for y := range h {
		for x := range w {
			v := math.Sin(float64(x)/4+phase)*0.3 + math.Sin(float64(y)/5)*0.3 + rng.NormFloat64()*0.05
			if defect != nil && x >= defect[0] && x < defect[0]+defectSize && y >= defect[1] && y < defect[1]+defectSize {
				v += 1.5
			}
			for c := range 3 {
				t.Data[(c*h+y)*w+x] = float32(v)
			}
		}
	}
	return t
}
