package nn

import "math"

// Schedule is a learning rate as a function of the step (or epoch), from 0 on, for a base rate.
type Schedule func(step int, base float64) float64

// SetLR sets every group's learning rate for a step, each from its base rate; bases are the groups' rates before the first step.
func (s Schedule) SetLR(o Optimizer, bases []float64, step int) {
	for i, g := range o.Groups() {
		g.LR = s(step, bases[i])
	}
}

// BaseLRs are the present learning rates of the groups.
func BaseLRs(o Optimizer) []float64 {
	var bases []float64
	for _, g := range o.Groups() {
		bases = append(bases, g.LR)
	}
	return bases
}

// StepLR multiplies the rate by gamma every size steps.
func StepLR(size int, gamma float64) Schedule {
	return func(step int, base float64) float64 { return base * math.Pow(gamma, float64(step/size)) }
}

// MultiStepLR multiplies the rate by gamma at each milestone.
func MultiStepLR(milestones []int, gamma float64) Schedule {
	return func(step int, base float64) float64 {
		for _, m := range milestones {
			if step >= m {
				base *= gamma
			}
		}
		return base
	}
}

// CosineAnnealing falls from the base rate to lowest over steps, along half a cosine, and rises again after that.
func CosineAnnealing(steps int, lowest float64) Schedule {
	return func(step int, base float64) float64 {
		return lowest + (base-lowest)*(1+math.Cos(math.Pi*float64(step)/float64(steps)))/2
	}
}

// LinearLR goes from start·base to end·base over steps, and stays there.
func LinearLR(start, end float64, steps int) Schedule {
	return func(step int, base float64) float64 {
		return base * (start + (end-start)*float64(min(step, steps))/float64(steps))
	}
}

// WarmUp rises linearly from start·base over the first steps, and then follows next from its beginning.
func WarmUp(start float64, steps int, next Schedule) Schedule {
	rise := LinearLR(start, 1, steps)
	return func(step int, base float64) float64 {
		if step < steps {
			return rise(step, base)
		}
		return next(step-steps, base)
	}
}

// OneCycle rises from highest/div along a cosine to highest in the first share of steps, and falls to highest/div/final at the last one
// (Smith and Topin, 2018; torch.optim.lr_scheduler.OneCycleLR without momentum). The highest rate is the group's base rate. PyTorch's defaults
// are share 0.3, div 25, final 1e4.
func OneCycle(steps int, share, div, final float64) Schedule {
	anneal := func(from, to, part float64) float64 { return to + (from-to)/2*(1+math.Cos(math.Pi*part)) }
	return func(step int, base float64) float64 {
		top := share*float64(steps) - 1
		last := float64(steps - 1)
		low := base / div
		if s := float64(step); s <= top && top > 0 {
			return anneal(low, base, s/top)
		} else {
			return anneal(base, low/final, (s-top)/(last-top))
		}
	}
}

// Constant keeps the base rate.
func Constant(_ int, base float64) float64 { return base }
