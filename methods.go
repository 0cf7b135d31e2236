package blemish

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/blemish/blemish/detect"
	"github.com/blemish/blemish/detect/autoencoder"
	"github.com/blemish/blemish/detect/classifier"
	"github.com/blemish/blemish/detect/features"
	"github.com/blemish/blemish/detect/padim"
	"github.com/blemish/blemish/detect/patchcore"
	"github.com/blemish/blemish/detect/vae"
	"github.com/blemish/blemish/fault"
	"github.com/blemish/blemish/outlier"
)

// Method is a way to detect anomalies, known by name.
type Method struct {
	Name    string
	Summary string
	Pixels  bool // it looks at pixels: it has no backbone

	defaults func() detect.Trainer
	parse    func(config json.RawMessage) (detect.Trainer, error)
	open     func(state detect.State, extractor detect.Extractor) (detect.Detector, error)
}

var methods = append([]Method{
	{
		Name:     "patchcore",
		Summary:  "distance of each patch to its nearest neighbour in a coreset of good patches (Roth et al., CVPR 2022)",
		defaults: func() detect.Trainer { return patchcore.DefaultConfig() },
		parse:    parseConfig(patchcore.DefaultConfig),
		open:     patchcore.Open,
	},
	{
		Name:     ClassifierMethod,
		Summary:  "probability of a defect, by a network whose last layers learn from labelled pictures; see --preset",
		defaults: func() detect.Trainer { return classifier.DefaultConfig() },
		parse:    parseConfig(classifier.DefaultConfig),
		open:     classifier.Open,
	},
	{
		Name:     "padim",
		Summary:  "Mahalanobis distance to a Gaussian for every position (Defard et al., ICPR 2021)",
		defaults: func() detect.Trainer { return padim.DefaultConfig() },
		parse:    parseConfig(padim.DefaultConfig),
		open:     padim.Open,
	},
	{
		Name:     "autoencoder",
		Summary:  "what a network gives back wrong that learned to give good pictures back through a narrow code",
		Pixels:   true,
		defaults: func() detect.Trainer { return autoencoder.DefaultConfig() },
		parse:    parseConfig(autoencoder.DefaultConfig),
		open:     autoencoder.Open,
	},
	{
		Name:     "vae",
		Summary:  "likewise, through a code that is a normal distribution (Kingma and Welling, ICLR 2014)",
		Pixels:   true,
		defaults: func() detect.Trainer { return vae.DefaultConfig() },
		parse:    parseConfig(vae.DefaultConfig),
		open:     vae.Open,
	},
}, classic()...)

// classic makes a picture method of every detector of package outlier: they judge a backbone's pooled features. The one that learns tables by a
// network is left out, since pictures have their own.
func classic() []Method {
	var all []Method
	for _, m := range outlier.Methods() {
		if m.Name == "autoencoder" {
			continue
		}
		all = append(all, Method{
			Name:     m.Name,
			Summary:  "on pooled features: " + m.Summary,
			defaults: func() detect.Trainer { return features.DefaultConfig(m) },
			parse: func(config json.RawMessage) (detect.Trainer, error) {
				return features.Parse(m, config)
			},
			open: features.Open(m),
		})
	}
	return all
}

// Methods lists every method.
func Methods() []Method { return append([]Method(nil), methods...) }

func lookupMethod(name string) (Method, error) {
	var known []string
	for _, m := range methods {
		if m.Name == name {
			return m, nil
		}
		known = append(known, m.Name)
	}
	return Method{}, &fault.ConfigError{Field: "method", Value: name, Reason: "known are " + strings.Join(known, ", ")}
}

// Defaults returns the method's default configuration as JSON: its field names are the names of its options.
func (m Method) Defaults() (json.RawMessage, error) { return json.Marshal(m.defaults()) }

// parseConfig reads JSON over a method's defaults, refuses unknown fields and validates the result.
func parseConfig[C detect.Trainer](defaults func() C) func(json.RawMessage) (detect.Trainer, error) {
	return func(raw json.RawMessage) (detect.Trainer, error) {
		config := defaults()
		if len(raw) > 0 {
			d := json.NewDecoder(bytes.NewReader(raw))
			d.DisallowUnknownFields()
			if err := d.Decode(&config); err != nil {
				return nil, fmt.Errorf("method configuration: %w", err)
			}
		}
		return config, config.Validate()
	}
}
