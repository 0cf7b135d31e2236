package outlier

// featureMap takes a row to a space in which a plane separates rows as a kernel's boundary does. A map has two steps: values that are not linear
// (kernel values, cosines), and a matrix on them. A plane's weights can be folded through the matrix: then judging a row takes the values alone.
type featureMap interface {
	// values is how many values the first step gives, features how many the second does.
	values() int
	features() int
	// first writes values() numbers; row has as many columns as the rows fitted.
	first(dst, row []float64)
	// second writes features() numbers, of the values of the first step.
	second(dst, values []float64)
	// folded returns the weights of the values, for those of the features.
	folded(weights []float64) []float64
	// arrays is what a file keeps.
	arrays() map[string]Array
}

// identity is the map of linear planes: rows as they are.
type identity int

func (m identity) values() int                      { return int(m) }
func (m identity) features() int                    { return int(m) }
func (identity) first(dst, row []float64)           { copy(dst, row) }
func (identity) second(dst, values []float64)       { copy(dst, values) }
func (identity) folded(weights []float64) []float64 { return weights }
func (identity) arrays() map[string]Array           { return map[string]Array{} }

// fours holds rows of d values four by four: value j of rows 4·g to 4·g+3 is four[g·d+j]. Missing rows are zeros. One row is compared with four at
// once, whose sums do not wait for each other.
type fours struct {
	rows, cols int
	four       [][4]float64
}

func foursOf(m Matrix) fours {
	f := fours{m.Rows, m.Cols, make([][4]float64, (m.Rows+3)/4*m.Cols)}
	for i := range m.Rows {
		for j, v := range m.Row(i) {
			f.four[i/4*m.Cols+j][i%4] = v
		}
	}
	return f
}

// dots writes the dot product of x with each row.
func (f fours) dots(dst, x []float64) {
	f.each(dst, func(four [][4]float64) (sum [4]float64) {
		four = four[:len(x)]
		var s0, s1, s2, s3 float64
		for j, v := range x {
			c := &four[j]
			s0 += v * c[0]
			s1 += v * c[1]
			s2 += v * c[2]
			s3 += v * c[3]
		}
		return [4]float64{s0, s1, s2, s3}
	})
}

// squares writes the squared distance of x from each row, by direct subtraction.
func (f fours) squares(dst, x []float64) {
	f.each(dst, func(four [][4]float64) (sum [4]float64) {
		four = four[:len(x)]
		var s0, s1, s2, s3 float64
		for j, v := range x {
			c := &four[j]
			d0, d1, d2, d3 := v-c[0], v-c[1], v-c[2], v-c[3]
			s0 += d0 * d0
			s1 += d1 * d1
			s2 += d2 * d2
			s3 += d3 * d3
		}
		return [4]float64{s0, s1, s2, s3}
	})
}

// absolutes writes Σ|x - row| of each row.
func (f fours) absolutes(dst, x []float64) {
	f.each(dst, func(four [][4]float64) (sum [4]float64) {
		four = four[:len(x)]
		for j, v := range x {
			for k, u := range four[j] {
				sum[k] += max(v-u, u-v)
			}
		}
		return sum
	})
}

func (f fours) each(dst []float64, sums func(four [][4]float64) [4]float64) {
	for g := range len(f.four) / f.cols {
		s := sums(f.four[g*f.cols : (g+1)*f.cols])
		copy(dst[4*g:f.rows], s[:])
	}
}
