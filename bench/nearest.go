package main

import (
	"context"
	"encoding/binary"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"time"

	"github.com/blemish/blemish/backbone"
	"github.com/blemish/blemish/dataset"
	"github.com/blemish/blemish/detect/embed"
	"github.com/blemish/blemish/imageio"
	"github.com/blemish/blemish/knn"
	"github.com/blemish/blemish/tensor"
	"github.com/blemish/blemish/transform"
)

// compareCoreset compares greedy k-centre with anomalib's, on the patches of good pictures at 256²: ResNet-18 with random weights, layers 2 and 3,
// 1024 patches of 384 values a picture. Both begin with the same patch; anomalib's random projection is left out.
//
//	go run . coreset -python /tmp/peers/bin/python -data path/to/category
func compareCoreset(args []string) error {
	fl := flag.NewFlagSet("coreset", flag.ContinueOnError)
	python := fl.String("python", "python3", "interpreter with anomalib installed")
	data := fl.String("data", "", "MVTec AD category")
	pictures := fl.Int("pictures", 50, "good pictures whose patches are thinned")
	ratio := fl.Float64("ratio", 0.1, "share of the patches that is kept")
	threads := fl.Int("threads", 2, "threads of each side")
	if err := fl.Parse(args); err != nil {
		return err
	}
	points, dim, err := goodPatches(*data, *pictures, *threads)
	if err != nil {
		return err
	}
	tmp, err := os.MkdirTemp("", "bench")
	if err != nil {
		return err
	}
	defer os.RemoveAll(tmp)
	path := filepath.Join(tmp, "patches")
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	for _, c := range points.Chunks {
		if err := binary.Write(f, binary.LittleEndian, c); err != nil {
			return err
		}
	}
	if err := f.Close(); err != nil {
		return err
	}
	peer, err := startPeer(*python, "coreset.py")
	if err != nil {
		return err
	}
	defer peer.stop()
	var theirs struct {
		Seconds float64
		Chosen  []int
	}
	if err := peer.ask(map[string]any{"file": path, "width": points.Width, "dim": dim, "ratio": *ratio, "threads": *threads}, &theirs); err != nil {
		return err
	}
	start := time.Now()
	chosen, err := knn.KCenterGreedy(context.Background(), points, len(theirs.Chosen), theirs.Chosen[0], knn.CoresetOptions{Workers: *threads})
	if err != nil {
		return err
	}
	own := time.Since(start).Seconds()
	same := 0
	for same < len(chosen) && chosen[same] == theirs.Chosen[same] {
		same++
	}
	fmt.Printf("%d of %d patches x %d, %d threads: Blemish %.3g s, anomalib %.3g s, ratio %.3f; the first %d choices are the same\n",
		len(chosen), points.Len(), dim, *threads, own, theirs.Seconds, own/theirs.Seconds, same)
	return nil
}

// goodPatches are the patches of good pictures, as PatchCore learns them.
func goodPatches(dir string, pictures, threads int) (points knn.Points, dim int, err error) {
	set, err := dataset.Open(dir, dataset.Options{})
	if err != nil {
		return points, 0, err
	}
	spec, err := backbone.Lookup("resnet18")
	if err != nil {
		return points, 0, err
	}
	n, err := compiled(spec.Graph(), rand.New(rand.NewPCG(1, 0)), "layer2", "layer3")
	if err != nil {
		return points, 0, err
	}
	preprocess := transform.DefaultConfig()
	preprocess.Resize, preprocess.Size, preprocess.Height, preprocess.Width = transform.Exact, 0, 256, 256
	for _, item := range set.Train[:min(pictures, len(set.Train))] {
		picture, err := imageio.Open(item.Path, imageio.Limits{})
		if err != nil {
			return points, 0, err
		}
		x, _, err := preprocess.Apply(picture)
		if err != nil {
			return points, 0, err
		}
		maps, err := n.Run(context.Background(), x.Reshape(append([]int{1}, x.Shape...)...), threads)
		if err != nil {
			return points, 0, err
		}
		pooled := make([]*tensor.Tensor, len(maps))
		for i, m := range maps {
			pooled[i] = embed.Pool3x3(m.Item(0))
		}
		p := embed.Concat(pooled)
		dim, points.Width = p.Dim, p.Width
		points.Chunks = append(points.Chunks, p.Data)
	}
	return points, dim, nil
}
