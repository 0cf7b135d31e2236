// Package weights keeps the pretrained weights of backbones: one set is embedded, the others are pulled from their
// publishers or imported from a file, once, into a folder of the user's.
package weights

import (
	"fmt"
	"strings"

	"github.com/blemish/blemish/fault"
)

// Entry is a set of pretrained weights that Blemish knows of.
type Entry struct {
	Backbone string
	URL      string // the publisher's; "" where embedded
	SHA256   string // of the publisher's file, or its first digits where only those are published
	Licence  string
}

// Embedded reports whether the weights are part of the program.
func (e Entry) Embedded() bool { return e.URL == "" }

const (
	torchvision = "https://download.pytorch.org/models/"
	bsd         = "BSD-3-Clause (torchvision); trained on ImageNet"
)

// registry lists torchvision's IMAGENET1K_V1 files. Their names end in the first digits of their SHA-256, as torch.hub checks them.
var registry = []Entry{
	{Backbone: "efficientnet-lite0", Licence: "Apache-2.0"},
	torchvisionEntry("resnet18", "resnet18-f37072fd.pth"),
	torchvisionEntry("resnet34", "resnet34-b627a593.pth"),
	torchvisionEntry("resnet50", "resnet50-0676ba61.pth"),
	torchvisionEntry("wide-resnet50-2", "wide_resnet50_2-95faca4d.pth"),
	torchvisionEntry("vgg16", "vgg16-397923af.pth"),
	torchvisionEntry("mobilenet-v2", "mobilenet_v2-b0353104.pth"),
}

func torchvisionEntry(backbone, file string) Entry {
	digest := file[strings.LastIndexByte(file, '-')+1 : len(file)-len(".pth")]
	return Entry{Backbone: backbone, URL: torchvision + file, SHA256: digest, Licence: bsd}
}

// Registry lists all known weights.
func Registry() []Entry { return append([]Entry(nil), registry...) }

func lookup(backbone string) (Entry, error) {
	var known []string
	for _, e := range registry {
		if e.Backbone == backbone {
			return e, nil
		}
		known = append(known, e.Backbone)
	}
	return Entry{}, &fault.ConfigError{Field: "backbone", Value: backbone, Reason: fmt.Sprintf("known are %s", strings.Join(known, ", "))}
}
