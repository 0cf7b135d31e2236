package weights

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"math"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/blemish/blemish/checkpoint"
	"github.com/blemish/blemish/tensor"
)

func TestTheEmbeddedWeightsAreThePublishedOnes(t *testing.T) {
	if sum := sha256.Sum256(embedded); hex.EncodeToString(sum[:]) != "2fdfd02a12e5938a455d651f7b985acc55707bf0186df057781f967249f1cabb" {
		t.Errorf("SHA-256 %x", sum)
	}
	f, err := (&Store{}).Open("efficientnet-lite0")
	if err != nil {
		t.Fatal(err)
	}
	if n := len(f.Names()); n != 296-49 { // without 49 counters of batch norm
		t.Errorf("%d tensors", n)
	}
	for name, values := range map[string]map[int]float64{ // read by torch.load from the published file
		"_conv_stem.weight":               {0: -1.1103360652923584, 5: -0.03736136853694916, 863: 2.2351741790771484e-08},
		"_bn0.running_var":                {0: 1.631428599357605, 5: 0.5514333248138428, 31: 0},
		"_blocks.10._project_conv.weight": {0: -0.019662771373987198, 5: 0.005685746669769287, 75263: -0.03616621345281601},
		"_fc.weight":                      {0: -0.04561043530702591, 5: -0.07103550434112549, 1279999: 0.04085797071456909},
		"_blocks.4._bn1.running_mean":     {0: 0.42497125267982483, 5: 0.36898794770240784, 239: -0.023436596617102623},
	} {
		got, err := f.Read(name)
		if err != nil {
			t.Fatal(err)
		}
		for i, want := range values {
			tolerance := math.Abs(want)*0x1p-11 + 0x1p-25 // of rounding to 16 bits
			if len(got.Shape) == 1 {
				tolerance = 0 // batch norm is kept in 32
			}
			if d := math.Abs(float64(got.Data[i]) - want); d > tolerance {
				t.Errorf("%s: value %d is %v, want %v", name, i, got.Data[i], want)
			}
		}
	}
}

// published is a server's file, how often it was asked for, and how it misbehaves.
type published struct {
	body    []byte
	asked   int
	ranges  []string
	handler func(p *published, w http.ResponseWriter, r *http.Request)
}

func (p *published) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	p.asked++
	p.ranges = append(p.ranges, r.Header.Get("Range"))
	p.handler(p, w, r)
}

func whole(p *published, w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Length", fmt.Sprint(len(p.body)))
	w.Write(p.body)
}

// resumable answers ranges, and cuts the first answer in the middle.
func resumable(p *published, w http.ResponseWriter, r *http.Request) {
	first := 0
	if s := strings.TrimSuffix(strings.TrimPrefix(r.Header.Get("Range"), "bytes="), "-"); s != "" {
		first, _ = strconv.Atoi(s)
		w.Header().Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", first, len(p.body)-1, len(p.body)))
		w.Header().Set("Content-Length", fmt.Sprint(len(p.body)-first))
		w.WriteHeader(http.StatusPartialContent)
	} else {
		w.Header().Set("Content-Length", fmt.Sprint(len(p.body)))
	}
	if p.asked == 1 {
		w.Write(p.body[:len(p.body)/3])
		panic(http.ErrAbortHandler)
	}
	w.Write(p.body[first:])
}

// forgetful cuts the first answer, and knows no ranges.
func forgetful(p *published, w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Length", fmt.Sprint(len(p.body)))
	if p.asked == 1 {
		w.Write(p.body[:len(p.body)/3])
		panic(http.ErrAbortHandler)
	}
	w.Write(p.body)
}

func answer(codes ...int) func(*published, http.ResponseWriter, *http.Request) {
	return func(p *published, w http.ResponseWriter, r *http.Request) {
		if p.asked <= len(codes) {
			w.WriteHeader(codes[p.asked-1])
			return
		}
		whole(p, w, r)
	}
}

// serve starts a publisher of a small checkpoint, and a store that knows it.
func serve(t *testing.T, handler func(*published, http.ResponseWriter, *http.Request)) (*published, *Store) {
	t.Helper()
	var body bytes.Buffer
	entry := checkpoint.Entry{Name: "w", DType: checkpoint.F32, Tensor: tensor.New(5000)}
	if err := checkpoint.WriteSafetensors(&body, nil, []checkpoint.Entry{entry}); err != nil {
		t.Fatal(err)
	}
	p := &published{body: body.Bytes(), handler: handler}
	server := httptest.NewServer(p)
	t.Cleanup(server.Close)
	sum := sha256.Sum256(p.body)
	return p, &Store{
		Dir: filepath.Join(t.TempDir(), "deep", "weights"), Client: server.Client(), pause: time.Millisecond,
		registry: []Entry{{Backbone: "net", URL: server.URL + "/net.pth", SHA256: hex.EncodeToString(sum[:4])}},
	}
}

func TestPull(t *testing.T) {
	for name, c := range map[string]struct {
		handler func(*published, http.ResponseWriter, *http.Request)
		asked   int
		resumed bool // the last request asked for the rest alone
	}{
		"whole":           {whole, 1, false},
		"cut and resumed": {resumable, 2, true},
		"without ranges":  {forgetful, 2, true},
		"busy at first":   {answer(500, 503), 3, false},
	} {
		t.Run(name, func(t *testing.T) {
			p, s := serve(t, c.handler)
			var last [2]int64
			path, err := s.Pull(context.Background(), "net", func(done, total int64) { last = [2]int64{done, total} })
			if err != nil {
				t.Fatal(err)
			}
			if raw, err := os.ReadFile(path); err != nil || !bytes.Equal(raw, p.body) {
				t.Errorf("%d bytes of %d arrived, %v", len(raw), len(p.body), err)
			}
			if p.asked != c.asked || c.resumed != (p.ranges[len(p.ranges)-1] == fmt.Sprintf("bytes=%d-", len(p.body)/3)) {
				t.Errorf("asked %d times, for ranges %q", p.asked, p.ranges)
			}
			if want := int64(len(p.body)); last != [2]int64{want, want} {
				t.Errorf("progress ended at %v, want %d", last, want)
			}
			if f, err := s.Open("net"); err != nil || len(f.Names()) != 1 {
				t.Errorf("opening it: %v", err)
			}
			if err := s.Verify("net"); err != nil {
				t.Error(err)
			}
			if _, err := s.Pull(context.Background(), "net", nil); err != nil || p.asked != c.asked {
				t.Errorf("pulling what is there: %v, asked %d times", err, p.asked)
			}
			if list, err := s.List(); err != nil || list[0].State != StatePresent {
				t.Errorf("%v, %v", list, err)
			}
			if left, _ := filepath.Glob(filepath.Join(s.Dir, "*.part")); len(left) > 0 {
				t.Errorf("left behind: %v", left)
			}
		})
	}
}

func TestPullThatFails(t *testing.T) {
	p, s := serve(t, answer(404))
	if _, err := s.Pull(context.Background(), "net", nil); err == nil || p.asked != 1 || !strings.Contains(err.Error(), "404") || !strings.Contains(err.Error(), "weights import net") {
		t.Errorf("not found: %v, asked %d times", err, p.asked)
	}
	_, s = serve(t, whole)
	s.registry[0].SHA256 = "00000000"
	if _, err := s.Pull(context.Background(), "net", nil); err == nil || !strings.Contains(err.Error(), "other bytes") || !strings.Contains(err.Error(), s.registry[0].URL) {
		t.Errorf("wrong bytes: %v", err)
	}
	if left, _ := filepath.Glob(filepath.Join(s.Dir, "*")); len(left) > 0 {
		t.Errorf("wrong bytes are kept: %v", left)
	}
	p, s = serve(t, answer(500, 500, 500, 500, 500))
	if _, err := s.Pull(context.Background(), "net", nil); err == nil || p.asked != pullTries {
		t.Errorf("always busy: %v, asked %d times", err, p.asked)
	}
	_, s = serve(t, whole)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := s.Pull(ctx, "net", nil); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
	if _, err := s.Pull(context.Background(), "nets", nil); err == nil {
		t.Error("an unknown backbone is pulled")
	}
}

func TestAnInterruptedPullGoesOnNextTime(t *testing.T) {
	p, s := serve(t, resumable)
	ctx, cancel := context.WithCancel(context.Background())
	if _, err := s.Pull(ctx, "net", func(done, _ int64) { cancel() }); err == nil {
		t.Fatal("a cancelled pull succeeded")
	}
	if _, err := s.Pull(context.Background(), "net", nil); err != nil {
		t.Fatal(err)
	}
	if p.ranges[len(p.ranges)-1] == "" {
		t.Errorf("it began anew: %q", p.ranges)
	}
}

func TestImportAndVerify(t *testing.T) {
	p, s := serve(t, whole)
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, []byte("no checkpoint"), 0o666); err != nil {
		t.Fatal(err)
	}
	if err := s.Import(context.Background(), "net", file); err == nil {
		t.Error("a text is imported")
	}
	_, err := s.Open("net")
	if err == nil || !strings.Contains(err.Error(), "blemish weights pull net") || !strings.Contains(err.Error(), "blemish weights import net FILE") {
		t.Errorf("absent: %v", err)
	}
	if err := os.WriteFile(file, p.body, 0o666); err != nil {
		t.Fatal(err)
	}
	if err := s.Import(context.Background(), "net", file); err != nil {
		t.Fatal(err)
	}
	if err := s.Verify("net"); err != nil {
		t.Error(err)
	}
	changed := bytes.Clone(p.body)
	changed[len(changed)-1] ^= 1
	if err := os.WriteFile(s.path(s.registry[0]), changed, 0o666); err != nil {
		t.Fatal(err)
	}
	if err := s.Verify("net"); err == nil || !strings.Contains(err.Error(), "damaged") {
		t.Errorf("a changed byte: %v", err)
	}
	if err := (&Store{Dir: t.TempDir()}).Import(context.Background(), "efficientnet-lite0", file); err == nil {
		t.Error("embedded weights are imported over")
	}
}

func TestKnownWeights(t *testing.T) {
	for _, e := range Registry() {
		if e.Licence == "" || !e.Embedded() && (!strings.HasPrefix(e.URL, "https://") || len(e.SHA256) < 8) {
			t.Errorf("%+v", e)
		}
	}
}
