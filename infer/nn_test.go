package infer

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/blemish/blemish/fault"
	"github.com/blemish/blemish/tensor"
)

// reference computes every value of a graph by its definition: plain loops in float64, nothing folded or fused.
func reference(g *Graph, weights map[string]*tensor.Tensor, picture *tensor.Tensor) []*plane {
	values := make([]*plane, len(g.nodes))
	for v, n := range g.nodes {
		if n.kind == input {
			values[v] = newPlane(picture.Shape[0], picture.Shape[1], picture.Shape[2])
			for i, x := range picture.Data {
				values[v].data[i] = float64(x)
			}
			continue
		}
		in := values[n.in[0]]
		switch n.kind {
		case conv:
			c := n.conv
			h, top := window(in.h, c.Kernel, c.Stride, c.Dilation, c.Pad)
			w, left := window(in.w, c.Kernel, c.Stride, c.Dilation, c.Pad)
			out := newPlane(c.Out, h, w)
			weight := weights[c.Name+".weight"]
			per := in.c / c.Groups
			out.fill(func(oc, y, x int) float64 {
				sum := 0.0
				if c.Bias == WithBias {
					sum = float64(weights[c.Name+".bias"].Data[oc])
				}
				for ic := range per {
					for ky := range c.Kernel {
						for kx := range c.Kernel {
							source := oc/(c.Out/c.Groups)*per + ic
							sum += in.at(source, y*c.Stride-top+ky*c.Dilation, x*c.Stride-left+kx*c.Dilation, 0) *
								float64(weight.Data[((oc*per+ic)*c.Kernel+ky)*c.Kernel+kx])
						}
					}
				}
				return sum
			})
			values[v] = out
		case batchNorm:
			get := func(part string, c int) float64 { return float64(weights[n.name+part].Data[c]) }
			values[v] = newPlane(in.c, in.h, in.w).fill(func(c, y, x int) float64 {
				return get(".weight", c)*(in.at(c, y, x, 0)-get(".running_mean", c))/math.Sqrt(get(".running_var", c)+n.eps) + get(".bias", c)
			})
		case clamp:
			values[v] = newPlane(in.c, in.h, in.w).fill(func(c, y, x int) float64 {
				return min(max(in.at(c, y, x, 0), float64(n.lo)), float64(n.hi))
			})
		case add:
			other := values[n.in[1]]
			values[v] = newPlane(in.c, in.h, in.w).fill(func(c, y, x int) float64 { return in.at(c, y, x, 0) + other.at(c, y, x, 0) })
		case maxPool:
			h, top := window(in.h, n.pool.Kernel, n.pool.Stride, 1, n.pool.Pad)
			w, left := window(in.w, n.pool.Kernel, n.pool.Stride, 1, n.pool.Pad)
			values[v] = newPlane(in.c, h, w).fill(func(c, y, x int) float64 {
				best := math.Inf(-1)
				for ky := range n.pool.Kernel {
					for kx := range n.pool.Kernel {
						best = max(best, in.at(c, y*n.pool.Stride-top+ky, x*n.pool.Stride-left+kx, math.Inf(-1)))
					}
				}
				return best
			})
		}
	}
	return values
}

type plane struct {
	c, h, w int
	data    []float64
}

func newPlane(c, h, w int) *plane { return &plane{c, h, w, make([]float64, c*h*w)} }

func (p *plane) at(c, y, x int, outside float64) float64 {
	if y < 0 || y >= p.h || x < 0 || x >= p.w {
		return outside
	}
	return p.data[(c*p.h+y)*p.w+x]
}

func (p *plane) fill(f func(c, y, x int) float64) *plane {
	for i := range p.data {
		p.data[i] = f(i/(p.h*p.w), i/p.w%p.h, i%p.w)
	}
	return p
}

// networks are small graphs of every shape that the backbones have, and some that they have not.
var networks = map[string]func() *Graph{
	"residual": func() *Graph {
		g, x := NewGraph(3)
		x = g.ReLU(g.BatchNorm(g.Conv(x, Conv{Name: "stem", Out: 20, Kernel: 7, Stride: 2, Pad: 3}), "bn", 1e-5))
		g.Tap("stem", x)
		x = g.MaxPool(x, Pool{Kernel: 3, Stride: 2, Pad: 1})
		y := g.BatchNorm(g.Conv(x, Conv{Name: "a", Out: 33, Kernel: 3, Stride: 2, Pad: 1}), "abn", 1e-5)
		down := g.BatchNorm(g.Conv(x, Conv{Name: "down", Out: 33, Kernel: 1, Stride: 2}), "dbn", 1e-5)
		y = g.ReLU(g.Add(y, down))
		g.Tap("block", y)
		z := g.ReLU(g.Conv(y, Conv{Name: "b", Out: 33, Kernel: 3, Pad: 2, Dilation: 2, Bias: WithBias}))
		z = g.ReLU(g.Add(z, y)) // an activation before the addition: not to be fused past it
		g.Tap("end", g.Add(z, y))
		return g
	},
	"same padding, depthwise": func() *Graph {
		g, x := NewGraph(3)
		x = g.ReLU6(g.BatchNorm(g.Conv(x, Conv{Name: "stem", Out: 16, Kernel: 3, Stride: 2, Pad: Same}), "bn", 1e-3))
		in := x
		x = g.ReLU6(g.Conv(x, Conv{Name: "wide", Out: 40, Kernel: 1}))
		x = g.ReLU6(g.BatchNorm(g.Conv(x, Conv{Name: "deep", Out: 40, Kernel: 5, Pad: Same, Groups: 40}), "bn1", 1e-3))
		x = g.Add(g.Conv(x, Conv{Name: "narrow", Out: 16, Kernel: 1}), in)
		g.Tap("sum", x)
		x = g.Conv(x, Conv{Name: "deep2", Out: 16, Kernel: 5, Stride: 2, Pad: Same, Groups: 16})
		g.Tap("end", g.Conv(x, Conv{Name: "last", Out: 17, Kernel: 3, Stride: 2, Pad: Same, Bias: WithBias}))
		return g
	},
	"taps before and after activations": func() *Graph {
		g, x := NewGraph(3)
		for i := range 3 {
			x = g.Conv(x, Conv{Name: fmt.Sprint("conv", i), Out: 18 + i, Kernel: 3, Pad: 1, Bias: WithBias})
			g.Tap(fmt.Sprint("conv", i), x)
			x = g.ReLU(x)
			g.Tap(fmt.Sprint("relu", i), x)
		}
		g.Tap("pool", g.MaxPool(x, Pool{Kernel: 2, Stride: 2}))
		return g
	},
}

func randomWeights(t *testing.T, g *Graph) map[string]*tensor.Tensor {
	t.Helper()
	var all []string
	for _, tap := range g.Taps() {
		all = append(all, tap.Name)
	}
	params, err := g.Params(all)
	if err != nil {
		t.Fatal(err)
	}
	rng := rand.New(rand.NewPCG(1, 2))
	weights := map[string]*tensor.Tensor{}
	for _, p := range params {
		w := tensor.New(p.Shape...)
		for i := range w.Data {
			w.Data[i] = float32(rng.NormFloat64()) / float32(math.Sqrt(float64(tensor.Volume(p.Shape[1:]))))
			if strings.HasSuffix(p.Name, "running_var") {
				w.Data[i] = 0.5 + rng.Float32()
			}
		}
		weights[p.Name] = w
	}
	return weights
}

func compile(t *testing.T, g *Graph, weights map[string]*tensor.Tensor, taps ...string) *Network {
	t.Helper()
	n, err := Compile(g, func(name string) (*tensor.Tensor, error) {
		if w, ok := weights[name]; ok {
			return w, nil
		}
		return nil, errors.New("there is none")
	}, taps)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func pictures(seed uint64, n, h, w int) *tensor.Tensor {
	rng := rand.New(rand.NewPCG(seed, 3))
	t := tensor.New(n, 3, h, w)
	for i := range t.Data {
		t.Data[i] = float32(rng.NormFloat64())
	}
	return t
}

func TestPlansAgreeWithDefinitions(t *testing.T) {
	for name, build := range networks {
		g := build()
		weights := randomWeights(t, g)
		var taps []string
		for _, tap := range g.Taps() {
			taps = append(taps, tap.Name)
		}
		n := compile(t, g, weights, taps...)
		for _, size := range [][2]int{{32, 32}, {33, 47}, {17, 64}, {18, 19}, {31, 16}} {
			batch := pictures(7, 2, size[0], size[1])
			got, err := n.Run(context.Background(), batch, 2)
			if err != nil {
				t.Fatal(err)
			}
			for i := range 2 {
				want := reference(g, weights, batch.Item(i))
				for k, tap := range taps {
					v, _ := g.tapped(tap)
					if w := want[v]; !slices.Equal(got[k].Shape[1:], []int{w.c, w.h, w.w}) {
						t.Fatalf("%s at %v: %s has shape %v, want %v", name, size, tap, got[k].Shape, []int{w.c, w.h, w.w})
					}
					for j, x := range got[k].Item(i).Data {
						// values are of size 1 to 10; a few layers of float32 sums of some hundred terms leave a few 1e-6
						if w := want[v].data[j]; math.Abs(float64(x)-w) > 2e-5 {
							t.Fatalf("%s at %v: %s, value %d is %v, want %v", name, size, tap, j, x, w)
						}
					}
				}
			}
		}
		// each tap alone gives the same as all together
		batch := pictures(8, 1, 33, 31)
		all, err := n.Run(context.Background(), batch, 1)
		if err != nil {
			t.Fatal(err)
		}
		for k, tap := range taps {
			one, err := compile(t, g, weights, tap).Run(context.Background(), batch, 1)
			if err != nil {
				t.Fatal(err)
			}
			for j, x := range one[0].Data {
				if math.Abs(float64(x-all[k].Data[j])) > 2e-5 { // fused further: rounded elsewhere
					t.Fatalf("%s: %s alone differs at %d", name, tap, j)
				}
			}
		}
	}
}

func TestSizesWorkersAndCallersDoNotMix(t *testing.T) {
	g := networks["residual"]()
	n := compile(t, g, randomWeights(t, g), "block", "end")
	sizes := [][2]int{{32, 32}, {64, 48}, {19, 35}, {48, 64}}
	var want [][]*tensor.Tensor
	for i, s := range sizes {
		maps, err := n.Run(context.Background(), pictures(uint64(i), 3, s[0], s[1]), 1)
		if err != nil {
			t.Fatal(err)
		}
		want = append(want, maps)
	}
	var wg sync.WaitGroup
	for c := range 4 {
		wg.Go(func() {
			for r := range 6 {
				i := (c + r) % len(sizes)
				got, err := n.Run(context.Background(), pictures(uint64(i), 3, sizes[i][0], sizes[i][1]), 1+c)
				if err != nil {
					t.Error(err)
					return
				}
				for k := range got {
					if !slices.Equal(got[k].Data, want[i][k].Data) {
						t.Errorf("size %v, %d workers: tap %d differs", sizes[i], 1+c, k)
					}
				}
			}
		})
	}
	wg.Wait()
}

func TestWhatCannotRunSaysWhy(t *testing.T) {
	g := networks["residual"]()
	weights := randomWeights(t, g)
	n := compile(t, g, weights, "end")
	var shape *fault.ShapeError
	for _, bad := range []*tensor.Tensor{tensor.New(3, 32, 32), tensor.New(1, 4, 32, 32), tensor.New(0, 3, 32, 32)} {
		if _, err := n.Run(context.Background(), bad, 1); !errors.As(err, &shape) {
			t.Errorf("batch %v: %v", bad.Shape, err)
		}
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := n.Run(ctx, pictures(1, 1, 32, 32), 1); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
	valid, x := NewGraph(3)
	valid.Tap("x", valid.Conv(x, Conv{Name: "c", Out: 4, Kernel: 9}))
	small := compile(t, valid, randomWeights(t, valid), "x")
	if _, err := small.Run(context.Background(), pictures(1, 1, 8, 20), 1); err == nil || !strings.Contains(err.Error(), "too small") {
		t.Errorf("too small a picture: %v", err)
	}
	if _, err := Compile(g, nil, []string{"nowhere"}); err == nil || !strings.Contains(err.Error(), "nowhere") {
		t.Errorf("an unknown tap: %v", err)
	}
	if _, err := Compile(g, nil, nil); err == nil {
		t.Error("no tap at all is accepted")
	}
	lacking := func(name string) (*tensor.Tensor, error) { return nil, errors.New("there is none") }
	if _, err := Compile(g, lacking, []string{"end"}); err == nil || !strings.Contains(err.Error(), "stem.weight") {
		t.Errorf("without weights: %v", err)
	}
	grouped, x := NewGraph(3)
	x = grouped.Conv(x, Conv{Name: "a", Out: 8, Kernel: 1})
	grouped.Tap("x", grouped.Conv(x, Conv{Name: "b", Out: 8, Kernel: 3, Groups: 2}))
	var unsupported *fault.UnsupportedError
	w := randomWeights(t, grouped)
	if _, err := Compile(grouped, func(name string) (*tensor.Tensor, error) { return w[name], nil }, []string{"x"}); !errors.As(err, &unsupported) {
		t.Errorf("a grouped convolution: %v", err)
	}
}

// A batch is computed in groups of pictures, from some layer on together: each picture's maps are those that it has alone, bit for bit.
func TestABatchIsItsPictures(t *testing.T) {
	met := map[bool]bool{} // plans in which pictures meet before the end
	for name, build := range networks {
		g := build()
		n := compile(t, g, randomWeights(t, g), g.Taps()[len(g.Taps())-1].Name)
		for _, s := range []size{{9, 12}, {33, 47}} {
			p, err := n.plan(s)
			if err != nil {
				t.Fatal(err)
			}
			met[p.together < len(p.phases)] = true
			batch := pictures(3, 11, s.height, s.width)
			var want []float32
			for i := range 11 {
				one, err := n.Run(context.Background(), tensor.From(batch.Item(i).Data, append([]int{1}, batch.Shape[1:]...)...), 1)
				if err != nil {
					t.Fatal(err)
				}
				want = append(want, one[0].Data...)
			}
			for workers := 1; workers <= 25; workers += 6 {
				for _, count := range []int{2, 5, 11} {
					part := tensor.From(batch.Data[:count*len(batch.Data)/11], append([]int{count}, batch.Shape[1:]...)...)
					got, err := n.Run(context.Background(), part, workers)
					if err != nil {
						t.Fatal(err)
					}
					if !slices.Equal(got[0].Data, want[:len(want)/11*count]) {
						t.Errorf("%s at %v: %d pictures by %d workers differ from the same alone", name, s, count, workers)
					}
				}
			}
		}
	}
	if !met[true] || !met[false] {
		t.Errorf("pictures meet, or not: %v; want both among the cases", met)
	}
}
