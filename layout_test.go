package blemish_test

import (
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// layers lists the packages from the top down: one may import those of later rows alone.
var layers = [][]string{
	{"cmd/blemish"},
	{"report"},
	{"", "detect/reconstruct/reconstructtest"},
	{"detect/patchcore", "detect/padim", "detect/autoencoder", "detect/vae", "detect/features", "detect/classifier", "detect/detecttest"},
	{"backbone", "detect/embed", "detect/reconstruct"},
	{"backbone/weights", "detect"},
	{"outlier", "explain"},
	{"train"},
	{"nn"},
	{"infer", "autograd", "table"},
	{"knn", "linalg", "calibrate", "dataset", "synth"},
	{"metric", "transform", "checkpoint"},
	{"imageio", "internal/kernel"},
	{"internal/parallel"},
	{"internal/cpu", "internal/race", "tensor", "fault"},
}

func TestImportsPointDownwards(t *testing.T) {
	const module = "github.com/blemish/blemish"
	out, err := exec.Command("go", "list", "-f", `{{.ImportPath}}: {{join .Imports " "}}`, "./...").Output()
	if err != nil {
		t.Fatal(err)
	}
	row := func(path string) int {
		name := strings.TrimPrefix(strings.TrimPrefix(path, module), "/")
		return slices.IndexFunc(layers, func(l []string) bool { return slices.Contains(l, name) })
	}
	for line := range strings.Lines(string(out)) {
		from, imports, _ := strings.Cut(strings.TrimSpace(line), ":")
		if strings.HasPrefix(from, module+"/backbone/weights/convert") {
			continue // a tool, run by hand
		}
		if row(from) < 0 {
			t.Errorf("%s has no place in the layout: give it one here and in docs/architecture.md", from)
		}
		for _, to := range strings.Fields(imports) {
			if strings.HasPrefix(to, module) && row(to) <= row(from) {
				t.Errorf("%s imports %s, which is not below it", from, to)
			}
		}
	}
}
