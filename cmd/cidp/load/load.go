package load

import (
	"errors"
	"fmt"
	"math"
	"sync"
	"time"
)

// Load is a running generator.
//
// Goroutines: flat out two a connection, one that writes and one that reads acknowledgements; paced one that reads a connection, and the pacer, which writes on all of
// them in turn.
type Load struct {
	Plan  Plan
	conns []*conn
	body  payload
	table timetable
	start time.Time
	stop  chan struct{} // closed when nothing more is sent

	writing sync.WaitGroup // those who publish
	reading sync.WaitGroup // those who read acknowledgements

	once sync.Once
	mu   sync.Mutex // guards lag
	lag  time.Duration
}

// Start connects everything, then begins to publish.
func Start(addr string, plan Plan) (*Load, error) {
	if err := plan.Validate(); err != nil {
		return nil, fmt.Errorf("check load: %w", err)
	}
	l := &Load{Plan: plan, stop: make(chan struct{}), body: encodePayload(plan.Batch)}
	if plan.Rate > 0 {
		l.table = plan.timetable()
	}
	for k := range plan.Conns {
		c, err := dial(l, addr, k)
		if err != nil {
			l.Close()
			return nil, err
		}
		l.conns = append(l.conns, c)
	}
	l.start = time.Now()
	if plan.paced() {
		l.writing.Go(l.pace)
	}
	for _, c := range l.conns {
		if !plan.paced() {
			l.writing.Go(c.publish)
		}
		l.reading.Go(c.read)
	}
	return l, nil
}

// paceStep is how often the pacer looks what is due. A message may go out so much later than it was due; that counts as latency.
const paceStep = time.Millisecond

// pace keeps the timetable of all connections. What a connection has no room for stays due.
func (l *Load) pace() {
	tick := time.NewTicker(paceStep)
	defer tick.Stop()
	next := uint64(0) // turns are numbered: connection next % conns, group next / conns
	for {
		now := time.Since(l.start)
		for ; ; next++ {
			c, group := l.conns[next%uint64(len(l.conns))], next/uint64(len(l.conns))
			due := l.table.due(c.index, group*l.table.group)
			if due > now {
				break
			}
			l.late(time.Since(l.start) - due)
			if l.stopped() {
				return
			}
			c.catchUp((group + 1) * l.table.group)
		}
		select {
		case <-tick.C:
		case <-l.stop:
			return
		}
	}
}

// catchUp sends what a connection has due, as far as there is room.
func (c *conn) catchUp(due uint64) {
	for !c.load.stopped() {
		c.mu.Lock()
		n := due - min(due, c.sent)
		if c.load.Plan.QoS > 0 {
			n = min(n, uint64(c.load.Plan.Window)-(c.sent-c.done))
		}
		c.mu.Unlock()
		if n == 0 || !c.send(n) {
			return
		}
	}
}

func (l *Load) late(d time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lag = max(l.lag, d)
}

func (l *Load) stopped() bool {
	select {
	case <-l.stop:
		return true
	default:
		return false
	}
}

// Stop ends the publishing. What was sent is still acknowledged.
func (l *Load) Stop() {
	l.once.Do(func() { close(l.stop) })
	for _, c := range l.conns {
		c.mu.Lock()
		c.room.Broadcast()
		c.mu.Unlock()
	}
}

// Finish stops, waits until everything that was sent is acknowledged, and ends the connections. The error says which connections had ended before, and what is not
// acknowledged when patience is over.
func (l *Load) Finish(patience time.Duration) error {
	l.Stop()
	written := make(chan struct{})
	go func() {
		l.writing.Wait()
		close(written)
	}()
	end := time.Now().Add(patience)
	select {
	case <-written: // no message is cut off in the middle
	case <-time.After(patience):
	}
	for l.Plan.QoS > 0 && !l.settled() && time.Now().Before(end) {
		time.Sleep(2 * time.Millisecond)
	}
	var failed []error
	for _, c := range l.conns {
		c.mu.Lock()
		if c.err != nil {
			failed = append(failed, fmt.Errorf("connection %s ended: %w", c.id, c.err))
		} else if l.Plan.QoS > 0 && c.done < c.sent {
			failed = append(failed, fmt.Errorf("connection %s: %d messages are not acknowledged after %s", c.id, c.sent-c.done, patience))
		}
		c.mu.Unlock()
	}
	l.Close()
	return errors.Join(failed...)
}

// settled says whether nothing is under way, or nobody is left to tell.
func (l *Load) settled() bool {
	for _, c := range l.conns {
		c.mu.Lock()
		open := !c.over && c.done < c.sent
		c.mu.Unlock()
		if open {
			return false
		}
	}
	return true
}

// Close says goodbye and ends every connection.
func (l *Load) Close() {
	l.Stop()
	for _, c := range l.conns {
		c.goodbye()
	}
	l.writing.Wait()
	l.reading.Wait()
}

// Figures is where a load stands.
type Figures struct {
	Sent, Acked uint64        // messages
	Behind      uint64        // messages that were due and are not sent
	Latency     Latencies     // since last asked
	Lag         time.Duration // paced: the latest that a turn came since last asked, whether the machine or a connection that took nothing held it up
	Blocked     float64       // share of the time in which a writer had something to send and could not
}

// Figures adds up what the connections know.
func (l *Load) Figures() Figures {
	var f Figures
	now, blocked := time.Since(l.start), time.Duration(0)
	for _, c := range l.conns {
		due := uint64(0)
		if l.Plan.Rate > 0 {
			due = l.table.until(c.index, now)
		}
		c.mu.Lock()
		f.Sent += c.sent
		f.Acked += c.acked
		f.Behind += due - min(due, c.sent)
		f.Latency.Join(&c.latency)
		c.latency = Latencies{}
		c.mu.Unlock()
		blocked += c.writer.waited(now)
	}
	l.mu.Lock()
	f.Lag, l.lag = l.lag, 0
	l.mu.Unlock()
	f.Blocked = blocked.Seconds() / float64(len(l.conns)) / now.Seconds()
	return f
}

// Acked is how many messages are acknowledged by now.
func (l *Load) Acked() (n uint64) {
	for k := range l.conns {
		n += l.AckedOf(k)
	}
	return n
}

// AckedOf is how many of them are a connection's: the first ones.
func (l *Load) AckedOf(conn int) uint64 {
	c := l.conns[conn]
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.acked
}

// Readings is how many readings were sent.
func (l *Load) Readings() (n int64) {
	for _, c := range l.conns {
		c.mu.Lock()
		n += int64(c.sent) * int64(l.Plan.Batch)
		c.mu.Unlock()
	}
	return n
}

// Started is when the publishing began.
func (l *Load) Started() time.Time { return l.start }

// Spread gives the least and the greatest number of messages of one connection that were acknowledged.
func (l *Load) Spread() (least, greatest uint64) {
	least = math.MaxUint64
	for k := range l.conns {
		n := l.AckedOf(k)
		least, greatest = min(least, n), max(greatest, n)
	}
	return least, greatest
}
