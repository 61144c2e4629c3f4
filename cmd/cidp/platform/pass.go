package platform

import (
	"fmt"
	"slices"
	"time"

	"github.com/camrail/cidp/broker"
	"github.com/camrail/cidp/store"
	"github.com/camrail/cidp/stream"
)

// pass is what one commit holds and what follows it.
type pass struct {
	batch   *store.Batch
	acks    []broker.Ack
	bytes   int  // of the payloads in acks
	windows int  // closed
	prompt  bool // the first message came just after an answer, and wants one

	releases []*release  // answered once the pass is on disk
	asks     []*modelAsk // likewise, one at most

	bySensor map[int64][]int // positions of predictions, the first indexed of them, once a revision asks
	indexed  int
}

// full says that the filling pass holds as much as memory, and the time a commit takes, allow.
func (l *line) full() bool {
	p := l.filling
	return len(p.acks) >= maxBatch || p.bytes >= maxBatchBytes || l.windower.Size() >= maxBatchSize || p.windows >= maxBatchWindows || l.windower.PutOff() >= maxPutOff
}

const (
	maxBatch      = 16_000  // messages in a pass: more would make commits of a second and hold twice the memory, for a tenth less work a reading
	maxBatchBytes = 8 << 20 // bytes of their payloads, but for the last one
	maxBatchSize  = 250_000 // readings, contexts and refusals in them, but for the last one

	// Windows closed in a pass, but for those of its last message. A fleet's windows close together: all of them in a pass would be a commit of seconds, and an alert among them would wait for it.
	maxBatchWindows = 1_000
	fewWindows      = 200    // that a pass takes at least before it puts further ones off: they take about as long as the cadence
	maxPutOff       = 10_000 // windows put off at which a pass takes no more messages

	takeAtOnce   = 256                  // readings after which take looks whether the pass may be committed
	expectAtOnce = 64                   // topics that the windower is told of before they are fed
	promptly     = 2 * time.Millisecond // how soon a publisher goes on that waited for its answer
)

// windowsAtMost is how many windows the next pass closes before it puts further ones off: twice as many as its readings will close where a window has sixty of them, and a quarter of what is put off already. A
// fleet's windows close together, and all of them in one pass would hold up everybody's answers; so they are spread over the next ones.
func (l *line) windowsAtMost() int {
	return min(max(fewWindows, l.size/30, l.windower.PutOff()/4), maxBatchWindows/2) // so that the pass is not full with them, and takes messages, too
}

func newPass() *pass { return &pass{batch: &store.Batch{}} }

// oneWaits says whether a single publisher seems to wait for each answer: its message was alone in the last pass, and is in this one, and came when that was answered, at once. Others, and
// publishers that do not wait, are answered at the cadence, which spares the disk.
func (l *line) oneWaits() bool {
	return l.filling.prompt && len(l.filling.acks) == 1 && l.filling.acks[0].Message.Client == l.alone
}

// gather takes what the broker has at hand.
func (l *line) gather() error {
	if len(l.waiting) > 0 {
		return nil
	}
	l.waiting = l.intake.now()
	return l.take()
}

// take decodes and windows what waits, until the filling pass is full, or may be committed: whoever commits is not kept waiting by what comes after.
func (l *line) take() error {
	mono := time.Since(l.began)
	p := l.filling
	if len(p.acks) == 0 && len(l.waiting) > 0 {
		p.prompt = l.waiting[0].QoS > 0 && !l.committing && time.Since(l.answered) < promptly
	}
	p.acks = slices.Grow(p.acks, min(len(l.waiting), maxBatch-len(p.acks)))
	look := l.windower.Size() + takeAtOnce
	for n := 0; len(l.waiting) > 0 && !l.full(); n++ {
		if n%expectAtOnce == 0 {
			l.expect()
		}
		if size := l.windower.Size(); size >= look {
			look = size + takeAtOnce
			if err := l.lookDone(); err != nil {
				return err
			}
			if !l.committing && l.due(l.intake.drained) == 0 {
				return nil
			}
		}
		m := &l.waiting[0]
		in := stream.Message{Topic: m.Topic, Client: m.Client, Payload: m.Payload, Received: m.Received}
		var reason stream.Reason
		var err error
		if m.TooLarge {
			reason = stream.TooLarge
			l.windower.Refuse(in, reason, fmt.Sprintf("the payload has %d bytes; what is kept of it are the first %d", m.Size, len(m.Payload)))
		} else if reason, err = l.windower.Feed(in, mono); err != nil {
			return fmt.Errorf("feed message: %w", err)
		}
		p.acks = p.acks[:len(p.acks)+1]
		p.acks[len(p.acks)-1].Message, p.acks[len(p.acks)-1].Outcome = *m, outcome(reason)
		p.bytes += len(m.Payload)
		l.waiting = l.waiting[1:]
	}
	if len(l.waiting) == 0 {
		l.intake.taken()
	}
	return nil
}

// expect tells the windower of the topics that come next.
func (l *line) expect() {
	l.topics = l.topics[:0]
	for i := range min(len(l.waiting), expectAtOnce) {
		if m := &l.waiting[i]; !m.TooLarge {
			l.topics = append(l.topics, m.Topic)
		}
	}
	l.windower.Expect(l.topics)
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
