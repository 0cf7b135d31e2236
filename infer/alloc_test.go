package infer

import (
	"context"
	"testing"

	"github.com/blemish/blemish/internal/race"
)

// After the first run only the results are allocated, and what holds them: for one tap three pieces (shape, values, tensor) and the list.
func TestRunsAllocateResultsAlone(t *testing.T) {
	if race.Enabled {
		t.Skip("the race detector allocates")
	}
	for name, build := range networks {
		g := build()
		n := compile(t, g, randomWeights(t, g), g.Taps()[len(g.Taps())-1].Name)
		batch := pictures(1, 1, 33, 47)
		for _, workers := range []int{1, 2} {
			allocations := testing.AllocsPerRun(20, func() {
				if _, err := n.Run(context.Background(), batch, workers); err != nil {
					t.Fatal(err)
				}
			})
			if allocations > 5 {
				t.Errorf("%s, %d workers: %v allocations a run, want at most 5", name, workers, allocations)
			}
		}
	}
}
