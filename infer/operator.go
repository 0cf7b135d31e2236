package infer

import (
	"fmt"

	"github.com/blemish/blemish/checkpoint"
)

// call is one use of an operator.
type call struct {
	node    *checkpoint.ONNXNode
	opset   int
	in      []*array // nil for an absent optional input
	workers int
}

// operator computes a node's outputs. It ends with check or unsupported where it cannot; it never changes its inputs.
type operator func(c *call) []*array

// operators are those of ONNX that are known, by name.
var operators map[string]operator

func init() {
	operators = map[string]operator{
		// op_conv.go, op_convtranspose.go, op_pool.go, op_resize.go
		"Conv": opConv, "ConvTranspose": opConvTranspose, "MaxPool": opMaxPool, "AveragePool": opAveragePool,
		"GlobalAveragePool": opGlobalAveragePool, "GlobalMaxPool": opGlobalMaxPool, "Resize": opResize,
		// op_matmul.go, op_norm.go, op_softmax.go, op_reduce.go
		"MatMul": opMatMul, "Gemm": opGemm, "BatchNormalization": opBatchNorm, "LayerNormalization": opLayerNorm,
		"InstanceNormalization": opInstanceNorm, "Softmax": opSoftmax, "LogSoftmax": opLogSoftmax,
		"ReduceMean": opReduceMean, "ReduceSum": opReduceSum, "ReduceMax": opReduceMax, "ReduceMin": opReduceMin, "ReduceL2": opReduceL2,
		// op_activation.go
		"Relu": opRelu, "LeakyRelu": opLeakyRelu, "Elu": opElu, "Clip": opClip, "Sigmoid": opSigmoid, "HardSigmoid": opHardSigmoid,
		"HardSwish": unary(hardSwish), "Tanh": opTanh, "Erf": opErf, "Gelu": opGelu, "Softplus": unary(softplus), "Mish": unary(mish),
		"Exp": opExp, "Log": opLog, "Sqrt": opSqrt, "Reciprocal": unary(reciprocal), "Floor": opFloor, "Ceil": opCeil, "Round": opRound,
		"Neg": opNeg, "Abs": opAbs, "Sin": opSin, "Cos": opCos,
		// op_binary.go
		"Add": opAdd, "Sub": opSub, "Mul": opMul, "Div": opDiv, "Pow": opPow, "Mod": opMod, "Min": opMin, "Max": opMax, "Sum": opAdd, "PRelu": opPRelu,
		"Equal": opEqual, "Less": opLess, "Greater": opGreater, "LessOrEqual": opLessOrEqual, "GreaterOrEqual": opGreaterOrEqual,
		"And": opAnd, "Or": opOr, "Not": opNot, "Where": opWhere,
		// op_shape.go, op_slice.go, op_join.go, op_pad.go, op_constant.go
		"Reshape": opReshape, "Transpose": opTranspose, "Squeeze": opSqueeze, "Unsqueeze": opUnsqueeze, "Flatten": opFlatten, "Expand": opExpand,
		"Shape": opShape, "Size": opSize, "Identity": opIdentity, "Dropout": opIdentity, "Slice": opSlice, "Split": opSplit, "Gather": opGather,
		"Concat": opConcat, "Tile": opTile, "Pad": opPad, "Constant": opConstant, "ConstantOfShape": opConstantOfShape, "Range": opRange,
		"Cast": opCast, "CastLike": opCastLike, "DepthToSpace": opDepthToSpace, "SpaceToDepth": opSpaceToDepth,
		// op_quantize.go
		"QuantizeLinear": opQuantizeLinear, "DequantizeLinear": opDequantizeLinear,
	}
}

// run computes the node's outputs, or says what is wrong with it.
func (c *call) run(f operator) (out []*array, err error) {
	defer func() {
		if p := recover(); p != nil {
			b, ok := p.(broken)
			if !ok {
				panic(p)
			}
			err = fmt.Errorf("%s %s: %w", c.node.Op, label(c.node), b.err)
		}
	}()
	return f(c), nil
}

// label names a node in messages.
func label(n *checkpoint.ONNXNode) string {
	if n.Name != "" || len(n.Out) == 0 {
		return n.Name
	}
	return n.Out[0]
}

// input is a required input.
func (c *call) input(i int) *array {
	check(i < len(c.in) && c.in[i] != nil, "input %d is missing", i)
	return c.in[i]
}

// floats is a required input of floats.
func (c *call) floats(i int) *array {
	x := c.input(i)
	check(x.isFloat(), "input %d has type %s, want floats", i, x.dtype)
	return x
}

// optional is an input that may be absent.
func (c *call) optional(i int) *array {
	if i >= 0 && i < len(c.in) {
		return c.in[i]
	}
	return nil
}

func (c *call) has(name string) bool {
	_, ok := c.node.Attributes[name]
	return ok
}

func (c *call) integer(name string, fallback int64) int64 {
	if a, ok := c.node.Attributes[name]; ok {
		return a.Int
	}
	return fallback
}

func (c *call) float(name string, fallback float32) float32 {
	if a, ok := c.node.Attributes[name]; ok {
		return a.Float
	}
	return fallback
}

func (c *call) text(name, fallback string) string {
	if a, ok := c.node.Attributes[name]; ok {
		return a.Text
	}
	return fallback
}

// list is an attribute of n integers, or n times the fallback.
func (c *call) list(name string, n int, fallback int) []int {
	out := make([]int, n)
	a, ok := c.node.Attributes[name]
	check(!ok || len(a.Ints) == n, "%s has %d values, want %d", name, len(a.Ints), n)
	for i := range out {
		out[i] = fallback
		if ok {
			check(a.Ints[i] >= -1<<20 && a.Ints[i] <= 1<<20, "%s = %v", name, a.Ints)
			out[i] = int(a.Ints[i])
		}
	}
	return out
}

// axes are a list that moved from an attribute to input i; given is false where there is none.
func (c *call) axes(i, rank int) (axes []int, given bool) {
	var list []int64
	if a, ok := c.node.Attributes["axes"]; ok {
		list, given = a.Ints, true
	} else if x := c.optional(i); x != nil {
		check(!x.isFloat(), "axes are given as floats")
		list, given = x.integers, true
	}
	for _, a := range list {
		axes = append(axes, axis(a, rank))
	}
	return axes, given
}

func one(x *array) []*array { return []*array{x} }
