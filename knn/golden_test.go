package knn_test

import (
	"context"
	"encoding/json"
	"os"
	"slices"
	"testing"

	"github.com/blemish/blemish/detect/detecttest"
	"github.com/blemish/blemish/knn"
)

// Goldens by ../detect/detecttest/testdata/gen/goldens.py, which makes sure that no choice there is so close that rounding decides it.
func TestKCenterGreedyChoosesWhatAnomalibChooses(t *testing.T) {
	raw, err := os.ReadFile("testdata/coreset.json")
	if err != nil {
		t.Fatal(err)
	}
	var cases []struct {
		N, Dim, First int
		Chosen        []int
	}
	if err := json.Unmarshal(raw, &cases); err != nil {
		t.Fatal(err)
	}
	for _, c := range cases {
		points := make([]float32, c.N*c.Dim)
		for i := range points {
			points[i] = float32(detecttest.Noise(uint32(1000+c.Dim), i))
		}
		got, err := knn.KCenterGreedy(context.Background(), knn.Pad(points, c.Dim), len(c.Chosen), c.First, knn.CoresetOptions{Workers: 2})
		if err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(got, c.Chosen) {
			t.Errorf("%d points of %d: %v, want %v", c.N, c.Dim, got, c.Chosen)
		}
	}
}
