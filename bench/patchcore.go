package main

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"text/tabwriter"
)

// job is what both sides are given.
type job struct {
	Dir      string     `json:"dir"`
	Train    int        `json:"train"` // good pictures to learn from
	Test     int        `json:"test"`  // pictures to judge; 0 means all
	Size     int        `json:"size"`
	Backbone string     `json:"backbone"` // timm's name
	Weights  *string    `json:"weights"`
	Save     string     `json:"save,omitempty"`
	Layers   []string   `json:"layers"` // timm's names
	Mean     [3]float32 `json:"mean"`
	Std      [3]float32 `json:"std"`
	Coreset  float64    `json:"coreset"`
	Threads  int        `json:"threads"`
	Seed     int        `json:"seed"`
	Pixels   bool       `json:"pixels"` // measure pixel figures too
	Loop     bool       `json:"loop"`   // judge as users do: anomalib by its Engine, Blemish by Evaluate, both with metrics

	Own string `json:"own"` // Blemish's name of the backbone
	Tap []string
}

// figures are what each side measures of itself.
type figures struct {
	Fit        float64 `json:"fit_s"`
	MsPerImage float64 `json:"ms_per_image"`
	PeakMiB    float64 `json:"peak_mib"`
	Patches    int     `json:"patches"`
	Coreset    int     `json:"coreset"`
	ImageAUROC float64 `json:"image_auroc"`
	PixelAUROC float64 `json:"pixel_auroc"`
	AUPRO      float64 `json:"aupro"`
}

// comparePatchCore compares PatchCore with anomalib's on the same pictures, backbone weights, layers and coreset size, in turn. Each side is a
// process of its own for every run.
func comparePatchCore(args []string) error {
	fl := flag.NewFlagSet("patchcore", flag.ContinueOnError)
	python := fl.String("python", "python3", "interpreter with anomalib installed")
	data := fl.String("data", "", "MVTec AD category")
	weights := fl.String("weights", "", "efficientnet-lite0-57934424.pth; without it only random ResNet-18 weights are compared")
	rounds := fl.Int("rounds", 3, "runs of each side, in turn")
	accuracy := fl.Int("accuracy", 0, "also compare accuracy with this many good pictures, once (needs -weights)")
	if err := fl.Parse(args); err != nil {
		return err
	}
	return compare(*python, *data, *weights, *rounds, *accuracy)
}

func compare(python, data, weights string, rounds, accuracy int) error {
	tmp, err := os.MkdirTemp("", "bench")
	if err != nil {
		return err
	}
	defer os.RemoveAll(tmp)
	imagenet := job{Mean: [3]float32{0.485, 0.456, 0.406}, Std: [3]float32{0.229, 0.224, 0.225}}
	speed := imagenet
	speed.Dir, speed.Train, speed.Test, speed.Size, speed.Coreset, speed.Threads, speed.Seed = data, 50, 50, 256, 0.1, 2, 1
	speed.Backbone, speed.Layers, speed.Own, speed.Tap = "resnet18", []string{"layer2", "layer3"}, "resnet18", []string{"layer2", "layer3"}
	speed.Save = filepath.Join(tmp, "random.safetensors")
	jobs := map[string]job{"ResNet-18, 50 pictures at 256², coreset 10 %": speed}
	loop := speed
	loop.Loop = true
	jobs["ResNet-18, the same, anomalib's own Engine against Evaluate"] = loop
	if weights != "" {
		lite := speed
		lite.Weights, lite.Save = &weights, ""
		lite.Backbone, lite.Layers, lite.Own, lite.Tap = "tf_efficientnet_lite0", []string{"blocks.2", "blocks.4"}, "efficientnet-lite0", []string{"_blocks.4", "_blocks.10"}
		lite.Mean, lite.Std = [3]float32{127. / 255, 127. / 255, 127. / 255}, [3]float32{128. / 255, 128. / 255, 128. / 255}
		jobs["EfficientNet-Lite0, 50 pictures at 256², coreset 10 %"] = lite
		if accuracy > 0 {
			lite.Train, lite.Test, lite.Coreset, lite.Pixels = accuracy, 0, 0.01, true
			jobs[fmt.Sprintf("EfficientNet-Lite0, %d pictures, coreset 1 %%, all test pictures", accuracy)] = lite
		}
	}
	var names []string
	for name := range jobs {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		n := rounds
		if jobs[name].Pixels {
			n = 1
		}
		if err := duel(name, python, jobs[name], n); err != nil {
			return err
		}
	}
	return nil
}

func duel(name, python string, j job, rounds int) error {
	var own, peer []figures
	raw, err := json.Marshal(j)
	if err != nil {
		return err
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	for range rounds {
		script := "anomalib_patchcore.py"
		if j.Loop {
			script = "anomalib_loop.py"
		}
		p, err := side(python, script, string(raw)) // first: it draws the random weights
		if err != nil {
			return err
		}
		b, err := side(self, "patchcore-side", string(raw))
		if err != nil {
			return err
		}
		own, peer = append(own, b), append(peer, p)
	}
	fmt.Printf("\n%s (%d patches, %d kept; %d rounds)\n", name, own[0].Patches, own[0].Coreset, rounds)
	w := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "\tBlemish\tanomalib\tratio")
	row := func(what string, f func(figures) float64) {
		a, b := median(own, f), median(peer, f)
		fmt.Fprintf(w, "%s\t%.4g\t%.4g\t%.3f\n", what, a, b, a/b)
	}
	row("fit, s", func(f figures) float64 { return f.Fit })
	row("judge one picture, ms", func(f figures) float64 { return f.MsPerImage })
	row("peak memory, MiB", func(f figures) float64 { return f.PeakMiB })
	row("image AUROC", func(f figures) float64 { return f.ImageAUROC })
	if j.Pixels {
		row("pixel AUROC", func(f figures) float64 { return f.PixelAUROC })
		row("AUPRO", func(f figures) float64 { return f.AUPRO })
	}
	return w.Flush()
}

func median(all []figures, f func(figures) float64) float64 {
	var v []float64
	for _, x := range all {
		v = append(v, f(x))
	}
	slices.Sort(v)
	return v[len(v)/2]
}

// side runs one process and reads the JSON on the last line it prints.
func side(args ...string) (figures, error) {
	cmd := exec.Command(args[0], args[1:]...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return figures{}, fmt.Errorf("%s: %w\n%s", args[0], err, stderr.Bytes())
	}
	lines := bytes.Split(bytes.TrimSpace(out), []byte("\n"))
	var f figures
	return f, json.Unmarshal(lines[len(lines)-1], &f)
}
