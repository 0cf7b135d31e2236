package infer

import (
	"context"
	"testing"

	"github.com/blemish/blemish/checkpoint"
)

// operatorCase is a network of one operator or few.
type operatorCase struct {
	Name   string
	Model  []byte
	Input  []int
	Output sampled
}

// Single operators with unusual settings against ONNX Runtime: 1e-5 of the largest value, a few roundings of float32.
func TestOperatorsComputeWhatONNXRuntimeDoes(t *testing.T) {
	var cases []operatorCase
	readGoldens(t, "operators.json", &cases)
	if len(cases) < 60 {
		t.Fatalf("only %d cases", len(cases))
	}
	for _, c := range cases {
		t.Run(c.Name, func(t *testing.T) {
			g, err := checkpoint.ReadONNX(c.Model, nil)
			if err != nil {
				t.Fatal(err)
			}
			network, err := Import(g, nil)
			if err != nil {
				t.Fatal(err)
			}
			out, err := network.Run(context.Background(), picture(c.Input...), 1)
			if err != nil {
				t.Fatal(err)
			}
			if diff := c.Output.compare(out[0], 1e-5); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestComparatorSeesDifferences(t *testing.T) {
	x := picture(1, 2, 3)
	s := sampled{Shape: []int{1, 2, 3}, Step: 1}
	for _, v := range x.Data {
		s.Values = append(s.Values, float64(v))
	}
	if diff := s.compare(x, 1e-5); diff != "" {
		t.Error(diff)
	}
	x.Data[4] += 1e-4
	if s.compare(x, 1e-5) == "" {
		t.Error("a difference of 1e-4 was not seen")
	}
	if s.compare(x.Reshape(2, 1, 3), 1) == "" {
		t.Error("another shape was not seen")
	}
}
