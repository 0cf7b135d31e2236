package main

import (
	"fmt"
	"io"
	"os"
	"time"

	"github.com/schollz/progressbar/v3"
	"golang.org/x/term"

	"github.com/blemish/blemish"
)

// progress shows how far each stage is: a bar with the time left on a terminal, else a plain line now and then.
type progress struct {
	w     io.Writer
	tty   bool
	stage string
	bar   *progressbar.ProgressBar
	began time.Time
	said  time.Time
}

func newProgress(w io.Writer) *progress {
	f, ok := w.(*os.File)
	return &progress{w: w, tty: ok && term.IsTerminal(int(f.Fd()))}
}

// plainInterval is the time between two plain lines of one stage.
const plainInterval = 5 * time.Second

func (p *progress) report(now blemish.Progress) {
	if now.Stage != p.stage {
		p.finish()
		p.stage, p.began, p.said = now.Stage, time.Now(), time.Now()
		if p.tty {
			p.bar = progressbar.NewOptions(max(now.Total, -1),
				progressbar.OptionSetWriter(p.w), progressbar.OptionSetDescription(fmt.Sprintf("%-24s", now.Stage)),
				progressbar.OptionSetPredictTime(true), progressbar.OptionShowCount(), progressbar.OptionThrottle(100*time.Millisecond),
				progressbar.OptionClearOnFinish())
		}
	}
	if p.bar != nil {
		p.bar.Set(now.Done)
		return
	}
	if !p.tty && (now.Done == now.Total || time.Since(p.said) >= plainInterval) {
		p.said = time.Now()
		spent := time.Since(p.began)
		line := fmt.Sprintf("%s: %d/%d, %s", now.Stage, now.Done, now.Total, spent.Round(100*time.Millisecond))
		if now.Done > 0 && now.Done < now.Total {
			left := time.Duration(float64(spent) / float64(now.Done) * float64(now.Total-now.Done))
			line += fmt.Sprintf(", about %s left", left.Round(time.Second))
		}
		fmt.Fprintln(p.w, line)
	}
}

// finish clears the bar, so that what is printed next starts on a clean line.
func (p *progress) finish() {
	if p.bar != nil {
		p.bar.Clear()
		p.bar = nil
	}
	p.stage = ""
}
