package main

import (
	"fmt"
	"time"

	"github.com/schollz/progressbar/v3"
)

// progress shows how far long work has come: a bar with the time left on a terminal, a log line every few seconds elsewhere.
type progress struct {
	t    *terminal
	what string
	max  int64
	bar  *progressbar.ProgressBar // nil off a terminal
	last time.Time
	from time.Time
}

const progressEvery = 5 * time.Second

func newProgress(t *terminal, max int64, what string) *progress {
	p := &progress{t: t, what: what, max: max, from: time.Now(), last: time.Now()}
	if t.tty {
		p.bar = progressbar.NewOptions64(max, progressbar.OptionSetWriter(t.err), progressbar.OptionSetDescription(what),
			progressbar.OptionSetPredictTime(true), progressbar.OptionShowElapsedTimeOnFinish(), progressbar.OptionThrottle(100*time.Millisecond),
			progressbar.OptionSetWidth(30), progressbar.OptionClearOnFinish())
	}
	return p
}

// set notes how much is done.
func (p *progress) set(done int64) {
	if p.bar != nil {
		_ = p.bar.Set64(min(done, p.max)) // a bar that cannot be drawn is no reason to stop
		return
	}
	if now := time.Now(); now.Sub(p.last) >= progressEvery && p.max > 0 && done > 0 {
		p.last = now
		left := time.Duration(float64(now.Sub(p.from)) * (float64(p.max)/float64(done) - 1))
		p.t.log.Info().Str("done", fmt.Sprintf("%.0f %%", 100*float64(done)/float64(p.max))).Str("left", left.Round(time.Second).String()).Msg(p.what)
	}
}

// say prints a line without disturbing the bar.
func (p *progress) say(format string, args ...any) {
	if p.bar != nil {
		_ = p.bar.Clear()
	}
	fmt.Fprintf(p.t.err, format+"\n", args...)
}

func (p *progress) close() {
	if p.bar != nil {
		_ = p.bar.Finish()
	}
}
