// Package features judges a picture as one vector: a backbone's feature maps, pooled, scaled and reduced, and then any detector of package outlier.
package features

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"

	"github.com/blemish/blemish/fault"
	"github.com/blemish/blemish/outlier"
)

// Pooled are the parts of the vector that are not the outlier method's own affair.
type Pooled struct {
	Pool         []Pool  `json:"pool"`          // what is taken of each channel, one after the other
	Scaling      Scaling `json:"scaling"`       // of each number, over the training pictures
	KeepVariance float64 `json:"keep_variance"` // principal components that make up this share of the variance; 1 leaves the vector as it is
	MapCells     int     `json:"map_cells"`     // most cells of the map along a side; 0 makes no maps
}

// Pool is a number taken of a channel.
type Pool string

// Scaling is how the numbers of a vector are made comparable.
type Scaling string

const (
	Mean Pool = "mean" // global average pooling
	Max  Pool = "max"
	Std  Pool = "std" // standard deviation over the positions

	Standard Scaling = "standard" // mean 0, standard deviation 1
	Robust   Scaling = "robust"   // median 0, distance of the quartiles 1
	Raw      Scaling = "none"
)

// Config is a picture detector: how vectors are made, and the method that judges them. As JSON it is one flat object of both.
type Config struct {
	Pooled
	Outlier outlier.Config
	method  outlier.Method
}

// DefaultConfig pools averages, scales them, and keeps 95 % of their variance.
func DefaultConfig(m outlier.Method) Config {
	return Config{Pooled{Pool: []Pool{Mean}, Scaling: Standard, KeepVariance: 0.95, MapCells: 16}, m.Defaults(), m}
}

// Parse reads JSON over the defaults, refuses unknown fields and validates the result.
func Parse(m outlier.Method, raw json.RawMessage) (Config, error) {
	c := DefaultConfig(m)
	if len(raw) == 0 {
		return c, c.Validate()
	}
	rest, err := c.Pooled.read(raw)
	if err != nil {
		return Config{}, fmt.Errorf("method configuration: %w", err)
	}
	if c.Outlier, err = m.Parse(rest); err != nil {
		return Config{}, err
	}
	return c, c.Validate()
}

// read sets the fields that a JSON object has, and returns what is left of it.
func (p *Pooled) read(raw json.RawMessage) (rest json.RawMessage, err error) {
	var object map[string]json.RawMessage
	if err := json.Unmarshal(raw, &object); err != nil {
		return nil, err
	}
	known, err := fields(*p)
	if err != nil {
		return nil, err
	}
	own := map[string]json.RawMessage{}
	for name, value := range object {
		if _, ok := known[name]; ok {
			own[name] = value
			delete(object, name)
		}
	}
	mine, err := json.Marshal(own)
	if err != nil {
		return nil, err
	}
	if err := json.NewDecoder(bytes.NewReader(mine)).Decode(p); err != nil {
		return nil, err
	}
	return json.Marshal(object)
}

func fields(v any) (map[string]json.RawMessage, error) {
	raw, err := json.Marshal(v)
	if err != nil {
		return nil, err
	}
	object := map[string]json.RawMessage{}
	return object, json.Unmarshal(raw, &object)
}

// join is one object of two, which must have no name in common.
func join(p Pooled, config any) (json.RawMessage, error) {
	object, err := fields(config)
	if err != nil {
		return nil, err
	}
	own, err := fields(p)
	if err != nil {
		return nil, err
	}
	for name, value := range own {
		if _, twice := object[name]; twice {
			return nil, fmt.Errorf("option %q is both the vectors' and the method's", name)
		}
		object[name] = value
	}
	return json.Marshal(object)
}

// MarshalJSON makes one object of both parts.
func (c Config) MarshalJSON() ([]byte, error) { return join(c.Pooled, c.Outlier) }

// maxCells bounds the work of a map.
const maxCells = 64

// Validate names the first field that is out of range.
func (c Config) Validate() error {
	if err := c.Pooled.validate(); err != nil {
		return err
	}
	return c.Outlier.Validate()
}

func (p Pooled) validate() error {
	seen := map[Pool]bool{}
	for _, pool := range p.Pool {
		if !slices.Contains([]Pool{Mean, Max, Std}, pool) || seen[pool] {
			return &fault.ConfigError{Field: "pool", Value: p.Pool, Reason: "want a list of mean, max and std, each at most once"}
		}
		seen[pool] = true
	}
	switch {
	case len(p.Pool) == 0:
		return &fault.ConfigError{Field: "pool", Value: p.Pool, Reason: `want at least one of mean, max and std, such as ["mean"]`}
	case !slices.Contains([]Scaling{Standard, Robust, Raw}, p.Scaling):
		return &fault.ConfigError{Field: "scaling", Value: string(p.Scaling), Reason: "known are standard, robust and none"}
	case !(p.KeepVariance > 0 && p.KeepVariance <= 1):
		return &fault.ConfigError{Field: "keep_variance", Value: p.KeepVariance, Reason: "want more than 0 and at most 1, such as 0.95"}
	case p.MapCells < 0 || p.MapCells > maxCells:
		return &fault.ConfigError{Field: "map_cells", Value: p.MapCells, Reason: fmt.Sprintf("want 0 (no maps) to %d", maxCells)}
	}
	return nil
}
