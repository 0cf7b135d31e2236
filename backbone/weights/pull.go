package weights

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"
)

const (
	pullTries = 4
	pullPause = 500 * time.Millisecond // before the second try; doubled for each further one
)

// Pull downloads a backbone's weights from their publisher and returns the file's path. An interrupted download is resumed, by this call
// (a few times) or by the next; a file whose digest is wrong is thrown away and named. Weights already present are left alone.
func (s *Store) Pull(ctx context.Context, backbone string, progress func(done, total int64)) (string, error) {
	e, err := s.lookup(backbone)
	if err != nil {
		return "", err
	}
	if e.Embedded() {
		return "", fmt.Errorf("the weights of %s are part of the program: there is nothing to pull", backbone)
	}
	path := s.path(e)
	if _, err := os.Stat(path); err == nil {
		return path, s.Verify(backbone)
	} else if !errors.Is(err, fs.ErrNotExist) {
		return "", err
	}
	if err := os.MkdirAll(s.Dir, 0o777); err != nil {
		return "", err
	}
	part := path + ".part"
	pause := pullPause
	if s.pause > 0 {
		pause = s.pause
	}
	for try := 1; ; try++ {
		err = s.download(ctx, e.URL, part, progress)
		var final *finalError
		if err == nil || errors.As(err, &final) || ctx.Err() != nil || try == pullTries {
			break
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
		}
		pause *= 2
	}
	if err != nil {
		return "", fmt.Errorf("pulling %s from %s: %w\nwhere the network is closed, fetch that file elsewhere and\n  blemish weights import %s FILE",
			backbone, e.URL, err, backbone)
	}
	digest, err := fileDigest(part)
	if err != nil {
		return "", err
	}
	if !strings.HasPrefix(digest, e.SHA256) {
		if err := os.Remove(part); err != nil {
			return "", err
		}
		return "", fmt.Errorf("%s sent other bytes than published: SHA-256 %s, want %s…; they were thrown away", e.URL, digest, e.SHA256)
	}
	if err := s.writeDigest(e, digest); err != nil {
		return "", err
	}
	return path, os.Rename(part, path)
}

// finalError is an answer that another try will not change.
type finalError struct{ error }

// download appends what is missing of url to part.
func (s *Store) download(ctx context.Context, url, part string, progress func(done, total int64)) (err error) {
	f, err := os.OpenFile(part, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o666)
	if err != nil {
		return &finalError{err}
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	st, err := f.Stat()
	if err != nil {
		return &finalError{err}
	}
	have := st.Size()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return &finalError{err}
	}
	if have > 0 {
		req.Header.Set("Range", fmt.Sprintf("bytes=%d-", have))
	}
	client := s.Client
	if client == nil {
		client = http.DefaultClient
	}
	resp, err := client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	total := resp.ContentLength
	switch {
	case resp.StatusCode == http.StatusPartialContent && rangeStart(resp) == have:
		if total >= 0 {
			total += have
		}
	case resp.StatusCode == http.StatusOK: // the whole file, whatever was asked
		if err := f.Truncate(0); err != nil {
			return &finalError{err}
		}
		have = 0
	case resp.StatusCode == http.StatusRequestedRangeNotSatisfiable: // all of it is here already: the digest will tell
		return nil
	case resp.StatusCode >= 500:
		return fmt.Errorf("the server answered %s", resp.Status)
	default:
		return &finalError{fmt.Errorf("the server answered %s", resp.Status)}
	}
	n, err := io.Copy(f, &progressReader{resp.Body, have, total, progress})
	if err != nil {
		return err
	}
	if total >= 0 && have+n != total {
		return io.ErrUnexpectedEOF
	}
	return nil
}

// rangeStart is the first byte of a partial answer, -1 where it does not say.
func rangeStart(resp *http.Response) int64 {
	first, _, _ := strings.Cut(strings.TrimPrefix(resp.Header.Get("Content-Range"), "bytes "), "-")
	n, err := strconv.ParseInt(first, 10, 64)
	if err != nil {
		return -1
	}
	return n
}

type progressReader struct {
	r           io.Reader
	done, total int64
	report      func(done, total int64)
}

func (p *progressReader) Read(b []byte) (int, error) {
	n, err := p.r.Read(b)
	p.done += int64(n)
	if p.report != nil {
		p.report(p.done, p.total)
	}
	return n, err
}
