package infer

import "github.com/blemish/blemish/internal/kernel"

// form is how a value of an imported network lies there, for pictures (C,H,W) of a Network.
type form int

const (
	planes   form = iota // (N,C,H,W)
	flat                 // (N,C,H·W)
	vector               // (N,C), of one pixel
	last                 // (N,H,W,C)
	sequence             // (N,H·W,C)
	storable             // forms from here on are steps of a pattern, whose values exist nowhere
)

func (f form) last() bool { return f == last || f == sequence }

func (f form) shape(count int, a *kernel.Activation) []int {
	switch f {
	case flat:
		return []int{count, a.C, a.H * a.W}
	case vector:
		return []int{count, a.C}
	case last:
		return []int{count, a.H, a.W, a.C}
	case sequence:
		return []int{count, a.H * a.W, a.C}
	}
	return []int{count, a.C, a.H, a.W}
}

// form is that of a tap.
func (n *Network) form(tap int) form {
	if len(n.forms) == 0 {
		return planes
	}
	return n.forms[tap]
}
