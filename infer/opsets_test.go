package infer

import (
	"archive/tar"
	"compress/gzip"
	"errors"
	"io"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/blemish/blemish/checkpoint"
)

// packedNetworks are the files that testdata/gen/opsets.py packs.
func packedNetworks(t *testing.T) map[string][]byte {
	t.Helper()
	f, err := os.Open("testdata/opsets.tar.gz")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	files := map[string][]byte{}
	for archive := tar.NewReader(z); ; {
		h, err := archive.Next()
		if errors.Is(err, io.EOF) {
			return files
		}
		if err != nil {
			t.Fatal(err)
		}
		if files[h.Name], err = io.ReadAll(archive); err != nil {
			t.Fatal(err)
		}
	}
}

// Every opset that is read, as both of torch's exporters write it, and a network laid out as tf2onnx does, against ONNX Runtime: 1e-5 of the largest
// value, a few roundings of float32 each layer.
func TestOpsetsComputeWhatONNXRuntimeDoes(t *testing.T) {
	var cases []struct {
		Name, How string
		Opset     int
		Input     []int
		Taps      map[string]sampled
	}
	readGoldens(t, "opsets.json", &cases)
	files := packedNetworks(t)
	seen := map[string]int{}
	for _, c := range cases {
		t.Run(c.Name, func(t *testing.T) {
			g, err := checkpoint.ReadONNX(files[c.Name+".onnx"], nil)
			if err != nil {
				t.Fatal(err)
			}
			if g.Opset != c.Opset {
				t.Errorf("opset %d, want %d", g.Opset, c.Opset)
			}
			taps := slices.Sorted(maps.Keys(c.Taps))
			network, err := Import(g, taps)
			if err != nil {
				t.Fatal(err)
			}
			plain, err := importPlain(g, taps)
			if err != nil {
				t.Fatal(err)
			}
			agrees(t, "", network, picture(c.Input...), 1, taps, c.Taps, 1e-5)
			agrees(t, ", operator by operator", plain, picture(c.Input...), 1, taps, c.Taps, 1e-5)
			// kernels compute all of torch's in whatever operators a layer is written, but the choice of the class token and its product
			most := 0
			if strings.HasPrefix(c.Name, "vit") {
				most = 2
			}
			if left := network.steps; strings.HasPrefix(c.How, "torch, ") && len(left) > most {
				t.Errorf("%d steps are left to operators, the first of them %s %s", len(left), left[0].node.Op, label(left[0].node))
			}
		})
		kind, _, _ := strings.Cut(c.Name, "-")
		seen[kind] |= 1 << c.Opset
	}
	for _, kind := range []string{"resnet", "mobilenetv3", "vit"} {
		if want := 1<<22 - 1<<11; seen[kind] != want {
			t.Errorf("%s: opsets %b, want %b", kind, seen[kind], want)
		}
	}
}
