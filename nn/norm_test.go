package nn_test

import (
	"slices"
	"testing"

	"github.com/blemish/blemish/autograd"
	"github.com/blemish/blemish/nn"
	"github.com/blemish/blemish/tensor"
)

// Means over all batches, with torch.nn.BatchNorm1d(1, momentum=None) of torch 2.15.0: (4, 5) after two batches, (13/3, 20) after three.
func TestAveragedRunningStatisticsAreTorchs(t *testing.T) {
	b := nn.NewBatchNorm("norm", 1).Averaged()
	see := func(x ...float32) {
		tape := autograd.NewTape()
		b.Forward(tape, tape.Input(tensor.From(x, 2, 1)))
	}
	see(1, 3)
	see(4, 8)
	if b.RunningMean.Data[0] != 4 || b.RunningVar.Data[0] != 5 {
		t.Errorf("after two batches: mean %v, variance %v, want 4 and 5", b.RunningMean.Data[0], b.RunningVar.Data[0])
	}
	nn.SetTraining(b, false) // evaluation counts nothing
	see(100, 200)
	nn.SetTraining(b, true)
	see(0, 10)
	if d := b.RunningMean.Data[0] - 13./3; d < -1e-6 || d > 1e-6 || b.RunningVar.Data[0] != 20 {
		t.Errorf("after three batches: mean %v, variance %v, want 4.3333 and 20", b.RunningMean.Data[0], b.RunningVar.Data[0])
	}
	var names []string
	for _, s := range nn.State(b) {
		names = append(names, s.Name)
	}
	if want := []string{"norm.weight", "norm.bias", "norm.running_mean", "norm.running_var", "norm.num_batches_tracked"}; !slices.Equal(names, want) {
		t.Errorf("a checkpoint holds %v, want %v", names, want)
	}
}
