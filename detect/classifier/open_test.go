package classifier

import (
	"bytes"
	"context"
	"errors"
	"math"
	"runtime"
	"slices"
	"testing"

	"github.com/blemish/blemish/checkpoint"
	"github.com/blemish/blemish/detect"
	"github.com/blemish/blemish/detect/detecttest"
	"github.com/blemish/blemish/internal/race"
	"github.com/blemish/blemish/tensor"
)

// fitted are detectors of every kind: a linear head, VGG's, and layers of a backbone that learned.
func fitted(t testing.TB) map[string]*Detector {
	t.Helper()
	linear, vgg, tail := DefaultConfig(), Chapter(), FineTuning("_blocks.15")
	linear.Epochs, linear.Warmup, linear.Views, linear.Flips = 1, 0, 1, false
	vgg.Epochs, vgg.Width, vgg.BatchSize, vgg.ValidBatch = 1, 4, 4, 4
	tail.Network, tail.Epochs, tail.Warmup, tail.Views, tail.BatchSize = "efficientnet-lite0", 1, 0, 1, 8
	out := map[string]*Detector{}
	for name, c := range map[string]Config{"linear": linear, "vgg": vgg, "tail": tail} {
		d, err := c.FitClasses(context.Background(), Data{Classes: []string{"good", "bad"}, Clean: "good", Train: numbers(8), Valid: numbers(4)},
			&detect.FitOptions{Extractor: openExtractor, Workers: 1})
		if err != nil {
			t.Fatal(name, err)
		}
		out[name] = d
	}
	return out
}

var openExtractor = detecttest.Given{{Name: "_blocks.14", Channels: 192, Stride: 16}}

// file is a state as safetensors.
func file(t testing.TB, s detect.State) []byte {
	t.Helper()
	var entries []checkpoint.Entry
	for name, x := range s.Tensors {
		entries = append(entries, checkpoint.Entry{Name: name, DType: checkpoint.F32, Tensor: x})
	}
	var b bytes.Buffer
	if err := checkpoint.WriteSafetensors(&b, map[string]string{"config": string(s.Config)}, entries); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// FuzzOpen opens what may be a classifier's state, and judges a picture with what opens.
func FuzzOpen(f *testing.F) {
	for _, d := range fitted(f) {
		s, err := d.State()
		if err != nil {
			f.Fatal(err)
		}
		if d.fitted.TrainFrom != "" { // its weights would make the seed large: their lack is found all the same
			for name, x := range s.Tensors {
				if len(x.Data) > 2000 {
					delete(s.Tensors, name)
				}
			}
		}
		f.Add(file(f, s))
	}
	x := detecttest.GivenPicture(3, 32, 32).Reshape(1, 3, 32, 32)
	f.Fuzz(func(t *testing.T, raw []byte) {
		read, err := checkpoint.NewFile(bytes.NewReader(raw), int64(len(raw)))
		if err != nil {
			return
		}
		s := detect.State{Config: []byte(read.Metadata()["config"]), Tensors: map[string]*tensor.Tensor{}}
		for _, name := range read.Names() {
			if s.Tensors[name], err = read.Read(name); err != nil {
				return
			}
		}
		d, err := Open(s, openExtractor)
		if err != nil {
			return
		}
		r, err := d.Score(context.Background(), x, nil)
		if err == nil && !(r[0].Score >= 0 && r[0].Score <= 1) {
			t.Errorf("a picture scores %v", r[0].Score)
		}
		if _, err := d.State(); err != nil {
			t.Errorf("what was opened cannot be saved: %v", err)
		}
	})
}

func TestDamagedStatesAreRefused(t *testing.T) {
	for kind, d := range fitted(t) {
		for what, damage := range map[string]func(s *detect.State, name string){
			"lacks":        func(s *detect.State, name string) { delete(s.Tensors, name) },
			"has a NaN in": func(s *detect.State, name string) { s.Tensors[name].Data[0] = float32(math.NaN()) },
			"has too wide": func(s *detect.State, name string) {
				s.Tensors[name] = tensor.New(append([]int{2}, s.Tensors[name].Shape...)...)
			},
			"has more than": func(s *detect.State, name string) { s.Tensors[name+".more"] = tensor.New(1) },
		} {
			s, err := d.State()
			if err != nil {
				t.Fatal(err)
			}
			var names []string
			for name := range s.Tensors {
				names = append(names, name)
			}
			slices.Sort(names)
			for _, name := range []string{names[0], names[len(names)-1]} {
				kept := s.Tensors[name].Clone()
				damage(&s, name)
				if _, err := Open(s, openExtractor); err == nil {
					t.Errorf("%s: a state that %s %s is opened", kind, what, name)
				}
				delete(s.Tensors, name+".more")
				copy(d.tensor(name).Data, kept.Data)
				s.Tensors[name] = d.tensor(name)
			}
		}
	}
}

// tensor of a detector's state.
func (d *Detector) tensor(name string) *tensor.Tensor {
	s, _ := d.State()
	return s.Tensors[name]
}

// VGG's head is half a gigabyte: opening it must neither copy it nor fill another one with random numbers.
func TestAHeadIsOpenedWithoutACopy(t *testing.T) {
	if race.Enabled {
		t.Skip("the race detector allocates, too")
	}
	c := Chapter()
	c.Epochs, c.Width, c.BatchSize = 1, 64, 4
	wide := detecttest.Given{{Name: "features.30", Channels: 512, Stride: 16}}
	d, err := c.FitClasses(context.Background(), Data{Classes: []string{"good", "bad"}, Clean: "good", Train: numbers(8), Valid: numbers(4)},
		&detect.FitOptions{Extractor: wide})
	if err != nil {
		t.Fatal(err)
	}
	s, err := d.State()
	if err != nil {
		t.Fatal(err)
	}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	opened, err := Open(s, wide)
	runtime.ReadMemStats(&after)
	if err != nil {
		t.Fatal(err)
	}
	// its first layer alone has 25088x64 weights of four bytes: 6.4 MB
	if got := after.TotalAlloc - before.TotalAlloc; got > 1<<20 {
		t.Errorf("opening took %d bytes", got)
	}
	x := detecttest.GivenPicture(3, 32, 32).Reshape(1, 3, 32, 32)
	a, errA := d.Score(context.Background(), x, nil)
	b, errB := opened.Score(context.Background(), x, nil)
	if err := errors.Join(errA, errB); err != nil {
		t.Fatal(err)
	}
	if a[0].Score != b[0].Score {
		t.Errorf("it scores %v, not %v", b[0].Score, a[0].Score)
	}
}
