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
	"github.com/camrail/cidp/model"
	"github.com/camrail/cidp/store"
	"github.com/camrail/cidp/stream"
)

// line is one pass after another: messages in, a batch on disk, acknowledgements and publications out.
//
//	intake ──[]Message──▶ feed (owns windower and holds) ──pass──▶ commit ──▶ broker.Acknowledge
//	                        ▲                                        │
//	                        └──────────── sent ids ◀── publish ◀─────┘
//
// While pass n commits, pass n+1 fills. Each arrow is a channel; each box is one goroutine.
type line struct {
	broker   *broker.Broker
	db       *store.DB
	windower *stream.Windower
	scorer   *model.Scorer
	holds    map[int64]model.Hold // by sensor, owned by feed
	status   *status
	metrics  *metrics
	board    *board
	log      zerolog.Logger
	every    time.Duration // shortest time between the starts of two commits
	began    time.Time     // monotonic zero

	intake   chan []broker.Message
	passes   chan *pass
	done     chan error // one for every pass
	publish  chan []store.Publication
	wake     chan struct{} // publish has something for feed
	unsent   atomic.Int64  // publications handed to publish and not yet out
	sentMu   sync.Mutex
	sent     []int64 // published since the last commit, guarded by sentMu
	commitID int64

	filling *pass // owned by feed
}

// pass is what one commit holds and what follows it.
type pass struct {
	batch *store.Batch
	acks  []broker.Ack
}

const (
	maxBatch     = 50_000                 // messages a pass may hold: memory, and the time a commit takes
	receiveMax   = 4096                   // messages taken from the broker at once
	sentEvery    = 200 * time.Millisecond // how soon a commit follows that holds nothing but sent ids
	tickEvery    = time.Second
	firstRetry   = 50 * time.Millisecond
	longestRetry = 2 * time.Second
)

func newPass() *pass { return &pass{batch: &store.Batch{}} }

// run publishes what is still to be told from before, then works until the broker is drained and everything it gave is committed, acknowledged and
// published, or until an error that needs a restart. ctx cut short ends it at once.
func (l *line) run(ctx context.Context, again []store.Publication) error {
	l.intake, l.passes, l.done = make(chan []broker.Message), make(chan *pass, 1), make(chan error, 1)
	l.publish, l.wake = make(chan []store.Publication, 64), make(chan struct{}, 1)
	ctx, cancel := context.WithCancel(ctx)
	var workers sync.WaitGroup
	workers.Go(func() { l.receive(ctx) })
	workers.Go(func() { l.commitAll(ctx) })
	workers.Go(func() { l.publishAll(ctx) })
	if len(again) > 0 {
		l.unsent.Add(int64(len(again)))
		l.publish <- again
	}
	err := l.feed(ctx)
	close(l.passes)
	close(l.publish)
	cancel()
	workers.Wait()
	return err
}

// receive moves messages from the broker to feed, and closes intake when the broker is drained.
func (l *line) receive(ctx context.Context) {
	defer close(l.intake)
	for {
		messages, err := l.broker.Receive(ctx, nil, receiveMax)
		if err != nil {
			return
		}
		select {
		case l.intake <- messages:
		case <-ctx.Done():
			return
		}
	}
}

// feed owns the windower. It fills a pass while the one before commits, and hands it over when that is done and the cadence allows.
func (l *line) feed(ctx context.Context) error {
	tick := time.NewTicker(tickEvery)
	defer tick.Stop()
	cadence := time.NewTimer(0)
	defer cadence.Stop()
	intake, committing, draining := l.intake, false, false
	var last time.Time
	for {
		if !committing {
			switch wait := l.due(last, draining); {
			case wait == 0:
				l.seal()
				last, committing = time.Now(), true
			case wait > 0:
				cadence.Reset(wait)
			case draining && l.unsent.Load() == 0:
				return nil
			}
		}
		from := intake
		if len(l.filling.acks) >= maxBatch {
			from = nil
		}
		select {
		case messages, ok := <-from:
			if !ok {
				if ctx.Err() != nil {
					return fmt.Errorf("stop line: %w", ctx.Err())
				}
				intake, draining = nil, true
				continue
			}
			if err := l.take(messages); err != nil {
				return err
			}
		case err := <-l.done:
			if err != nil {
				return err
			}
			committing = false
		case <-cadence.C:
		case <-l.wake:
		case <-tick.C:
			if !draining { // stopping closes no window
				l.windower.Tick(time.Since(l.began), time.Now().UnixMilli())
			}
		case <-ctx.Done():
			return fmt.Errorf("stop line: %w", ctx.Err())
		}
	}
}

// due says how long the filling pass must still wait: 0 to commit now, below 0 when there is nothing to commit.
func (l *line) due(last time.Time, draining bool) time.Duration {
	every := l.every
	switch {
	case l.windower.Pending():
	case l.hasSent():
		every = sentEvery
	default:
		return -1
	}
	if draining {
		return 0
	}
	return max(0, every-time.Since(last))
}

func (l *line) hasSent() bool {
	l.sentMu.Lock()
	defer l.sentMu.Unlock()
	return len(l.sent) > 0
}

// take decodes and windows some messages into the filling pass.
func (l *line) take(messages []broker.Message) error {
	mono := time.Since(l.began)
	for i := range messages {
		m := &messages[i]
		in := stream.Message{Topic: m.Topic, Client: m.Client, Payload: m.Payload, Received: m.Received}
		var reason stream.Reason
		var err error
		if m.TooLarge {
			reason = stream.TooLarge
			l.windower.Refuse(in, reason, fmt.Sprintf("the payload has %d bytes; what is kept of it are the first %d", m.Size, len(m.Payload)))
		} else if reason, err = l.windower.Feed(in, mono); err != nil {
			return fmt.Errorf("feed message: %w", err)
		}
		l.filling.acks = append(l.filling.acks, broker.Ack{Message: *m, Outcome: outcome(reason)})
	}
	return nil
}

// outcome is what an MQTT 5 client is told. A reading from the future, or one that contradicts another, can be read: that it is refused is told by the
// tables, not by an error of the protocol.
func outcome(r stream.Reason) broker.Outcome {
	switch r {
	case stream.UnknownTopic, stream.BadName:
		return broker.TopicInvalid
	case stream.TooLarge, stream.Malformed, stream.MissingField, stream.NotFinite, stream.BadTime:
		return broker.PayloadInvalid
	}
	return broker.Accepted
}

// seal hands the filling pass to commit and begins a new one.
func (l *line) seal() {
	p := l.filling
	l.filling = newPass()
	p.batch.Batch = l.windower.Take()
	l.sentMu.Lock()
	p.batch.Sent, l.sent = l.sent, nil
	l.sentMu.Unlock()
	if p.batch.Messages > 0 || len(p.batch.Windows) > 0 {
		l.commitID++
		p.batch.ID = l.commitID
	}
	l.passes <- p
}

// commitAll commits one pass after another and tells feed of each.
func (l *line) commitAll(ctx context.Context) {
	for p := range l.passes {
		l.done <- l.commit(ctx, p)
	}
}

// commit writes a pass, again and again when the disk or the database refuses: nothing of it has happened until it succeeds, nobody is
// acknowledged, and publishers wait. An error it returns needs a restart.
func (l *line) commit(ctx context.Context, p *pass) error {
	wait := backoff.NewExponentialBackOff()
	wait.InitialInterval, wait.MaxInterval = firstRetry, longestRetry
	_, err := backoff.Retry(ctx, func() (struct{}, error) {
		p.batch.Committed = time.Now().UnixMilli()
		start := time.Now()
		err := l.db.Commit(p.batch)
		switch {
		case err == nil:
			l.metrics.committed(p.batch, time.Since(start))
			l.board.committed(p.batch)
		case errors.Is(err, store.ErrFatal):
			err = backoff.Permanent(err)
		}
		return struct{}{}, err
	}, backoff.WithBackOff(wait), backoff.WithMaxElapsedTime(0), backoff.WithNotify(func(err error, _ time.Duration) {
		l.metrics.commitFailures.Inc()
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
	l.broker.Acknowledge(p.acks)
	if out := p.batch.Outbox; len(out) > 0 {
		l.unsent.Add(int64(len(out)))
		select {
		case l.publish <- out:
		case <-ctx.Done():
		}
	}
	return nil
}

// publishAll tells the world what is on disk. What is told is marked sent in the next commit: delivery is at least once.
func (l *line) publishAll(ctx context.Context) {
	for out := range l.publish {
		sent := make([]int64, 0, len(out))
		for _, p := range out {
			if err := l.broker.Publish(p.Topic, p.Payload, p.Retain); err != nil {
				l.log.Warn().Err(err).Str("topic", p.Topic).Msg("publish failed; it is tried again at the next start")
				continue
			}
			if p.ID != 0 { // retained state told again at a start has none
				sent = append(sent, p.ID)
			}
		}
		l.metrics.published.Add(float64(len(sent)))
		l.sentMu.Lock()
		l.sent = append(l.sent, sent...)
		l.sentMu.Unlock()
		l.unsent.Add(-int64(len(out)))
		select {
		case l.wake <- struct{}{}:
		default:
		}
		if ctx.Err() != nil {
			return
		}
	}
}
