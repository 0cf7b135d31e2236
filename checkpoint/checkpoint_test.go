package checkpoint

import (
	"archive/zip"
	"bufio"
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/blemish/blemish/fault"
	"github.com/blemish/blemish/tensor"
)

func TestRealFiles(t *testing.T) {
	raw, err := os.ReadFile("testdata/goldens.json")
	if err != nil {
		t.Fatal(err)
	}
	var goldens map[string]map[string]struct {
		Shape  []int
		Values []float32
	}
	if err := json.Unmarshal(raw, &goldens); err != nil {
		t.Fatal(err)
	}
	for name, tensors := range goldens {
		f, err := Open(filepath.Join("testdata", name))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if len(f.Names()) != len(tensors) {
			t.Errorf("%s holds %v, want %d tensors", name, f.Names(), len(tensors))
		}
		for key, want := range tensors {
			got, err := f.Read(key)
			if err != nil {
				t.Errorf("%s: %s: %v", name, key, err)
				continue
			}
			info, _ := f.Info(key)
			if !slices.Equal(got.Shape, want.Shape) || !slices.Equal(info.Shape, want.Shape) || !slices.Equal(got.Data, want.Values) {
				t.Errorf("%s: %s is %v %v, want %v %v", name, key, got.Shape, got.Data, want.Shape, want.Values)
			}
		}
		if _, err := f.Read("no such tensor"); err == nil {
			t.Errorf("%s: a tensor that is not there is read", name)
		}
		if err := f.Close(); err != nil {
			t.Error(err)
		}
	}
	f, err := Open("testdata/state.safetensors")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if m := f.Metadata(); m["format"] != "pt" || m["note"] != "hello" {
		t.Errorf("metadata %v", m)
	}
}

func TestPicklesThatCallAnythingAreRefusedByName(t *testing.T) {
	for file, name := range map[string]string{
		"evil.system.pth": "posix.system", "evil.legacy.pth": "posix.system", "evil.eval.pth": "eval", "evil.numpy.pth": "numpy",
	} {
		_, err := Open(filepath.Join("testdata", file))
		var unsupported *fault.UnsupportedError
		if !errors.As(err, &unsupported) || !strings.Contains(err.Error(), name) || !strings.Contains(err.Error(), file) {
			t.Errorf("%s: %v", file, err)
		}
	}
	var unsupported *fault.UnsupportedError
	if _, err := Open("testdata/external.onnx"); !errors.As(err, &unsupported) {
		t.Errorf("external data: %v", err)
	}
}

func TestTruncatedFilesAreErrors(t *testing.T) {
	for _, name := range []string{"state.zip.pth", "state.legacy.pth", "state.safetensors", "model.onnx"} {
		whole, err := os.ReadFile(filepath.Join("testdata", name))
		if err != nil {
			t.Fatal(err)
		}
		for n := 0; n < len(whole); n += 1 + len(whole)/200 {
			if f, err := NewFile(bytes.NewReader(whole[:n]), int64(n)); err == nil && name != "model.onnx" {
				t.Errorf("%s: the first %d of %d bytes are accepted, with %v", name, n, len(whole), f.Names())
			}
		}
	}
}

func safetensors(header string, data int) []byte {
	b := binary.LittleEndian.AppendUint64(nil, uint64(len(header)))
	return append(append(b, header...), make([]byte, data)...)
}

// Small pickles that stand for something large end in an error at once: tuples of themselves 60 deep, which nothing must print, integers of
// many digits, and long names of many values.
func TestPicklesThatGrowAreRefused(t *testing.T) {
	const nested = ")" + "2\x86" // () and pairs of what is there
	pairs := nested + strings.Repeat("2\x86", 59)
	long := strings.Repeat("\x01", 1<<20)
	name := "}X\x00\x00\x10\x00" + strings.Repeat("n", 1<<20) + "](" + strings.Repeat("K\x01", 1<<19) + "es."
	for pickle, want := range map[string]string{
		pairs + ".":                              "not of torch.save",
		pairs + "\x85Q.":                         "persistent id of a ?",
		"\x8b\x00\x00\x10\x00" + long + ".":      "integer of 1048576 bytes",
		"L" + strings.Repeat("7", 1<<19) + "\n.": "integer of 524288 digits",
	} {
		pickle = "\x80\x02" + pickle
		_, err := NewFile(strings.NewReader(pickle), int64(len(pickle)))
		if err == nil || len(err.Error()) > 200 || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %.300v", want, err)
		}
	}
	var archive bytes.Buffer // of a pickle a thousand times as large
	z := zip.NewWriter(&archive)
	pkl, err := z.Create("a/data.pkl")
	if err != nil {
		t.Fatal(err)
	}
	for range maxStream>>20 + 1 {
		io.WriteString(pkl, "X\x00\x00\x10\x00"+long+"0")
	}
	io.WriteString(pkl, "N.")
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := NewFile(bytes.NewReader(archive.Bytes()), int64(archive.Len())); err == nil || !strings.Contains(err.Error(), "truncated") {
		t.Errorf("an archive of %d bytes: %v", archive.Len(), err)
	}
	object, err := unpickle(bufio.NewReader(strings.NewReader(name)))
	if err != nil {
		t.Fatal(err)
	}
	if err := (&walker{}).walk(object, "", 0); err == nil {
		t.Error("a name of a megabyte was used half a million times")
	}
}

func TestSafetensorsRules(t *testing.T) {
	ok := safetensors(`{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"b":{"dtype":"U8","shape":[],"data_offsets":[8,9]}}`, 9)
	if _, err := NewFile(bytes.NewReader(ok), int64(len(ok))); err != nil {
		t.Fatal(err)
	}
	long := binary.LittleEndian.AppendUint64(nil, 1<<62)
	for what, raw := range map[string][]byte{
		"header beyond the file": append(long, '{'),
		"no JSON":                safetensors(`{"a":`, 0),
		"a hole":                 safetensors(`{"a":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}}`, 8),
		"an overlap":             safetensors(`{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"b":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}`, 4),
		"the wrong size":         safetensors(`{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,4]}}`, 4),
		"bytes left over":        safetensors(`{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}`, 5),
		"beyond the end":         safetensors(`{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}`, 4),
		"the same name twice":    safetensors(`{"a":{"dtype":"F32","shape":[0],"data_offsets":[0,0]},"a":{"dtype":"F32","shape":[0],"data_offsets":[0,0]}}`, 0),
		"an unknown type":        safetensors(`{"a":{"dtype":"F7","shape":[1],"data_offsets":[0,1]}}`, 1),
		"a huge shape":           safetensors(`{"a":{"dtype":"F32","shape":[4294967296,4294967296],"data_offsets":[0,0]}}`, 0),
		"a negative shape":       safetensors(`{"a":{"dtype":"F32","shape":[-1],"data_offsets":[0,0]}}`, 0),
		"metadata of numbers":    safetensors(`{"__metadata__":{"a":1}}`, 0),
	} {
		if _, err := NewFile(bytes.NewReader(raw), int64(len(raw))); err == nil {
			t.Errorf("%s: accepted", what)
		}
	}
}

func TestWriteSafetensorsRoundTrip(t *testing.T) {
	values := tensor.From([]float32{0, 1, -2.5, 65504, 6e-8, 0.333251953125}, 2, 3)
	entries := []Entry{{Name: "z", DType: F32, Tensor: values}, {Name: "a", DType: F16, Tensor: values}, {Name: "m", DType: BF16, Tensor: tensor.From([]float32{1, -2, 0.5}, 3)}, {Name: "bytes", DType: U8, Tensor: tensor.From([]float32{0, 255}, 2)}}
	var first, second bytes.Buffer
	if err := WriteSafetensors(&first, map[string]string{"k": "v", "b": "c"}, entries); err != nil {
		t.Fatal(err)
	}
	slices.Reverse(entries)
	if err := WriteSafetensors(&second, map[string]string{"b": "c", "k": "v"}, entries); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(first.Bytes(), second.Bytes()) {
		t.Error("the order of entries changes the file")
	}
	if n := binary.LittleEndian.Uint64(first.Bytes()); n%8 != 0 {
		t.Errorf("the tensors begin at byte %d", 8+n)
	}
	f, err := NewFile(bytes.NewReader(first.Bytes()), int64(first.Len()))
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		got, err := f.Read(e.Name)
		if err != nil {
			t.Fatal(err)
		}
		for i, v := range got.Data {
			if math.Abs(float64(v-e.Tensor.Data[i])) > 1e-8 { // 6e-8 is rounded to a subnormal half
				t.Errorf("%s: value %d is %v, want %v", e.Name, i, v, e.Tensor.Data[i])
			}
		}
	}
	for what, e := range map[string]Entry{
		"a half beyond 65504": {Name: "x", DType: F16, Tensor: tensor.From([]float32{65520}, 1)},
		"a byte of 256":       {Name: "x", DType: U8, Tensor: tensor.From([]float32{256}, 1)},
		"a byte of 0.5":       {Name: "x", DType: U8, Tensor: tensor.From([]float32{0.5}, 1)},
		"a tensor as F64":     {Name: "x", DType: F64, Tensor: tensor.New(1)},
		"doubles as F32":      {Name: "x", DType: F32, Shape: []int{1}, Doubles: []float64{1}},
		"doubles too few":     {Name: "x", DType: F64, Shape: []int{2, 2}, Doubles: []float64{1, 2}},
	} {
		if err := WriteSafetensors(io.Discard, nil, []Entry{e}); err == nil {
			t.Errorf("%s: written", what)
		}
	}
}

func TestDoublesAreKeptExactly(t *testing.T) {
	values := make([]float64, 70000) // more than are written at once
	for i := range values {
		values[i] = math.Ldexp(1+float64(i)*0x1p-40, i%600-300)
	}
	entries := []Entry{
		{Name: "b", DType: F64, Shape: []int{7, 10000}, Doubles: values}, {Name: "a", DType: F32, Tensor: tensor.From([]float32{1, 2}, 2)},
		{Name: "c", DType: F64, Shape: []int{0, 3}},
	}
	var file bytes.Buffer
	if err := WriteSafetensors(&file, nil, entries); err != nil {
		t.Fatal(err)
	}
	f, err := NewFile(bytes.NewReader(file.Bytes()), int64(file.Len()))
	if err != nil {
		t.Fatal(err)
	}
	shape, got, err := f.ReadDoubles("b")
	if err != nil || !slices.Equal(shape, []int{7, 10000}) || !slices.Equal(got, values) {
		t.Errorf("%v, %d values, %v", shape, len(got), err)
	}
	if shape, got, err := f.ReadDoubles("c"); err != nil || !slices.Equal(shape, []int{0, 3}) || len(got) != 0 {
		t.Errorf("nothing became %v %v, %v", shape, got, err)
	}
	if rounded, err := f.Read("b"); err != nil || rounded.Data[300] != float32(values[300]) {
		t.Errorf("as single precision: %v", err)
	}
	for _, name := range []string{"a", "nothing"} {
		if _, _, err := f.ReadDoubles(name); err == nil {
			t.Errorf("%s is read as doubles", name)
		}
	}
}

func TestEveryHalfSurvives(t *testing.T) {
	for i := range 1 << 16 {
		h := uint16(i)
		f := halfToFloat(h)
		back, ok := floatToHalf(f)
		if f != f {
			if back&0x7c00 != 0x7c00 || back&0x3ff == 0 {
				t.Fatalf("NaN %#x became %#x", h, back)
			}
			continue
		}
		if back != h || !ok && !math.IsInf(float64(f), 0) {
			t.Fatalf("%#x is %v, which is %#x", h, f, back)
		}
	}
	for f, want := range map[float32]uint16{65519: 0x7bff, 0x1p-25: 0, 0x1.8p-24: 2, 1 + 0x1p-11: 0x3c00, 1 + 0x3p-11: 0x3c02} {
		if got, _ := floatToHalf(f); got != want {
			t.Errorf("%v is %#x, want %#x", f, got, want)
		}
	}
}

func TestWriteFileAtomicKeepsTheOldFileOnError(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "file")
	write := func(s string, fail error) error {
		return WriteFileAtomic(path, func(w io.Writer) error {
			io.WriteString(w, s)
			return fail
		})
	}
	if err := write("old", nil); err != nil {
		t.Fatal(err)
	}
	broken := errors.New("broken")
	if err := write("new", broken); !errors.Is(err, broken) {
		t.Errorf("%v", err)
	}
	if raw, _ := os.ReadFile(path); string(raw) != "old" {
		t.Errorf("the file holds %q", raw)
	}
	if entries, _ := os.ReadDir(dir); len(entries) != 1 {
		t.Errorf("left behind: %v", entries)
	}
	if err := WriteFileAtomic(filepath.Join(dir, "none", "file"), func(io.Writer) error { return nil }); err == nil {
		t.Error("written into a folder that is not there")
	}
}

const killedPath = "BLEMISH_TEST_KILLED_PATH"

// TestMain writes files in a loop where it is started again by TestAKilledWriterLeavesOneOrTheOther.
func TestMain(m *testing.M) {
	path := os.Getenv(killedPath)
	if path == "" {
		os.Exit(m.Run())
	}
	for i := 0; ; i++ {
		content := bytes.Repeat([]byte{byte('a' + i%26)}, 300_000+i%7)
		if err := WriteFileAtomic(path, func(w io.Writer) error { _, err := w.Write(content); return err }); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
}

func TestAKilledWriterLeavesOneOrTheOther(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")
	seen := 0
	for i := range 8 {
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), killedPath+"="+path)
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Duration(20+7*i) * time.Millisecond)
		cmd.Process.Kill()
		cmd.Wait()
		raw, err := os.ReadFile(path)
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		seen++
		if len(raw) < 300_000 || len(bytes.TrimRight(raw, string(raw[0]))) != 0 {
			t.Fatalf("a file of %d bytes is neither the old nor the new one", len(raw))
		}
	}
	if seen == 0 {
		t.Error("nothing was ever written")
	}
}

func FuzzNewFile(f *testing.F) {
	files, err := filepath.Glob("testdata/*.*")
	if err != nil {
		f.Fatal(err)
	}
	for _, name := range files {
		raw, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(raw)
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		file, err := NewFile(bytes.NewReader(raw), int64(len(raw)))
		if err != nil {
			return
		}
		for _, name := range file.Names() {
			info, _ := file.Info(name)
			n, ok := volume(info.Shape)
			if !ok || n > 64*int64(len(raw)) {
				t.Fatalf("a file of %d bytes declares a tensor of shape %v", len(raw), info.Shape)
			}
			if x, err := file.Read(name); err == nil && int64(len(x.Data)) != n {
				t.Fatalf("tensor of shape %v has %d values", info.Shape, len(x.Data))
			}
		}
	})
}
