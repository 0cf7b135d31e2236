package train

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/blemish/blemish/autograd"
	"github.com/blemish/blemish/checkpoint"
	"github.com/blemish/blemish/fault"
	"github.com/blemish/blemish/nn"
	"github.com/blemish/blemish/tensor"
)

// toy is a training with everything that has state: buffers, momentum, Adam's moments and steps, dropout, rates that fall, a plateau.
type toy struct {
	Config
	tape    *autograd.Tape
	loader  *Loader
	losses  []float64
	reached []string // At
}

func newToy(t *testing.T, path string) *toy {
	t.Helper()
	rng := rand.New(rand.NewPCG(5, 5))
	first, last := nn.NewLinear("first", 2, 8, rng), nn.NewLinear("last", 8, 1, rng)
	sgd, err := nn.NewSGD(nn.OneGroup(first, 0.05), nn.SGDConfig{Momentum: 0.9})
	if err != nil {
		t.Fatal(err)
	}
	adam, err := nn.NewAdam(nn.OneGroup(last, 0.01), nn.DefaultAdam())
	if err != nil {
		t.Fatal(err)
	}
	plateau, err := nn.NewReduceLROnPlateau(adam, nn.PlateauConfig{Factor: 0.5, Threshold: 0.5})
	if err != nil {
		t.Fatal(err)
	}
	base := nn.BaseLRs(sgd)
	c := Config{
		Epochs: 4, Model: nn.Sequential{first, nn.NewBatchNorm("norm", 8), nn.ReLU, nn.NewDropout(0.2), last},
		Optimizers: []nn.Optimizer{sgd, adam}, Random: rand.NewPCG(9, 9), State: plateau, Checkpoint: path, Resume: true,
		EpochEnd: func(_ context.Context, p Progress) error {
			nn.CosineAnnealing(12, 0).SetLR(sgd, base, p.Total)
			plateau.Step(p.Mean)
			return nil
		},
	}
	tape := autograd.NewTape()
	tape.Rand = rand.New(c.Random)
	return &toy{Config: c, tape: tape, loader: &Loader{Source: numbers{n: 11}, BatchSize: 4, Shuffle: true, DropLast: false}}
}

func (y *toy) step(_ context.Context, at At, b Batch) (float64, error) {
	y.reached = append(y.reached, fmt.Sprint(at, " ", at.Total))
	y.tape.Reset()
	for _, o := range y.Optimizers {
		o.ZeroGrad()
	}
	loss := y.tape.MSE(y.Model.Forward(y.tape, y.tape.Input(b.Input)), y.tape.Input(b.Target))
	y.losses = append(y.losses, float64(loss.Value.Data[0]))
	if err := y.tape.Backward(loss); err != nil {
		return 0, err
	}
	for _, o := range y.Optimizers {
		o.Step()
	}
	return y.losses[len(y.losses)-1], nil
}

func (y *toy) run(ctx context.Context) error { return Run(ctx, y.Config, y.loader.Batches, y.step) }

// values are all of the training's figures.
func (y *toy) values() string {
	var b strings.Builder
	for _, e := range y.entries() {
		fmt.Fprintln(&b, e.Name, e.Tensor.Data)
	}
	for _, g := range y.groups() {
		fmt.Fprintln(&b, g.LR)
	}
	random, _ := y.Random.MarshalBinary()
	fmt.Fprintf(&b, "%x %+v", random, y.State.(*nn.ReduceLROnPlateau).Best)
	return b.String()
}

func fileOf(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestResumedTrainingEqualsUninterrupted(t *testing.T) {
	dir := t.TempDir()
	whole := newToy(t, filepath.Join(dir, "whole"))
	if err := whole.run(t.Context()); err != nil {
		t.Fatal(err)
	}
	if len(whole.losses) != 12 || whole.losses[11] == whole.losses[0] {
		t.Fatalf("losses %v", whole.losses)
	}
	if r := whole.State.(*nn.ReduceLROnPlateau).Reduced; r == 0 {
		t.Fatal("the plateau was not reached, and does not show")
	}
	want, wantFile := whole.values(), fileOf(t, whole.Checkpoint)
	stops := [][]int{{4, 5, 8, 11}}
	for i := range 12 {
		stops = append(stops, []int{i + 1})
	}
	for _, stops := range stops {
		path := filepath.Join(dir, fmt.Sprint(stops))
		for _, stop := range stops {
			y := newToy(t, path)
			ctx, cancel := context.WithCancel(t.Context())
			y.Progress = func(p Progress) {
				if p.Total+1 == stop {
					cancel()
				}
			}
			err := y.run(ctx)
			if !errors.Is(err, context.Canceled) {
				t.Fatalf("stopped after step %d: %v", stop, err)
			}
			epochs := (stop - 1) / 3 // of 3 steps; one that is cancelled in its last step does not count
			kept := fmt.Sprintf("; checkpoint %s holds the state after epoch %d, resume from it", path, epochs)
			if strings.HasSuffix(err.Error(), kept) != (epochs > 0) || epochs == 0 && strings.Contains(err.Error(), path) {
				t.Errorf("stopped after step %d: %v", stop, err)
			}
			if last := y.reached[len(y.reached)-1]; !strings.HasSuffix(last, fmt.Sprint(" ", stop-1)) {
				t.Errorf("to be stopped after step %d, the last one was %s", stop-1, last)
			}
		}
		y := newToy(t, path)
		if err := y.run(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got := y.values(); got != want {
			t.Errorf("stopped after steps %v:\n%s\nwant\n%s", stops, got, want)
		}
		if fileOf(t, path) != wantFile {
			t.Errorf("stopped after steps %v: the checkpoint has other bytes", stops)
		}
		if all := whole.reached; !slices.Equal(y.reached, all[len(all)-len(y.reached):]) {
			t.Errorf("steps %v, want the end of %v", y.reached, all)
		}
	}
}

func TestProgress(t *testing.T) {
	y := newToy(t, "")
	y.Epochs = 2
	var ends, steps []Progress
	y.Progress = func(p Progress) { steps = append(steps, p) }
	y.EpochEnd = func(_ context.Context, p Progress) error { ends = append(ends, p); return nil }
	if err := y.run(t.Context()); err != nil {
		t.Fatal(err)
	}
	if want := []string{"epoch 1, step 1 0", "epoch 1, step 2 1", "epoch 1, step 3 2", "epoch 2, step 1 3", "epoch 2, step 2 4", "epoch 2, step 3 5"}; !slices.Equal(y.reached, want) {
		t.Errorf("steps at %v, want %v", y.reached, want)
	}
	for i, p := range steps {
		from := i / 3 * 3
		mean := 0.0
		for _, l := range y.losses[from : i+1] {
			mean += l / float64(i+1-from)
		}
		if p.At != (At{i / 3, i % 3, i}) || p.Loss != y.losses[i] || math.Abs(p.Mean-mean) > 1e-9*mean {
			t.Errorf("step %d: %+v, want loss %v and mean %v", i, p, y.losses[i], mean)
		}
	}
	if !slices.Equal(ends, []Progress{steps[2], steps[5]}) {
		t.Errorf("epochs end with %v, want %v", ends, []Progress{steps[2], steps[5]})
	}
}

func TestErrStopEndsTrainingForGood(t *testing.T) {
	path := filepath.Join(t.TempDir(), "stopped")
	for _, steps := range []int{6, 0} { // the second time there is nothing left to do
		y := newToy(t, path)
		y.State = nil
		y.EpochEnd = func(_ context.Context, p Progress) error {
			if p.Epoch == 1 {
				return fmt.Errorf("good enough: %w", ErrStop)
			}
			return nil
		}
		if err := y.run(t.Context()); err != nil || len(y.losses) != steps {
			t.Errorf("%d steps, want %d; %v", len(y.losses), steps, err)
		}
	}
}

// fails trains a toy, changed, until it fails, and returns the error.
func fails(t *testing.T, path string, change func(y *toy), step func(y *toy, at At) (float64, error)) error {
	t.Helper()
	y := newToy(t, path)
	y.EpochEnd = nil
	if change != nil {
		change(y)
	}
	err := Run(t.Context(), y.Config, y.loader.Batches, func(ctx context.Context, at At, b Batch) (float64, error) {
		if _, err := y.step(ctx, at, b); err != nil {
			return 0, err
		}
		if step == nil {
			return 1, nil
		}
		return step(y, at)
	})
	if err == nil {
		t.Fatal("there is no error")
	}
	return err
}

func TestErrorsNameEpochAndStepAndKeepTheCheckpoint(t *testing.T) {
	path := filepath.Join(t.TempDir(), "run")
	bad := errors.New("no such luck")
	late := At{1, 2, 5}
	at := func(f func(y *toy) (float64, error)) func(*toy, At) (float64, error) {
		return func(y *toy, at At) (float64, error) {
			if at == late {
				return f(y)
			}
			return 1, nil
		}
	}
	tail := fmt.Sprintf("; checkpoint %s holds the state after epoch 1, resume from it", path)
	advice := "is not finite; a smaller learning rate, gradient clipping or cleaner inputs may help"
	first := func(y *toy) *nn.Linear { return y.Model.(nn.Sequential)[0].(*nn.Linear) }
	for _, c := range []struct {
		want      string
		nonFinite bool
		change    func(y *toy)
		step      func(y *toy, at At) (float64, error)
	}{
		{"epoch 2, step 3: loss: the value " + advice, true, nil, at(func(*toy) (float64, error) { return math.NaN(), nil })},
		{"epoch 2, step 3: loss: the value " + advice, true, nil, at(func(*toy) (float64, error) { return math.Inf(1), nil })},
		{"epoch 2, step 3: no such luck", false, nil, at(func(*toy) (float64, error) { return 0, bad })},
		{"epoch 2, step 3: first (linear): the parameter first.weight " + advice, true, nil, func(y *toy, at At) (float64, error) {
			if at.Total == late.Total-1 {
				first(y).Weight.Value.Data[0] = float32(math.NaN())
			}
			return 1, nil
		}},
		{"epoch 2, step 3: first (linear): the gradient of first.weight " + advice, true, nil, at(func(y *toy) (float64, error) {
			y.tape.Reset()
			y.tape.Layer("first")
			h := y.tape.Linear(y.tape.Input(tensor.From([]float32{0, 0}, 1, 2)), first(y).Weight, nil)
			y.tape.Layer("root")
			return 1, y.tape.Backward(y.tape.Sum(y.tape.Sqrt(h))) // a slope of ∞ times an input of 0
		})},
		{"checkpoint of epoch 2: parameter first.weight: the value " + advice, true, nil, at(func(y *toy) (float64, error) {
			first(y).Weight.Value.Data[3] = float32(math.Inf(-1))
			return 1, nil
		})},
		{"end of epoch 2: no such luck", false, func(y *toy) {
			y.EpochEnd = func(_ context.Context, p Progress) error {
				if p.Epoch == 1 {
					return bad
				}
				return nil
			}
		}, nil},
		{"epoch 1, step 2: sample 4: no such luck", false, func(y *toy) {
			y.loader.Shuffle = false
			y.loader.Source = numbers{n: 11, load: func(_ context.Context, i int) error {
				if i == 4 {
					return bad
				}
				return nil
			}}
		}, nil},
	} {
		os.Remove(path)
		err := fails(t, path, c.change, c.step)
		want := c.want
		if !strings.HasPrefix(want, "epoch 1") { // when nothing is kept yet
			want += tail
		}
		if err.Error() != want {
			t.Errorf("%v\nwant\n%s", err, want)
		}
		var nonFinite *autograd.NonFiniteError
		if errors.As(err, &nonFinite) != c.nonFinite || errors.Is(err, bad) == c.nonFinite {
			t.Errorf("%v is not wrapped", err)
		}
		y := newToy(t, path)
		y.EpochEnd = nil
		if err := y.run(t.Context()); err != nil {
			t.Errorf("resuming: %v", err)
		}
	}
}

// A layer deep in a network is named as PyTorch names it, with the step.
func TestTheStepAndTheLayerThatBreakAreNamed(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	conv := nn.NewConv2d("layer2.0.conv1", 3, 4, 3, autograd.Window{}, rng)
	net := nn.Sequential{nn.NewConv2d("conv1", 1, 3, 3, autograd.Window{}, rng), nn.ReLU, conv, nn.GlobalAvgPool, nn.NewLinear("fc", 4, 2, rng)}
	tape := autograd.NewTape()
	train := func(breaks func(x *tensor.Tensor)) error {
		defer tape.Reset()
		steps := func(context.Context, int) iter.Seq2[int, error] {
			return func(yield func(int, error) bool) {
				for i := range 20 {
					if !yield(i, nil) {
						return
					}
				}
			}
		}
		return Run(t.Context(), Config{Epochs: 1}, steps, func(_ context.Context, at At, _ int) (float64, error) {
			x := tensor.New(2, 1, 8, 8)
			nn.Uniform(x, 1, rng)
			if at.Step == 11 {
				breaks(x)
			}
			tape.Reset()
			loss := tape.CrossEntropy(net.Forward(tape, tape.Input(x)), []int{0, 1}, autograd.Classes{})
			value := float64(loss.Value.Data[0])
			return value, tape.Backward(loss)
		})
	}
	err := train(func(*tensor.Tensor) { conv.Weight.Value.Data[5] = float32(math.NaN()) })
	if want := "epoch 1, step 12: layer2.0.conv1 (conv2d): the parameter layer2.0.conv1.weight is not finite"; err == nil || !strings.HasPrefix(err.Error(), want) {
		t.Errorf("%v\nwant\n%s…", err, want)
	}
	conv.Weight.Value.Data[5] = 3e38
	err = train(func(x *tensor.Tensor) { nn.Uniform(x, 1e3, rng) })
	if want := ": layer2.0.conv1 (conv2d): the output is not finite"; err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("%v\nwant\n…%s…", err, want)
	}
	conv.Weight = autograd.NewParam("layer2.0.conv1.weight", tensor.New(4, 5, 3, 3))
	err = train(func(*tensor.Tensor) {})
	if want := "layer2.0.conv1 (conv2d)"; err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "[4 5 3 3]") || !strings.Contains(err.Error(), "[2 3 6 6]") {
		t.Errorf("%v\nwant %s and both shapes", err, want)
	}
}

func TestShapesThatDoNotFitAreErrors(t *testing.T) {
	err := fails(t, "", nil, func(y *toy, at At) (float64, error) {
		y.tape.Layer("head")
		y.tape.Linear(y.tape.Input(tensor.New(2, 3)), y.Model.Params()[0], nil)
		return 0, nil
	})
	var shape *fault.ShapeError
	if !errors.As(err, &shape) || !strings.HasPrefix(err.Error(), "epoch 1, step 1: head (linear)") {
		t.Error(err)
	}
}

func TestCheckpointsOfOtherTrainingsAreRefused(t *testing.T) {
	path := filepath.Join(t.TempDir(), "run")
	if err := newToy(t, path).run(t.Context()); err != nil {
		t.Fatal(err)
	}
	good := fileOf(t, path)
	rng := rand.New(rand.NewPCG(1, 1))
	entries := newToy(t, path).entries()
	weights := filepath.Join(filepath.Dir(path), "weights")
	if err := checkpoint.WriteFileAtomic(weights, func(w io.Writer) error { return checkpoint.WriteSafetensors(w, nil, entries) }); err != nil {
		t.Fatal(err)
	}
	for want, change := range map[string]func(y *toy){
		"parameter first.weight has shape [8 2], want [8 3]; is it that of another network?": func(y *toy) {
			y.Model.(nn.Sequential)[0] = nn.NewLinear("first", 3, 8, rng)
		},
		"it has no tensor \"model.other.weight\"": func(y *toy) {
			y.Model = nn.Sequential{nn.NewLinear("other", 2, 8, rng)}
		},
		"it holds 16 tensors, here are 12; is it that of another network?": func(y *toy) { // without the batch norm
			y.Model = slices.Delete(y.Model.(nn.Sequential), 1, 2)
		},
		"optimiser state momentum_buffer.first":                            func(y *toy) { slices.Reverse(y.Optimizers) },
		"it holds 16 tensors, here are 10; is it that of another network?": func(y *toy) { y.Optimizers = y.Optimizers[:1] },
		"it holds the learning rates of 2 parameter groups, but there are 3": func(y *toy) {
			sgd, err := nn.NewSGD([]*nn.Group{{LR: 1}}, nn.SGDConfig{})
			if err != nil {
				t.Fatal(err)
			}
			y.Optimizers = append(y.Optimizers, sgd)
		},
		"metadata blemish.train is missing": func(y *toy) { y.Checkpoint = weights },
		"state: ":                           func(y *toy) { y.State = new(int) },
	} {
		y := newToy(t, path)
		change(y)
		err := y.run(t.Context())
		if err == nil || !strings.HasPrefix(err.Error(), "resuming from checkpoint "+y.Checkpoint+": ") || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %s", err, want)
		}
		if len(y.reached) > 0 || fileOf(t, path) != good {
			t.Errorf("%s: the training began", want)
		}
	}
	y := newToy(t, path)
	y.Resume, y.Epochs = false, 1
	if err := y.run(t.Context()); err != nil || len(y.losses) != 3 || fileOf(t, path) == good {
		t.Errorf("starting again: %d steps, %v", len(y.losses), err)
	}
}

func TestWhatCannotWorkFailsBeforeTheFirstStep(t *testing.T) {
	dir := t.TempDir()
	for want, change := range map[string]func(y *toy){
		"epochs = 0":         func(y *toy) { y.Epochs = 0 },
		"model = <nil>":      func(y *toy) { y.Model = nil },
		"writing checkpoint": func(y *toy) { y.Checkpoint = filepath.Join(dir, "missing", "run") },
		`"model.first.bias" is to be written twice`: func(y *toy) { y.Model = nn.Sequential{y.Model, y.Model} },
	} {
		y := newToy(t, filepath.Join(dir, "run"))
		change(y)
		if err := y.run(t.Context()); err == nil || !strings.Contains(err.Error(), want) || len(y.reached) > 0 {
			t.Errorf("after %d steps %v, want %s", len(y.reached), err, want)
		}
	}
	y := newToy(t, filepath.Join(dir, "run"))
	if err := Run(t.Context(), y.Config, func(context.Context, int) iter.Seq2[Batch, error] { return func(func(Batch, error) bool) {} }, y.step); err == nil || err.Error() != "epoch 1 has no batches" {
		t.Error(err)
	}
	if files, err := os.ReadDir(dir); err != nil || len(files) > 0 {
		t.Errorf("files are left: %v, %v", files, err)
	}
}

func TestBatchesThatDoNotReportCancelling(t *testing.T) {
	for _, quiet := range []bool{true, false} { // the batches end without an error, or go on
		y := newToy(t, filepath.Join(t.TempDir(), "run"))
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		y.Progress = func(p Progress) {
			if p.Epoch == 1 {
				cancel()
			}
		}
		err := Run(ctx, y.Config, func(_ context.Context, epoch int) iter.Seq2[Batch, error] {
			return func(yield func(Batch, error) bool) {
				for b, err := range y.loader.Batches(context.Background(), epoch) {
					if quiet && ctx.Err() != nil || !yield(b, err) {
						return
					}
				}
			}
		}, y.step)
		if !errors.Is(err, context.Canceled) || !strings.Contains(err.Error(), "after epoch 1, ") || len(y.losses) != 4 {
			t.Errorf("quiet: %v, after %d steps: %v", quiet, len(y.losses), err)
		}
	}
}

func ExampleRun() {
	rng := rand.New(rand.NewPCG(1, 1))
	net := nn.Sequential{nn.NewLinear("hidden", 2, 8, rng), nn.ReLU, nn.NewDropout(0.1), nn.NewLinear("out", 8, 1, rng)}
	optimizer, err := nn.NewSGD(nn.OneGroup(net, 0.001), nn.SGDConfig{Momentum: 0.9})
	if err != nil {
		fmt.Println(err)
		return
	}
	random := rand.NewPCG(2, 2)
	tape := autograd.NewTape()
	tape.Rand = rand.New(random) // dropout goes on where it was when training is resumed
	loader := &Loader{Source: numbers{n: 100}, BatchSize: 10, Shuffle: true, Seed: 1}
	err = Run(context.Background(), Config{
		Epochs: 3, Model: net, Optimizers: []nn.Optimizer{optimizer}, Random: random, Checkpoint: "", Resume: true,
	}, loader.Batches, func(ctx context.Context, at At, b Batch) (float64, error) {
		tape.Reset()
		optimizer.ZeroGrad()
		loss := tape.MSE(net.Forward(tape, tape.Input(b.Input)), tape.Input(b.Target))
		value := float64(loss.Value.Data[0])
		if err := tape.Backward(loss); err != nil {
			return 0, err
		}
		optimizer.Step()
		return value, nil
	})
	fmt.Println(err)
	// Output: <nil>
}
