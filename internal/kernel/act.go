package kernel

// Act is a function of one value that a layer applies to its results.
type Act int

const (
	NoAct Act = iota
)

// apply sets x to its activation, clamped; without an activation it does nothing.
func (f Act) apply(x []float32, lo, hi float32) {
	if f == NoAct {
		return
	}
}
