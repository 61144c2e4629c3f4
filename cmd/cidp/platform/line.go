package platform

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cenkalti/backoff/v5"
	"github.com/rs/zerolog"

	"github.com/camrail/cidp/broker"
	"github.com/camrail/cidp/cmd/cidp/models"
	"github.com/camrail/cidp/model"
	"github.com/camrail/cidp/store"
	"github.com/camrail/cidp/stream"
)

// line is one pass after another: messages in, a batch on disk, acknowledgements and publications out.
//
//	receive ──[]Message──▶ feed (owns windower and holds) ──pass──▶ commit ──▶ broker.Acknowledge
//	                         ▲                                        │
//	                         └──────────── sent ids ◀── publish ◀─────┘
//
// While pass n commits, pass n+1 fills. Each arrow is a channel; each box is one goroutine. While nothing can be committed yet, feed asks the broker itself (intake.go).
type line struct {
	broker   messages
	atHand   bool // they come from no device: time does not pass, nobody is silent, and nothing is told
	db       *store.DB
	file     *databaseFile
	admit    func() error // why nothing may be committed now
	windower *stream.Windower
	past     holdHistory
	scorer   *model.Scorer
	holds    bySensor[model.Hold] // owned by feed
	shown    map[string][]shown   // alerts that stand told, by topic, owned by feed
	hot      bySensor[hot]        // owned by feed
	standing map[standingKey]model.Alert
	hold     withholding
	pages    func() *store.Console
	status   *status
	metrics  *metrics
	board    *board
	clocks   *clocks
	drift    *drift
	log      zerolog.Logger
	step     func(string)
	config   *inForce
	configs  chan *configuration    // to be put in force
	releases chan *release          // to be put back
	registry *models.Registry       // state of every model, owned by feed
	using    *inUse                 // what the filling pass is scored with, owned by feed
	use      *atomic.Pointer[inUse] // what the newest commit was
	asks     chan *modelAsk         // what is asked of models
	began    time.Time              // zero of the windower's monotonic time, owned by feed

	intake   intake
	passes   chan *pass
	done     chan error               // one for every pass
	enough   chan struct{}            // closed when what is not yet in a pass is to be left
	publish  chan []store.Publication // commit closes it
	wake     chan struct{}            // publish has something for feed
	unsent   atomic.Int64             // publications handed to publish and not yet out
	sentMu   sync.Mutex
	sent     []int64 // published since the last commit, guarded by sentMu
	commitID int64

	// Owned by feed.
	filling    *pass
	onDisk     *stream.Batch           // sealed last: nobody reads it any more once the next pass is sealed
	next       *configuration          // waits for the end of the filling pass
	asked      *modelAsk               // likewise
	waiting    []broker.Message        // taken from the broker, and in no pass yet: more than a moment only when the filling one is full
	topics     []string                // scratch of expect
	payload    []byte                  // scratch of tellScored
	released   map[int64]store.Outcome // what became of messages put back since the start: their rows may not say so yet
	remember   bool                    // sessions changed
	swept      bool                    // they were asked for the last time
	committing bool                    // a pass is with commit
	cadence    cadence                 // of commits
	size       int                     // readings, contexts and refusals in it
	answered   time.Time               // when the last one was done
	alone      string                  // client of the only message in the last pass that had any; empty: it had more
	failed     error                   // of a look-up while scoring: fatal
}

const (
	sentEvery    = 200 * time.Millisecond // how soon a commit follows that holds nothing but sent ids
	tickEvery    = time.Second
	sealLong     = 200 * time.Millisecond // a seal that takes longer is no time of silence
	firstRetry   = 50 * time.Millisecond
	longestRetry = 2 * time.Second
)

// run publishes what is still to be told from before, then works until the broker is drained and everything it gave is committed, acknowledged and
// published, or until an error that needs a restart. ctx cut short ends it at once.
func (l *line) run(ctx context.Context, again []store.Publication) error {
	l.began = time.Now() // recovery was no silence
	l.windower.CloseDue(l.windowsAtMost())
	l.intake = newIntake(l.broker)
	l.passes, l.done = make(chan *pass, 1), make(chan error, 1)
	l.publish, l.wake = make(chan []store.Publication, 64), make(chan struct{}, 1)
	ctx, cancel := context.WithCancel(ctx)
	var workers sync.WaitGroup
	workers.Go(func() { l.intake.receive(ctx) })
	workers.Go(func() { l.commitAll(ctx) })
	workers.Go(func() { l.publishAll(ctx) })
	if len(again) > 0 {
		l.unsent.Add(int64(len(again)))
		l.publish <- again
	}
	err := l.feed(ctx)
	close(l.passes)
	close(l.intake.asks)
	cancel()
	workers.Wait()
	return err
}

// feed owns the windower. It fills a pass while the one before commits, and hands it over when that is done and the cadence allows.
func (l *line) feed(ctx context.Context) error {
	tick := time.NewTicker(tickEvery)
	defer tick.Stop()
	cadence := time.NewTimer(0)
	defer cadence.Stop()
	in, enough := &l.intake, l.enough
	defer in.look.Stop()
	for {
		if end, err := l.commitWhenDue(cadence, in.drained); end || err != nil {
			return err
		}
		held := len(l.waiting) > 0
		if held && !l.committing { // the commit was done before all was taken
			continue
		}
		from := in.next(held, l.committing || !l.cadence.passed(time.Now(), l.windower.Size()))
		configs, releases, asks := l.configs, l.releases, l.asks
		if in.drained { // the next start reads the file anew
			configs, releases, asks = nil, nil, nil
		}
		if l.asked != nil {
			asks = nil
		}
		if held {
			releases = nil
		}
		begin := time.Now()
		select {
		case messages, ok := <-from:
			if !ok && ctx.Err() != nil {
				return fmt.Errorf("stop line: %w", ctx.Err())
			}
			l.waiting = in.came(messages, ok)
			if err := l.lookDone(); err != nil { // who is answered may be faster than this goroutine
				return err
			}
			if err := l.take(); err != nil {
				return err
			}
		case <-in.look.C:
			in.looking = false
			if err := l.gather(); err != nil {
				return err
			}
		case err := <-l.done:
			if err := l.committed(err); err != nil {
				return err
			}
		case <-cadence.C:
		case <-l.wake:
		case <-l.broker.SessionsChanged():
			l.remember = true
		case l.next = <-configs:
			l.reconfigure()
		case l.asked = <-asks:
			l.exchange()
		case r := <-releases:
			if err := l.putBack(r); err != nil {
				return err
			}
		case <-tick.C:
			if err := l.file.check(); err != nil {
				return err
			}
			l.guardAll()
			if !in.drained && !held && !l.atHand { // stopping closes no window, and who is held back is not silent
				l.windower.Tick(time.Since(l.began), time.Now().UnixMilli())
			}
		case <-enough:
			l.leave()
			enough = nil
		case <-ctx.Done():
			return fmt.Errorf("stop line: %w", ctx.Err())
		}
		if held {
			l.began = l.began.Add(time.Since(begin))
		}
	}
}

// committed notes that the pass with commit is done.
func (l *line) committed(err error) error {
	l.committing, l.answered = false, time.Now()
	return err
}

// lookDone notes it if it is, and does not wait.
func (l *line) lookDone() error {
	select {
	case err := <-l.done:
		return l.committed(err)
	default:
		return nil
	}
}

// commitWhenDue hands the filling pass over when it is due, and says whether that was the last one of a line that drains.
func (l *line) commitWhenDue(cadence *time.Timer, draining bool) (end bool, err error) {
	if l.committing {
		return false, nil
	}
	told := l.unsent.Load() == 0 // asked before due, so that what was told last is marked sent
	switch wait := l.due(draining); {
	case wait == 0:
		start := time.Now()                // the cadence is that of starts: what gathering and sealing take is within it
		if err := l.gather(); err != nil { // of what has come since feed looked last, as much as takes no time
			return false, err
		}
		if err := l.seal(); err != nil {
			return false, err
		}
		l.cadence.began(start, l.size) // not before: gather would not see that a commit is due, and take all there is
		l.committing = true
		l.reconfigure()
		l.exchange()
		l.windower.CloseDue(l.windowsAtMost())
		return false, l.take()
	case wait > 0:
		cadence.Reset(wait)
	case draining && told && !l.swept: // once more, for what subscribers acknowledged since
		l.swept, l.remember = true, true
		return l.commitWhenDue(cadence, draining)
	case draining && told:
		return true, nil
	}
	return false, nil
}

// leave lets go of what no pass has taken yet: there is no time left for it.
func (l *line) leave() {
	left := len(l.waiting) + l.intake.leave()
	l.waiting = nil
	if left > 0 {
		l.log.Warn().Int("messages", left).
			Msg("too much was under way for a stop in time: the rest is not acknowledged, and its senders will send it again")
	}
}

// due says how long the filling pass must still wait: 0 to commit now, below 0 when there is nothing to commit.
func (l *line) due(draining bool) time.Duration {
	every := l.cadence.period(l.windower.Size())
	switch {
	case l.windower.Pending(), len(l.filling.releases) > 0, len(l.filling.asks) > 0, l.asked != nil, l.remember, l.filling.batch.Config != nil && l.commitID > 0:
	case l.hasSent():
		every = sentEvery
	default:
		return -1
	}
	if draining || l.full() || l.oneWaits() {
		return 0
	}
	return max(0, every-time.Since(l.cadence.last))
}

func (l *line) hasSent() bool {
	l.sentMu.Lock()
	defer l.sentMu.Unlock()
	return len(l.sent) > 0
}

// seal hands the filling pass to commit and begins a new one. What late readings revise is made before: it belongs to their commit.
func (l *line) seal() error {
	begin := time.Now()
	defer func() { // nothing was taken meanwhile: nobody was silent
		if took := time.Since(begin); took > sealLong {
			l.began = l.began.Add(took)
		}
	}()
	if err := errors.Join(l.windower.MakeRevisions(), l.failed); err != nil {
		return fmt.Errorf("revise windows: %w", err)
	}
	p := l.filling
	l.size = l.windower.Size()
	p.batch.Batch = l.windower.Take()
	l.windower.Reuse(l.onDisk)
	l.onDisk = p.batch.Batch // by when the next pass is sealed
	l.settleReleases(p)
	l.raise(p.batch.Batch)
	l.hold.watchAll(p.batch.Batch)
	if len(p.batch.Failsafes) > 0 {
		l.guardAll()
	}
	l.drift.fold(p.batch)
	p.batch.Withhold = l.hold.changed()
	if n := len(p.acks); n > 1 {
		l.alone = ""
	} else if n == 1 {
		l.alone = p.acks[0].Message.Client
	}
	l.filling = newPass()
	l.filling.acks = l.broker.Room(len(p.acks)) // growing to as many would copy each twice
	l.sentMu.Lock()
	p.batch.Sent, l.sent = l.sent, nil
	l.sentMu.Unlock()
	p.batch.Sessions, l.remember = sessionChanges(l.broker.SessionChanges()), false // after Sent: what was told is owed in the same commit
	if p.batch.Config != nil {
		nameChanged(p.batch.Config, p.batch.Changed)
	}
	if p.batch.Messages > 0 || len(p.batch.Windows) > 0 || len(p.batch.Transitions) > 0 || len(p.batch.Changed) > 0 || len(p.batch.Releases) > 0 || len(p.batch.Models) > 0 || p.batch.Config != nil {
		l.commitID++
		p.batch.ID = l.commitID
	}
	l.passes <- p
	return nil
}

// commitAll commits one pass after another and tells feed of each.
func (l *line) commitAll(ctx context.Context) {
	defer close(l.publish)
	for p := range l.passes {
		l.done <- l.commit(ctx, p)
	}
}

// commit writes a pass, again and again when the disk or the database refuses: nothing of it has happened until it succeeds, nobody is
// acknowledged, and publishers wait. An error it returns needs a restart.
func (l *line) commit(ctx context.Context, p *pass) error {
	_, err := backoff.Retry(ctx, func() (struct{}, error) {
		p.batch.Committed = time.Now().UnixMilli()
		start := time.Now()
		err := l.admit()
		if errors.Is(err, store.ErrFatal) {
			return struct{}{}, backoff.Permanent(err)
		} else if err != nil {
			return struct{}{}, err
		}
		if err = l.db.Commit(p.batch); err == nil {
			err = l.file.check()
		}
		switch {
		case err == nil:
			l.metrics.committed(p.batch, time.Since(start))
			l.board.committed(p.batch)
			l.clocks.committed(p.batch.Clocks)
		case errors.Is(err, store.ErrFatal), errors.Is(err, errMoved):
			err = backoff.Permanent(err)
		}
		return struct{}{}, err
	}, backoff.WithBackOff(retries()), backoff.WithMaxElapsedTime(0), backoff.WithNotify(func(err error, _ time.Duration) {
		l.metrics.commitFailures.Inc()
		if l.admit() != nil { // the keeper has told of it
			return
		}
		if l.status.degrade(reasonStore, err.Error()) {
			l.log.Error().Err(err).Msg("commit failed: nothing is acknowledged until it succeeds")
		}
	}))
	if err != nil {
		return fmt.Errorf("commit batch: %w", err)
	}
	if l.status.heal(reasonStore) {
		l.log.Info().Msg("commits succeed again")
	}
	l.step(StepCommitted)
	for _, r := range p.releases {
		close(r.done)
	}
	for _, a := range p.asks {
		l.exchanged(a)
	}
	l.broker.Acknowledge(p.acks)
	l.step(StepAcknowledged)
	if out := p.batch.Outbox; len(out) > 0 {
		l.unsent.Add(int64(len(out)))
		select {
		case l.publish <- out:
		case <-ctx.Done():
		}
	}
	return nil
}
