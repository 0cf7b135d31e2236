package infer

import (
	"context"
	"math"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

func quantizedResNet(t testing.TB) string {
	t.Helper()
	dir := os.Getenv("BLEMISH_SHARED")
	if dir == "" {
		dir = "../../shared"
	}
	path := filepath.Join(dir, "weights", "resnet18_layer2_layer3_int8_qdq.onnx")
	if _, err := os.Stat(path); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatalf("%v: set BLEMISH_SHARED", err)
		}
		t.Skipf("%v: set BLEMISH_SHARED", err)
	}
	return path
}

// Every value of a quantised network lies on a level. Sums of products end next to a rounding boundary now and then, and float32 sums in
// another order than ONNX Runtime's then come out on the other side: one value in 200,000 after three convolutions, and what is computed from
// it differs as well. Hence all of the early values are to be equal, and 97 % of the last ones, none more than three levels away.
func TestQuantizedResNetComputesWhatONNXRuntimeDoes(t *testing.T) {
	path := quantizedResNet(t)
	var want map[string]struct {
		Level float64
		sampled
	}
	readGoldens(t, "quantized.json", &want)
	names := []string{"relu_8_DequantizeLinear_Output", "relu_22_DequantizeLinear_Output", "relu_43", "relu_64"}
	equal := []float64{1, 0.998, 0.99, 0.97}
	network, err := Import(readNetwork(t, path), names)
	if err != nil {
		t.Fatal(err)
	}
	out, err := network.Run(context.Background(), picture(1, 3, 224, 224), 2)
	if err != nil {
		t.Fatal(err)
	}
	for i, name := range names {
		w := want[name]
		if !slices.Equal(out[i].Shape, w.Shape) || len(w.Values) < 1500 {
			t.Fatalf("%s: shape %v, want %v, of %d values", name, out[i].Shape, w.Shape, len(w.Values))
		}
		same, furthest := 0, 0.0
		for k, v := range w.Values {
			levels := math.Abs(float64(out[i].Data[k*w.Step])-v) / w.Level
			furthest = max(furthest, levels)
			if levels < 1e-3 {
				same++
			}
		}
		if share := float64(same) / float64(len(w.Values)); share < equal[i] || furthest > 3.001 {
			t.Errorf("%s: %.4f of the values are equal, the furthest is %.3f levels away", name, share, furthest)
		}
	}
}
