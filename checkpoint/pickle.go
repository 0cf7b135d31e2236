package checkpoint

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"
	"math"
	"math/big"
	"strconv"
	"strings"

	"github.com/blemish/blemish/fault"
)

// The unpickler knows numbers, text, containers, and the few callables that rebuild tensors; it refuses every other one by name.
// Opcodes are those of Python's pickletools, protocols 2 to 5 and the older ones they still use.
const opProto = 0x80

// Values of a pickle: nil, bool, int64, *big.Int, float64, string, []byte, tuple, *list, *dict, global, storageRef, tensorRef.
type (
	tuple  []any
	list   struct{ items []any }
	dict   struct{ keys, values []any } // in insertion order
	global struct{ module, name string }
	// storageRef is a persistent id: where a tensor's bytes will be.
	storageRef struct {
		key   string
		dtype DType
		numel int64
		first int64 // element of the root storage where a view begins
	}
	tensorRef struct {
		storage storageRef
		offset  int64 // elements
		shape   []int
		strides []int
	}
	mark struct{}
)

var storageTypes = map[string]DType{
	"FloatStorage": F32, "DoubleStorage": F64, "HalfStorage": F16, "BFloat16Storage": BF16, "LongStorage": I64,
	"IntStorage": I32, "ShortStorage": I16, "CharStorage": I8, "ByteStorage": U8, "BoolStorage": Bool,
}

// maxStream bounds the bytes of an archive's pickle, maxPickle those of one text, names and not tensors, and maxInteger those of a number, which
// takes their square in time to read.
const (
	maxStream  = 1 << 25
	maxPickle  = 1 << 20
	maxInteger = 1 << 8
)

type unpickler struct {
	r     *bufio.Reader
	stack []any
	memo  map[int]any
}

func pickleError(format string, args ...any) error {
	return &fault.FormatError{Format: "PyTorch", Reason: "its pickle " + fmt.Sprintf(format, args...)}
}

// unpickle reads one pickle from r. Damaged input ends in an error, whatever it makes the stack machine do.
func unpickle(r *bufio.Reader) (v any, err error) {
	u := &unpickler{r: r, memo: map[int]any{}}
	defer func() {
		if p := recover(); p != nil { // an underflow or a wrong type deep in an opcode
			if e, ok := p.(error); ok {
				err = e
				if _, runtime := p.(interface{ RuntimeError() }); runtime {
					err = pickleError("is damaged: %v", e)
				}
				return
			}
			err = pickleError("is damaged: %v", p)
		}
	}()
	for {
		op, err := u.r.ReadByte()
		if err != nil {
			return nil, pickleError("is truncated")
		}
		if op == '.' {
			return u.pop(), nil
		}
		u.step(op)
	}
}

func (u *unpickler) push(v any) { u.stack = append(u.stack, v) }

func (u *unpickler) pop() any {
	v := u.stack[len(u.stack)-1]
	u.stack = u.stack[:len(u.stack)-1]
	return v
}

func (u *unpickler) top() any { return u.stack[len(u.stack)-1] }

// popMark returns what lies above the topmost mark, and removes both.
func (u *unpickler) popMark() []any {
	for i := len(u.stack) - 1; ; i-- {
		if _, ok := u.stack[i].(mark); ok {
			items := append([]any(nil), u.stack[i+1:]...)
			u.stack = u.stack[:i]
			return items
		}
	}
}

func (u *unpickler) bytes(n uint64) []byte {
	if n > maxPickle {
		panic(pickleError("holds a text of %d bytes", n))
	}
	b := make([]byte, n)
	if _, err := io.ReadFull(u.r, b); err != nil {
		panic(pickleError("is truncated"))
	}
	return b
}

func (u *unpickler) uint(n int) uint64 {
	var b [8]byte
	copy(b[:], u.bytes(uint64(n)))
	return binary.LittleEndian.Uint64(b[:])
}

func (u *unpickler) line() string {
	s, err := u.r.ReadString('\n')
	if err != nil || len(s) > maxPickle {
		panic(pickleError("is truncated"))
	}
	return s[:len(s)-1]
}

func (u *unpickler) step(op byte) {
	switch op {
	case opProto:
		u.uint(1)
	case 0x95: // FRAME
		u.uint(8)
	case '(':
		u.push(mark{})
	case '0':
		u.pop()
	case '1':
		u.popMark()
	case '2':
		u.push(u.top())
	case 'N':
		u.push(nil)
	case 0x88:
		u.push(true)
	case 0x89:
		u.push(false)
	case 'I', 'L':
		u.push(parseInt(strings.TrimSuffix(u.line(), "L")))
	case 'J':
		u.push(int64(int32(u.uint(4))))
	case 'K':
		u.push(int64(u.uint(1)))
	case 'M':
		u.push(int64(u.uint(2)))
	case 0x8a:
		u.push(littleEndianInt(u.bytes(u.uint(1))))
	case 0x8b:
		u.push(littleEndianInt(u.bytes(u.uint(4))))
	case 'F':
		f, err := strconv.ParseFloat(u.line(), 64)
		if err != nil {
			panic(pickleError("holds a bad number"))
		}
		u.push(f)
	case 'G':
		u.push(math.Float64frombits(binary.BigEndian.Uint64(u.bytes(8))))
	case 'S':
		u.push(strings.Trim(u.line(), `'"`))
	case 'V':
		u.push(u.line())
	case 'U', 0x8c:
		u.push(string(u.bytes(u.uint(1))))
	case 'T', 'X':
		u.push(string(u.bytes(u.uint(4))))
	case 0x8d:
		u.push(string(u.bytes(u.uint(8))))
	case 'C':
		u.push(u.bytes(u.uint(1)))
	case 'B':
		u.push(u.bytes(u.uint(4)))
	case 0x8e:
		u.push(u.bytes(u.uint(8)))
	case ']':
		u.push(&list{})
	case 'l':
		u.push(&list{u.popMark()})
	case 'a':
		v := u.pop()
		l := u.top().(*list)
		l.items = append(l.items, v)
	case 'e':
		items := u.popMark()
		l := u.top().(*list)
		l.items = append(l.items, items...)
	case ')':
		u.push(tuple{})
	case 't':
		u.push(tuple(u.popMark()))
	case 0x85, 0x86, 0x87: // TUPLE1 to TUPLE3
		n := int(op - 0x84)
		items := append(tuple(nil), u.stack[len(u.stack)-n:]...)
		u.stack = u.stack[:len(u.stack)-n]
		u.push(items)
	case '}':
		u.push(&dict{})
	case 'd':
		d := &dict{}
		d.set(u.popMark())
		u.push(d)
	case 's':
		v := u.pop()
		k := u.pop()
		u.top().(*dict).set([]any{k, v})
	case 'u':
		items := u.popMark()
		u.top().(*dict).set(items)
	case 'c':
		module := u.line()
		u.push(global{module, u.line()})
	case 0x93: // STACK_GLOBAL
		name := u.pop().(string)
		u.push(global{u.pop().(string), name})
	case 'R', 0x81: // REDUCE, NEWOBJ
		args := u.pop().(tuple)
		u.push(call(u.pop(), args))
	case 'b': // BUILD: attributes of an ordered dict, such as _metadata, are of no use here
		u.pop()
		if _, ok := u.top().(*dict); !ok {
			panic(&fault.UnsupportedError{What: fmt.Sprintf("pickled state of a %T", u.top())})
		}
	case 'Q':
		u.push(storage(u.pop()))
	case 'g':
		u.get(int(parseInt(u.line()).(int64)))
	case 'h':
		u.get(int(u.uint(1)))
	case 'j':
		u.get(int(u.uint(4)))
	case 'p':
		u.memo[int(parseInt(u.line()).(int64))] = u.top()
	case 'q':
		u.memo[int(u.uint(1))] = u.top()
	case 'r':
		u.memo[int(u.uint(4))] = u.top()
	case 0x94:
		u.memo[len(u.memo)] = u.top()
	default:
		panic(&fault.UnsupportedError{What: fmt.Sprintf("pickle opcode %#02x", op)})
	}
}

func (u *unpickler) get(i int) {
	v, ok := u.memo[i]
	if !ok {
		panic(pickleError("refers to entry %d, which it never made", i))
	}
	u.push(v)
}

func (d *dict) set(pairs []any) {
	for i := 0; i < len(pairs); i += 2 {
		d.keys, d.values = append(d.keys, pairs[i]), append(d.values, pairs[i+1])
	}
}

func parseInt(s string) any {
	if len(s) > maxInteger {
		panic(pickleError("holds an integer of %d digits", len(s)))
	}
	switch s { // protocol 0 writes booleans so
	case "01":
		return true
	case "00":
		return false
	}
	n, ok := new(big.Int).SetString(s, 10)
	if !ok {
		panic(pickleError("holds a bad integer"))
	}
	return small(n)
}

func littleEndianInt(b []byte) any {
	if len(b) > maxInteger {
		panic(pickleError("holds an integer of %d bytes", len(b)))
	}
	n := new(big.Int)
	for i := len(b) - 1; i >= 0; i-- {
		n.Or(n.Lsh(n, 8), big.NewInt(int64(b[i])))
	}
	if len(b) > 0 && b[len(b)-1]&0x80 != 0 { // two's complement
		n.Sub(n, new(big.Int).Lsh(big.NewInt(1), uint(8*len(b))))
	}
	return small(n)
}

func small(n *big.Int) any {
	if n.IsInt64() {
		return n.Int64()
	}
	return n
}

// call stands for what Python would call; only these callables are known.
func call(callee any, args tuple) any {
	g, ok := callee.(global)
	if !ok {
		panic(pickleError("calls a %T", callee))
	}
	switch g {
	case global{"collections", "OrderedDict"}:
		d := &dict{}
		if len(args) == 1 {
			for _, pair := range args[0].(*list).items {
				switch p := pair.(type) {
				case tuple:
					d.set(p[:2])
				case *list:
					d.set(p.items[:2])
				}
			}
		}
		return d
	case global{"torch._utils", "_rebuild_tensor"}, global{"torch._utils", "_rebuild_tensor_v2"}:
		return tensorRef{args[0].(storageRef), args[1].(int64), ints(args[2]), ints(args[3])}
	case global{"torch._utils", "_rebuild_parameter"}:
		return args[0].(tensorRef)
	case global{"torch", "Size"}:
		return args[0]
	}
	panic(&fault.UnsupportedError{
		What: fmt.Sprintf("pickle global %s.%s", g.module, g.name),
		Hint: "only tensors and containers are read; save the model's state_dict()",
	})
}

func ints(v any) []int {
	t := v.(tuple)
	out := make([]int, len(t))
	for i, x := range t {
		out[i] = int(x.(int64))
	}
	return out
}

// storage reads a persistent id: ("storage", type, key, location, numel[, view]).
func storage(id any) storageRef {
	t := id.(tuple)
	if t[0] != "storage" {
		panic(&fault.UnsupportedError{What: fmt.Sprintf("persistent id of a %.20s", fmt.Sprint(keyName(t[0])))})
	}
	g := t[1].(global)
	dtype, ok := storageTypes[g.name]
	if !ok || g.module != "torch" {
		panic(&fault.UnsupportedError{What: fmt.Sprintf("pickle global %s.%s as a storage", g.module, g.name)})
	}
	ref := storageRef{key: t[2].(string), dtype: dtype, numel: t[4].(int64)}
	if len(t) > 5 && t[5] != nil { // very old files: a view of a root storage
		ref.first = t[5].(tuple)[1].(int64)
	}
	return ref
}
