package outlier

import (
	"encoding/json"
	"fmt"
	"math"
	"slices"

	"github.com/blemish/blemish/fault"
	"github.com/blemish/blemish/knn"
	"github.com/blemish/blemish/tensor"
)

// nearRows clips n_neighbors to the other rows there are, as scikit-learn does (with a warning): of two rows, each has one neighbour.
func nearRows(neighbours int, x Matrix) int { return min(neighbours, x.Rows-1) }

// farthestValue is the largest magnitude of which squares can be added up in float64.
const farthestValue = 1e150

// searchable prepares rows for the search.
func searchable(x Matrix) (*knn.Rows, error) {
	if err := measurable(x); err != nil {
		return nil, err
	}
	return knn.NewRows(x.Data, x.Cols), nil
}

// measurable refuses values whose squares are beyond float64.
func measurable(x Matrix) error {
	for i, v := range x.Data {
		if math.Abs(v) > farthestValue {
			return fmt.Errorf("row %d, column %d (both from 0) is %v: distances from it are beyond double precision", i/x.Cols, i%x.Cols, v)
		}
	}
	return nil
}

// checkNeighbours is the part of Validate that LOF and k-NN share.
func checkNeighbours(neighbours int) error {
	if neighbours < 1 {
		return &fault.ConfigError{Field: "n_neighbors", Value: neighbours, Reason: "want 1 or more"}
	}
	return nil
}

// saved reads a State and remembers the first thing that is wrong with it.
type saved struct {
	method string
	state  State
	err    error
}

// openSaved reads the configuration over its defaults; the state must have exactly so many arrays.
func openSaved[C Config](method string, s State, c C, arrays int) (C, *saved, error) {
	r := &saved{method: method, state: s}
	if err := json.Unmarshal(s.Config, &c); err != nil {
		return c, nil, r.damaged("configuration: %v", err)
	}
	if err := c.Validate(); err != nil {
		return c, nil, r.damaged("configuration: %v", err)
	}
	if len(s.Arrays) != arrays {
		return c, nil, r.damaged("%d arrays, want %d", len(s.Arrays), arrays)
	}
	return c, r, nil
}

func (r *saved) damaged(format string, args ...any) error {
	return &fault.FormatError{Format: r.method, Reason: fmt.Sprintf(format, args...)}
}

// array returns a copy of finite values of the given shape, in which -1 stands for any length of at least 1.
func (r *saved) array(name string, shape ...int) Array {
	if r.err != nil {
		return Array{}
	}
	a, ok := r.state.Arrays[name]
	fits := ok && len(a.Shape) == len(shape)
	room := len(a.Data) // lengths are checked one by one: their product may be beyond what an int holds
	for i := 0; fits && i < len(shape); i++ {
		fits = a.Shape[i] >= 0 && (a.Shape[i] == shape[i] || shape[i] < 0 && a.Shape[i] > 0) && a.Shape[i] <= max(room, 1)
	}
	if !fits || len(shape) > 2 || tensor.Volume(a.Shape) != len(a.Data) {
		r.err = r.damaged("%s has shape %v and %d values, want %v", name, a.Shape, len(a.Data), shape)
		return Array{}
	}
	for _, v := range a.Data {
		if v-v != 0 {
			r.err = r.damaged("%s is not finite", name)
			return Array{}
		}
	}
	return Array{slices.Clone(a.Shape), slices.Clone(a.Data)}
}

// number reads a single value.
func (r *saved) number(name string) float64 {
	a := r.array(name, 1)
	if r.err != nil {
		return 0
	}
	return a.Data[0]
}

// matrix reads (rows, cols), -1 for any.
func (r *saved) matrix(name string, rows, cols int) Matrix {
	a := r.array(name, rows, cols)
	if r.err != nil {
		return Matrix{}
	}
	return Matrix{a.Shape[0], a.Shape[1], a.Data}
}

// saveAs is the inverse of openSaved.
func saveAs(c Config, arrays map[string]Array) (State, error) {
	raw, err := json.Marshal(c)
	return State{Config: raw, Arrays: arrays}, err
}

func arrayOf(m Matrix) Array             { return Array{[]int{m.Rows, m.Cols}, slices.Clone(m.Data)} }
func vectorOf(v []float64) Array         { return Array{[]int{len(v)}, slices.Clone(v)} }
func numberOf(v float64) Array           { return Array{[]int{1}, []float64{v}} }
func (m Matrix) clone() Matrix           { return Matrix{m.Rows, m.Cols, slices.Clone(m.Data)} }
func checkContamination(c Setting) error { return c.check("contamination", "auto") }
