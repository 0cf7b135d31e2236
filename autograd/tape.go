// Package autograd computes gradients. Operators run at once and write themselves down on a tape; Backward reads the tape from its end.
// There is no graph compiler and no lazy evaluation: the tape is what happened.
//
//	t := autograd.NewTape()
//	for range steps {
//		loss := t.MSE(t.Linear(t.Input(x), w, b), t.Input(y))
//		if err := t.Backward(loss); err != nil {
//			return err
//		}
//		optimizer.Step()
//		t.Reset()
//	}
//
// Values are float32, row-major, with PyTorch's shapes and semantics: pictures are (N,C,H,W). An operator given shapes that cannot be combined
// panics with a *fault.ShapeError that names the layer; Catch turns it into an error. A tape belongs to one goroutine. Sums have a fixed
// order: the number of workers never changes a bit.
package autograd

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"

	"github.com/blemish/blemish/fault"
	"github.com/blemish/blemish/internal/kernel"
	"github.com/blemish/blemish/tensor"
)

// Var is a value that a gradient may be computed for: a parameter, an input, or an operator's result.
type Var struct {
	Name  string         // of a parameter: its state-dict name
	Value *tensor.Tensor // nil once the tape has reused its memory
	Grad  *tensor.Tensor // of the loss with respect to Value; nil before Backward, and after it for results that were not kept

	requiresGrad bool
	leaf         bool           // a parameter: it outlives the tape's memory
	base         *Var           // whose memory Value lies in, if not its own
	kept         bool           // Backward leaves Value and Grad alone
	held         bool           // a recorded operator, or a view, still needs Value
	store        *tensor.Tensor // a parameter's gradient memory
	value, grad  tensor.Tensor  // what Value and Grad point to, for results
	dims         [maxDims]int
}

const maxDims = 6

// NewParam returns a parameter: a leaf that gradients are computed for. It keeps value, and optimisers change it in place.
func NewParam(name string, value *tensor.Tensor) *Var {
	return &Var{Name: name, Value: value, requiresGrad: true, leaf: true}
}

// Shape is the value's shape, known even when its memory has been used again.
func (v *Var) Shape() []int {
	if v.Value == nil {
		return v.value.Shape
	}
	return v.Value.Shape
}

// RequiresGrad reports whether gradients are computed for v.
func (v *Var) RequiresGrad() bool { return v.requiresGrad }

// SetRequiresGrad freezes a parameter, or thaws it. What is computed from frozen values alone is not recorded.
func (v *Var) SetRequiresGrad(on bool) {
	v.requiresGrad = on
	if !on {
		v.Grad = nil
	}
}

// ZeroGrad forgets a parameter's gradient; its memory is used again.
func (v *Var) ZeroGrad() { v.Grad = nil }

// node is one operator's entry.
type node struct {
	op    string
	layer string
	out   *Var
	in    [4]*Var
	many  []*Var // the inputs of operators that take any number
	back  func(t *Tape, n *node)
	saved [3][]float32 // what backward needs besides inputs and output; the tape's memory
	index []int32      // likewise
	ints  [8]int
	nums  [4]float32

	pointwise *pointwise
	sliding   sliding
	boxes     []box
	rows      []blend
	columns   []blend
}

// Tape records operators.
type Tape struct {
	Workers int        // goroutines; 0 means one per core
	Rand    *rand.Rand // of dropout and noise

	nodes  []node
	vars   []*Var // every Var this tape made; the first used ones are in use
	used   int
	memory pool
	paused bool
	layer  string
}

// NewTape returns an empty tape with random numbers of seed 1.
func NewTape() *Tape { return &Tape{Rand: rand.New(rand.NewPCG(1, 0))} }

// Layer names what is computed from here on, for errors.
func (t *Tape) Layer(name string) { t.layer = name }

// Input wraps a tensor that no gradient is wanted for. It is valid until Reset.
func (t *Tape) Input(x *tensor.Tensor) *Var {
	v := t.newVar()
	v.Value, v.base = x, v
	return v
}

// NoGrad runs f without recording.
func (t *Tape) NoGrad(f func()) {
	old := t.paused
	t.paused = true
	defer func() { t.paused = old }()
	f()
}

// Keep has Backward leave a result's Value and Grad alone; otherwise their memory is used again as soon as nothing needs them.
func (t *Tape) Keep(v *Var) *Var {
	for u := v; ; u = u.base {
		u.kept = true
		if u.base == nil || u.base == u {
			return v
		}
	}
}

// Discard gives the memory of a result that was not recorded back at once: what a frozen layer computed is not needed once the next has
// read it. It does nothing to results that are recorded, kept or inputs, that a recorded operator has read, or that have a view.
func (t *Tape) Discard(v *Var) {
	if v.requiresGrad || v.leaf || v.base != nil || v.kept || v.held || v.Value == nil {
		return
	}
	t.memory.give(v.Value.Data)
	v.Value = nil
}

// Recorded is the number of operators that Backward would go through.
func (t *Tape) Recorded() int { return len(t.nodes) }

// Memory is how many values the tape has room for: what the results, gradients and scratch of the largest step so far needed at once.
func (t *Tape) Memory() int { return t.memory.values }

// Reset forgets what was recorded. The memory of every result is used again; parameters and their gradients stay.
func (t *Tape) Reset() {
	for i := range t.nodes {
		t.release(&t.nodes[i])
	}
	clear(t.nodes)
	t.nodes = t.nodes[:0]
	for _, v := range t.vars[:t.used] {
		if v.base == nil && v.Value != nil {
			t.memory.give(v.Value.Data)
		}
		if v.Grad != nil {
			t.memory.give(v.Grad.Data)
		}
		*v = Var{}
	}
	t.used = 0
	t.layer = ""
}

// release gives back what a node saved.
func (t *Tape) release(n *node) {
	for i, b := range n.saved {
		if b != nil {
			t.memory.give(b)
			n.saved[i] = nil
		}
	}
	if n.index != nil {
		t.memory.giveIndex(n.index)
		n.index = nil
	}
}

func (t *Tape) newVar() *Var {
	if t.used == len(t.vars) {
		t.vars = append(t.vars, new(Var))
	}
	v := t.vars[t.used]
	t.used++
	return v
}

// result returns a Var of the given shape; its values are not yet set.
func (t *Tape) result(shape ...int) *Var {
	v := t.newVar()
	v.shape(shape, t.memory.take(volume(shape)))
	return v
}

// view returns a Var of the given shape over x's memory.
func (t *Tape) view(x *Var, shape ...int) *Var {
	v := t.newVar()
	v.shape(shape, x.Value.Data)
	v.base, x.held = x, true
	return v
}

func (v *Var) shape(shape []int, data []float32) {
	n := copy(v.dims[:], shape)
	if n < len(shape) {
		panic(fmt.Sprintf("autograd: %d dimensions, at most %d are possible", len(shape), maxDims))
	}
	v.value = tensor.Tensor{Shape: v.dims[:n], Data: data}
	v.Value = &v.value
}

func volume(shape []int) int {
	n := 1
	for _, d := range shape {
		n *= d
	}
	return n
}

// record writes an operator down if a gradient may be wanted, and returns its entry to save in, else nil.
func (t *Tape) record(op string, back func(*Tape, *node), out *Var, in ...*Var) *node {
	if t.paused {
		return nil
	}
	needed := false
	for _, v := range in {
		needed = needed || v != nil && v.requiresGrad
	}
	if !needed {
		return nil
	}
	out.requiresGrad = true
	t.nodes = append(t.nodes, node{op: op, layer: t.layer, out: out, back: back})
	n := &t.nodes[len(t.nodes)-1]
	copy(n.in[:], in)
	for _, v := range in {
		if v != nil {
			v.held = true
		}
	}
	return n
}

// gradient returns the memory of v's gradient, and whether to add to it: the first to contribute replaces.
func (t *Tape) gradient(v *Var) (g []float32, accumulate bool) {
	if v.Grad != nil {
		return v.Grad.Data, true
	}
	if v.leaf {
		if v.store == nil || len(v.store.Data) != len(v.Value.Data) {
			v.store = tensor.New(v.Value.Shape...)
		}
		v.Grad = v.store
		return v.Grad.Data, false
	}
	v.grad = tensor.Tensor{Shape: v.value.Shape, Data: t.memory.take(len(v.value.Data))}
	v.Grad = &v.grad
	return v.grad.Data, false
}

// Backward computes the gradient of a loss of one value with respect to every parameter it was computed from, adding to gradients that
// are already there. It refuses a loss, and finds gradients, that are not finite, naming the layer where the first such value arose.
func (t *Tape) Backward(loss *Var) error {
	if len(loss.Value.Data) != 1 {
		return &fault.ShapeError{What: "loss", Want: "one value", Got: slices.Clone(loss.Shape())}
	}
	if !finite(loss.Value.Data) {
		return t.blame()
	}
	if !loss.requiresGrad {
		return nil
	}
	g, _ := t.gradient(loss)
	g[0] = 1
	for i := len(t.nodes) - 1; i >= 0; i-- {
		n := &t.nodes[i]
		if n.out.Grad == nil {
			continue // the loss does not depend on it
		}
		n.back(t, n)
		for _, v := range n.in {
			if v != nil && v.leaf && v.Grad != nil && !finite(v.Grad.Data) {
				return &NonFiniteError{What: "gradient of " + v.Name, Layer: n.where()}
			}
		}
		t.release(n)
		if v := n.out; !v.kept && v != loss {
			t.memory.give(v.Grad.Data)
			v.Grad = nil
			if v.base == nil && v.Value != nil {
				t.memory.give(v.Value.Data)
			}
			v.Value = nil
		}
	}
	return nil
}

// blame finds the first operator that read or made a value that is not finite.
func (t *Tape) blame() error {
	for i := range t.nodes {
		n := &t.nodes[i]
		for _, v := range append(n.in[:], n.many...) {
			if v != nil && v.Value != nil && !finite(v.Value.Data) {
				what := "input"
				if v.leaf {
					what = "parameter " + v.Name
				}
				return &NonFiniteError{What: what, Layer: n.where()}
			}
		}
		if n.out.Value != nil && !finite(n.out.Value.Data) {
			return &NonFiniteError{What: "output", Layer: n.where()}
		}
	}
	return &NonFiniteError{What: "value", Layer: "loss"}
}

func (n *node) where() string {
	if n.layer == "" {
		return n.op
	}
	return n.layer + " (" + n.op + ")"
}

// finite reports whether all values are. Their sum is not, as soon as one of them is not.
func finite(x []float32) bool {
	sum, _ := kernel.Moments(x, x, 0, 0)
	return sum-sum == 0
}

// NonFiniteError says where a value that is NaN or infinite arose.
type NonFiniteError struct {
	Layer string
	What  string
}

func (e *NonFiniteError) Error() string {
	return fmt.Sprintf("%s: the %s is not finite; a smaller learning rate, gradient clipping or cleaner inputs may help", e.Layer, e.What)
}

// Catch turns the panic of an operator that was given shapes that cannot be combined into an error: defer autograd.Catch(&err).
func Catch(err *error) {
	switch p := recover().(type) {
	case nil:
	case *fault.ShapeError:
		*err = p
	default:
		panic(p)
	}
}

// misfit panics with both shapes.
func (t *Tape) misfit(op, want string, got []int) {
	what := op
	if t.layer != "" {
		what = t.layer + " (" + op + ")"
	}
	panic(&fault.ShapeError{What: what, Want: want, Got: slices.Clone(got)})
}

var inf = float32(math.Inf(1))
