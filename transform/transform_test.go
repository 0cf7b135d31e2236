package transform_test

import (
	"encoding/binary"
	"hash/crc32"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/blemish/blemish/imageio"
	"github.com/blemish/blemish/tensor"
	"github.com/blemish/blemish/transform"
)

// The expected values come from Pillow, torchvision, torch and anomalib: testdata/gen/golden.py.

func noise(n int) []uint16 {
	out := make([]uint16, n)
	s := uint32(1)
	for i := range out {
		s = s*1664525 + 1013904223
		out[i] = uint16(s >> 16)
	}
	return out
}

func noisePicture(width, height, channels, depth int) *imageio.Picture {
	p := imageio.New(width, height, channels, depth)
	for i, v := range noise(width * height * channels) {
		if depth == 8 {
			p.Pix8[i] = uint8(v)
		} else {
			p.Pix16[i] = v
		}
	}
	return p
}

func noiseMap(height, width int) *tensor.Tensor {
	m := tensor.New(height, width)
	for i, v := range noise(height * width) {
		m.Data[i] = float32(v) / 65536
	}
	return m
}

var pillowResized = []struct {
	w, h, toW, toH int
	crc            map[transform.Interpolation][2]uint32 // of gray, of RGB
}{
	{37, 23, 16, 16, map[transform.Interpolation][2]uint32{
		transform.Bilinear: {0xdd0b15dc, 0x5606b807},
		transform.Bicubic:  {0x681d3e43, 0xdbecd3e1},
		transform.Nearest:  {0xf6406f0f, 0x0082e450},
	}},
	{16, 11, 45, 33, map[transform.Interpolation][2]uint32{
		transform.Bilinear: {0x0563030e, 0xabc3c31c},
		transform.Bicubic:  {0xb76a3c81, 0x3a71c0c5},
		transform.Nearest:  {0x6c192da3, 0x70f5d292},
	}},
	{1, 9, 5, 4, map[transform.Interpolation][2]uint32{
		transform.Bilinear: {0x56004dda, 0xe5b803e2},
		transform.Bicubic:  {0xa603862e, 0xce9a18e7},
		transform.Nearest:  {0xadbd01c1, 0xd3bca462},
	}},
	{9, 1, 4, 5, map[transform.Interpolation][2]uint32{
		transform.Bilinear: {0xa02e34b3, 0x9b9827b6},
		transform.Bicubic:  {0x8c3c7717, 0x0007a46f},
		transform.Nearest:  {0x18da79a1, 0xcdbc7df9},
	}},
	{64, 48, 64, 20, map[transform.Interpolation][2]uint32{
		transform.Bilinear: {0x7fe304c5, 0x929c5aef},
		transform.Bicubic:  {0x678b6e0e, 0x6a0193f7},
		transform.Nearest:  {0x0554e445, 0x5a07defc},
	}},
	{64, 48, 20, 48, map[transform.Interpolation][2]uint32{
		transform.Bilinear: {0x029a68ec, 0x86c11364},
		transform.Bicubic:  {0xa16a1a56, 0x7bf821e2},
		transform.Nearest:  {0x59c20ecb, 0xa0f96b71},
	}},
	{50, 31, 1, 1, map[transform.Interpolation][2]uint32{
		transform.Bilinear: {0xd1b40d81, 0x02ea2ffe},
		transform.Bicubic:  {0xd1b40d81, 0x02ea2ffe},
		transform.Nearest:  {0x1e0e9818, 0x1cd4e62e},
	}},
	{300, 200, 77, 51, map[transform.Interpolation][2]uint32{
		transform.Bilinear: {0xb5acbad3, 0x9a2f540d},
		transform.Bicubic:  {0x210de2fe, 0x5ece40a6},
		transform.Nearest:  {0x991720f0, 0x04e3e374},
	}},
	{7, 7, 49, 49, map[transform.Interpolation][2]uint32{
		transform.Bilinear: {0x8c2c7ec4, 0x22205e42},
		transform.Bicubic:  {0x914c6092, 0x3f1267a2},
		transform.Nearest:  {0xb723a6cd, 0xa9e9b222},
	}},
	{5, 3, 1000, 3, map[transform.Interpolation][2]uint32{
		transform.Bilinear: {0x0d5bc27f, 0xa9d067b3},
		transform.Bicubic:  {0x51cccb02, 0x101da0fc},
		transform.Nearest:  {0x89345fd2, 0x6e96012e},
	}},
	{640, 3, 333, 2, map[transform.Interpolation][2]uint32{
		transform.Bilinear: {0x8fb7b8e7, 0x22544461},
		transform.Bicubic:  {0x0deecf8f, 0x3d1aaff3},
		transform.Nearest:  {0x265ddcf0, 0x7045879c},
	}},
}

func TestResizeIsPillowsBitForBit(t *testing.T) {
	for _, c := range pillowResized {
		for how, want := range c.crc {
			for i, channels := range []int{1, 3} {
				p, err := transform.Resize(noisePicture(c.w, c.h, channels, 8), c.toW, c.toH, how)
				if err != nil {
					t.Fatal(err)
				}
				if p.Width != c.toW || p.Height != c.toH || crc32.ChecksumIEEE(p.Pix8) != want[i] {
					t.Errorf("%s %dx%d to %dx%d, %d channels: pixels differ from Pillow's", how, c.w, c.h, c.toW, c.toH, channels)
				}
			}
		}
	}
}

// One gray level of tolerance: each of the two passes rounds to 16 bits, torchvision rounds once and sums in float32.
func TestResizeOf16BitIsTorchvisions(t *testing.T) {
	for _, c := range []struct {
		w, h int
		want []uint16
	}{{4, 5, shrunk16}, {13, 10, grown16}} {
		p, err := transform.Resize(noisePicture(9, 7, 1, 16), c.w, c.h, transform.Bilinear)
		if err != nil {
			t.Fatal(err)
		}
		if len(p.Pix16) != len(c.want) {
			t.Fatalf("%d samples, want %d", len(p.Pix16), len(c.want))
		}
		for i, v := range p.Pix16 {
			if d := int(v) - int(c.want[i]); d < -1 || d > 1 {
				t.Errorf("to %dx%d, sample %d: %d, torchvision has %d", c.w, c.h, i, v, c.want[i])
			}
		}
	}
}

func TestResizeRefusesEmptySizes(t *testing.T) {
	if _, err := transform.Resize(noisePicture(2, 2, 1, 8), 0, 2, transform.Bilinear); err == nil {
		t.Error("no error for width 0")
	}
}

func TestApplyIsTorchvisionsBitForBit(t *testing.T) {
	for _, c := range []struct {
		w, h, channels, size, cropW, cropH int
		shape                              []int
		crc                                uint32
	}{
		{37, 23, 3, 16, 0, 0, []int{3, 16, 25}, 0xd6e0c4b6},
		{23, 37, 1, 16, 0, 0, []int{3, 25, 16}, 0xee5cd29f},
		{40, 31, 3, 17, 12, 13, []int{3, 13, 12}, 0x84ce76f5},
		{31, 40, 3, 17, 14, 16, []int{3, 16, 14}, 0x51484f4f},
		{20, 20, 1, 20, 0, 0, []int{3, 20, 20}, 0x8bcbfd7b},
		{97, 10, 3, 7, 5, 4, []int{3, 4, 5}, 0x3f24c419},
	} {
		config := transform.DefaultConfig()
		config.Size, config.CropWidth, config.CropHeight = c.size, c.cropW, c.cropH
		if err := config.Validate(); err != nil {
			t.Fatal(err)
		}
		x, _, err := config.Apply(noisePicture(c.w, c.h, c.channels, 8))
		if err != nil {
			t.Fatal(err)
		}
		var raw []byte
		for _, v := range x.Data {
			raw = binary.LittleEndian.AppendUint32(raw, math.Float32bits(v))
		}
		if !slices.Equal(x.Shape, c.shape) || crc32.ChecksumIEEE(raw) != c.crc {
			t.Errorf("%dx%d, %d channels, shorter side %d, crop %dx%d: shape %v or values differ from torchvision's %v",
				c.w, c.h, c.channels, c.size, c.cropW, c.cropH, x.Shape, c.shape)
		}
	}
}

func TestCropsAndFlipsAreTorchvisions(t *testing.T) {
	p := noisePicture(9, 7, 3, 8)
	must := func(p *imageio.Picture, err error) *imageio.Picture {
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	for _, c := range []struct {
		name string
		got  *imageio.Picture
		crc  uint32
	}{
		{"centre 4x4", must(transform.CenterCrop(p, 4, 4)), 0xfd489f50},
		{"centre 6x3", must(transform.CenterCrop(p, 6, 3)), 0xac5ef49d},
		{"crop 5x4 at (2,1)", must(transform.Crop(p, 2, 1, 5, 4)), 0xc4912843},
		{"horizontal flip", transform.FlipHorizontal(p), 0x13be2743},
		{"vertical flip", transform.FlipVertical(p), 0x989029ad},
	} {
		if crc32.ChecksumIEEE(c.got.Pix8) != c.crc {
			t.Errorf("%s: pixels differ from torchvision's", c.name)
		}
	}
}

// Every place where the window fits is drawn, none other, and the same seed draws the same places.
func TestRandomCrop(t *testing.T) {
	p := imageio.New(6, 5, 1, 16)
	for i := range p.Pix16 {
		p.Pix16[i] = uint16(i)
	}
	drawn := map[uint16]bool{}
	a, b := rand.New(rand.NewPCG(1, 2)), rand.New(rand.NewPCG(1, 2))
	for range 400 {
		crop, err := transform.RandomCrop(p, 4, 3, a)
		if err != nil {
			t.Fatal(err)
		}
		again, _ := transform.RandomCrop(p, 4, 3, b)
		if !slices.Equal(crop.Pix16, again.Pix16) {
			t.Fatal("the same seed draws another window")
		}
		corner := crop.Pix16[0]
		if crop.Pix16[11] != corner+2*6+3 {
			t.Fatalf("the window at %d is not one of 4x3", corner)
		}
		drawn[corner] = true
	}
	if len(drawn) != 9 {
		t.Errorf("%d places drawn, want all 9", len(drawn))
	}
	for _, size := range [][2]int{{7, 5}, {6, 6}, {0, 1}} {
		if _, err := transform.RandomCrop(p, size[0], size[1], a); err == nil {
			t.Errorf("a %dx%d window in a 6x5 picture is not refused", size[0], size[1])
		}
	}
}

// 1e-6: torch computes its interpolation weights in float32, this package in float64; the values lie in 0..1.
func closeTo(t *testing.T, got *tensor.Tensor, want []float32) {
	t.Helper()
	if len(got.Data) != len(want) {
		t.Fatalf("%d values, want %d", len(got.Data), len(want))
	}
	for i, v := range got.Data {
		if !(math.Abs(float64(v-want[i])) <= 1e-6) {
			t.Errorf("value %d: %v, want %v", i, v, want[i])
		}
	}
}

func TestResizeMapsIsTorchs(t *testing.T) {
	closeTo(t, transform.ResizeMaps(noiseMap(5, 4), 7, 9), grownMap)
	closeTo(t, transform.ResizeMaps(noiseMap(5, 4), 3, 2), shrunkMap)
}

func TestSmoothResizeIsAnomalibs(t *testing.T) {
	closeTo(t, transform.SmoothResize(noiseMap(5, 4), 7, 9, 0.8), blurredMap)
	closeTo(t, transform.SmoothResize(noiseMap(5, 4), 7, 9, 0), grownMap)
}

func geometryOf(t *testing.T, config transform.Config, w, h int) (*tensor.Tensor, transform.Geometry) {
	t.Helper()
	x, g, err := config.Apply(noisePicture(w, h, 3, 8))
	if err != nil {
		t.Fatal(err)
	}
	return x, g
}

// Without a crop or padding the way back is torch's bilinear resize of the whole map.
func TestMapBackOfAWholePicture(t *testing.T) {
	config := transform.DefaultConfig()
	config.Resize, config.Width, config.Height = transform.Exact, 4, 5
	_, g := geometryOf(t, config, 9, 7)
	closeTo(t, g.MapBack(noiseMap(5, 4)), grownMap)
}

// A 20x10 picture in a 12x12 letterbox fills rows 3 to 8; the padding's scores must not leak into the picture's map.
func TestMapBackCutsTheLetterboxOff(t *testing.T) {
	config := transform.DefaultConfig()
	config.Resize, config.Width, config.Height = transform.Letterbox, 12, 12
	x, g := geometryOf(t, config, 20, 10)
	m := tensor.New(12, 12)
	for y := range 12 {
		inside := y >= 3 && y < 9
		for i := range 12 {
			m.Data[y*12+i] = 100
			if inside {
				m.Data[y*12+i] = 1
			}
			if !inside && x.Data[y*12+i] != 0 {
				t.Fatalf("padding at row %d is %v, want the mean colour, 0", y, x.Data[y*12+i])
			}
		}
	}
	back := g.MapBack(m)
	if !slices.Equal(back.Shape, []int{10, 20}) {
		t.Fatalf("shape %v, want the picture's (10,20)", back.Shape)
	}
	for i, v := range back.Data {
		if v != 1 {
			t.Fatalf("value %d is %v: the padding leaked in", i, v)
		}
	}
}

// What a centre crop removed was never judged and gets the map's minimum; what it kept, keeps its place.
func TestMapBackFillsWhatWasCropped(t *testing.T) {
	config := transform.DefaultConfig()
	config.Resize, config.CropWidth, config.CropHeight = transform.None, 4, 5
	_, g := geometryOf(t, config, 8, 9) // the window begins at (2,2)
	m := noiseMap(5, 4)
	back := g.MapBack(m)
	lowest := slices.Min(m.Data)
	for y := range 9 {
		for x := range 8 {
			want := lowest
			if x >= 2 && x < 6 && y >= 2 && y < 7 {
				want = m.Data[(y-2)*4+x-2]
			}
			if got := back.Data[y*8+x]; got != want {
				t.Errorf("(%d,%d): %v, want %v", x, y, got, want)
			}
		}
	}
}

var grownMap = []float32{ // (7,9)
	0.2364502, 0.2585856, 0.31761339, 0.37676156, 0.43675232, 0.49674308, 0.58226776, 0.67144006, 0.70487976,
	0.13021414, 0.17007881, 0.27638462, 0.38548085, 0.51411003, 0.64273918, 0.64368707, 0.62639475, 0.61991012,
	0.04080636, 0.10843404, 0.28877455, 0.4564822, 0.53576005, 0.61503792, 0.58333689, 0.53578186, 0.51794863,
	0.01647949, 0.12027232, 0.39705318, 0.6176368, 0.44483948, 0.27204219, 0.31730059, 0.39370981, 0.42236328,
	0.42662492, 0.48559505, 0.64284873, 0.75039065, 0.50995094, 0.26951116, 0.46571773, 0.72430241, 0.82127172,
	0.70648414, 0.69179243, 0.65261459, 0.60769689, 0.52259934, 0.43750185, 0.56739974, 0.72801131, 0.78824067,
	0.86088562, 0.77188361, 0.534545, 0.34663644, 0.50473785, 0.66283929, 0.62381995, 0.55664068, 0.53144836,
}

var shrunkMap = []float32{ // (3,2)
	0.27191162, 0.62486267, 0.32785797, 0.33640289, 0.63385516, 0.60733289,
}

var blurredMap = []float32{ // (7,9)
	0.19929081, 0.22770393, 0.29916552, 0.38586634, 0.47539005, 0.55448461, 0.60651499, 0.63799024, 0.64956242,
	0.15879628, 0.1970422, 0.29197794, 0.39981768, 0.49760282, 0.57234555, 0.60358262, 0.61016971, 0.61120641,
	0.11127017, 0.17083938, 0.31338823, 0.44390523, 0.5036152, 0.5259729, 0.53231442, 0.53164726, 0.53089917,
	0.18428452, 0.25460434, 0.4162702, 0.52382809, 0.48116663, 0.41280919, 0.43494329, 0.49808642, 0.52691233,
	0.42860293, 0.47098777, 0.56408, 0.59831709, 0.49941498, 0.41045606, 0.47774902, 0.60896593, 0.66740698,
	0.65471828, 0.64390653, 0.6153242, 0.57260245, 0.51716065, 0.49438903, 0.56027734, 0.65695894, 0.69890368,
	0.74046868, 0.69839627, 0.59977466, 0.52209991, 0.51667589, 0.54772437, 0.59129965, 0.6325199, 0.64934391,
}

var shrunk16 = []uint16{ // (5,4)
	24534, 33104, 32371, 32449, 31598, 22436, 26732, 39860, 32314, 39175,
	31705, 35443, 37117, 45824, 37675, 30697, 24028, 20408, 25657, 27963,
}

var grown16 = []uint16{ // (10,13)
	15496, 20183, 26241, 32366, 41138, 33000, 3312, 17784, 34431, 49672, 39756, 20125, 1080,
	30014, 24577, 22266, 29312, 37470, 38872, 31657, 23151, 34305, 57374, 49918, 31203, 12268,
	42604, 30980, 21774, 24045, 28266, 34299, 42292, 24629, 29685, 50611, 53079, 40847, 25616,
	44593, 38840, 29505, 16295, 10899, 8040, 7134, 16473, 17036, 14031, 38648, 42472, 37361,
	31815, 27279, 26518, 35898, 40081, 31928, 9169, 17739, 30515, 43932, 35564, 34594, 36715,
	26849, 30704, 38174, 50670, 54462, 47827, 29519, 34420, 39998, 43873, 29787, 31550, 39084,
	29556, 47844, 61565, 55701, 49623, 51232, 62484, 62000, 41757, 10986, 22467, 34224, 43476,
	15675, 29033, 36422, 24238, 33884, 46231, 58543, 40323, 21170, 7279, 41454, 38881, 22588,
	30418, 24003, 18293, 17658, 20746, 28534, 41615, 23732, 19163, 26241, 41292, 30781, 12665,
	54495, 26065, 7111, 23351, 11560, 9088, 22644, 12917, 25696, 51035, 32806, 18849, 9654,
}
