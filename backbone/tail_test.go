package backbone

import (
	"context"
	"strings"
	"testing"

	"github.com/blemish/blemish/infer"
	"github.com/blemish/blemish/tensor"
)

// A network cut in two computes what it computes whole.
func TestTailGoesOnFromATap(t *testing.T) {
	for _, c := range []struct{ network, from, to string }{
		{"resnet18", "layer2", "layer3"}, {"mobilenet-v2", "features.3", "features.6"}, {"vgg16", "features.4", "features.9"},
		{"efficientnet-lite0", "_blocks.2", "_blocks.6"},
	} {
		spec, err := Lookup(c.network)
		if err != nil {
			t.Fatal(err)
		}
		g := spec.Graph()
		params, err := g.Params([]string{c.to})
		if err != nil {
			t.Fatal(err)
		}
		weights := map[string]*tensor.Tensor{}
		for i, p := range params {
			w := tensor.New(p.Shape...)
			for k := range w.Data {
				w.Data[k] = float32((k*31+i*17)%23-9) / 80
				if strings.HasSuffix(p.Name, "running_var") {
					w.Data[k] = 1
				}
			}
			weights[p.Name] = w
		}
		lookup := func(name string) (*tensor.Tensor, error) { return weights[name], nil }
		whole, err := infer.Compile(g, lookup, []string{c.from, c.to})
		if err != nil {
			t.Fatal(err)
		}
		x := tensor.New(1, 3, 40, 32)
		for i := range x.Data {
			x.Data[i] = float32(i%29) / 29
		}
		want, err := whole.Run(context.Background(), x, 1)
		if err != nil {
			t.Fatal(err)
		}
		tail, err := Tail(g, c.from, c.to)
		if err != nil {
			t.Fatal(err)
		}
		rest, err := infer.Compile(tail, lookup, []string{c.to})
		if err != nil {
			t.Fatal(err)
		}
		got, err := rest.Run(context.Background(), want[0], 1)
		if err != nil {
			t.Fatal(err)
		}
		for i, v := range want[1].Data {
			if got[0].Data[i] != v {
				t.Fatalf("%s: value %d after %s is %v, in the whole network %v", c.network, i, c.from, got[0].Data[i], v)
			}
		}
	}
}

func TestTailRefusesWhatIsNoCut(t *testing.T) {
	g, x := infer.NewGraph(3)
	a := g.Conv(x, infer.Conv{Name: "a", Out: 4, Kernel: 1})
	b := g.Conv(a, infer.Conv{Name: "b", Out: 4, Kernel: 1})
	g.Tap("b", b)
	sum := g.Add(b, a)
	g.Tap("sum", sum)
	for _, c := range [][3]string{{"b", "sum", "everything passes through"}, {"sum", "b", "not come after"}, {"c", "sum", "c"}, {"b", "c", "c"}} {
		if _, err := Tail(g, c[0], c[1]); err == nil || !strings.Contains(err.Error(), c[2]) {
			t.Errorf("from %s to %s: %v", c[0], c[1], err)
		}
	}
}
