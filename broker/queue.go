package broker

import (
	"context"
	"fmt"
	"slices"
	"sync"
)

// queue is the bounded line of messages between the connections' goroutines and the one that receives. A full queue makes put wait: that is the
// back-pressure. Who waits gets room in the order of coming, turnLength messages at a time: whoever has most to send must not starve the others.
type queue struct {
	mu       sync.Mutex
	messages []Message // [head:] are queued
	head     int
	usual    int             // how many were taken at once
	bytes    int             // cost of the queued ones
	waiting  []chan struct{} // who waits for room, in the order of coming; closed when it is its turn
	called   int             // whose turn it is and who have not come yet
	draining bool
	received [3]int64 // messages ever queued, by QoS
	payloads int64    // bytes of their payloads as published

	ready     chan struct{} // holds one token when there may be something to take
	maxLen    int
	maxWeight int
}

func newQueue(maxLen, maxBytes int) *queue {
	return &queue{ready: make(chan struct{}, 1), maxLen: maxLen, maxWeight: maxBytes}
}

// turnLength is how many messages a connection that has waited may queue before it waits behind the others again. A shorter turn costs more switching.
const turnLength = 64

// put appends messages, waiting for room. It is false, and the rest is not queued, when gone closes first or the queue drains. A message above the bound in
// bytes is queued when it is alone. turn is what the caller may queue before those that wait; put keeps it from call to call.
func (q *queue) put(messages []Message, turn *int, gone <-chan struct{}) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	for !q.draining {
		messages = messages[q.pushSome(messages, turn):]
		if len(messages) == 0 {
			return true
		}
		if !q.wait(*turn > 0, gone) {
			return false
		}
		if *turn == 0 {
			*turn = turnLength
		}
	}
	return false
}

// pushSome appends as many messages as there is room and the turn lasts, and gives how many. The lock is held.
func (q *queue) pushSome(messages []Message, turn *int) int {
	before := len(q.messages) - q.head
	n := 0
	for ; n < len(messages); n++ {
		queued := before + n
		fits := queued == 0 || (queued < q.maxLen && q.bytes+messages[n].cost() <= q.maxWeight)
		if !fits || (*turn == 0 && len(q.waiting)+q.called > 0) {
			break
		}
		*turn = max(0, *turn-1)
		q.push(&messages[n])
	}
	if before == 0 && n > 0 {
		q.wake()
	}
	return n
}

// wait waits for a turn behind the others, or before them in the middle of a turn. It is false when gone closes first. The lock is held, but not meanwhile.
func (q *queue) wait(first bool, gone <-chan struct{}) bool {
	place := len(q.waiting)
	if first {
		place = 0
	}
	mine := make(chan struct{})
	q.waiting = slices.Insert(q.waiting, place, mine)
	q.mu.Unlock()
	select {
	case <-mine:
		q.mu.Lock()
		q.called--
		return true
	case <-gone:
		q.mu.Lock()
	}
	if i := slices.Index(q.waiting, mine); i >= 0 {
		q.waiting = slices.Delete(q.waiting, i, i+1)
		return false
	}
	q.called-- // its turn came too late: it is the next one's
	q.call()
	return false
}

// call tells those whose turn it is, as many as there is room for. Each of them has a message to queue, so that there is always another take, which calls the
// next ones. The lock is held.
func (q *queue) call() {
	room := q.maxLen - (len(q.messages) - q.head) - q.called*turnLength
	n := 0
	for ; n < len(q.waiting) && room > 0 && q.bytes < q.maxWeight; n++ {
		close(q.waiting[n])
		room -= turnLength
	}
	q.called += n
	q.waiting = slices.Delete(q.waiting, 0, n)
}

// push appends with the lock held, reusing the room before head when the slice is full.
func (q *queue) push(m *Message) {
	if q.head > 0 && len(q.messages) == cap(q.messages) {
		q.moveUp()
	}
	if cap(q.messages) == 0 {
		q.messages = make([]Message, 0, q.usual)
	}
	q.messages = append(q.messages, *m)
	q.bytes += m.cost()
	q.received[m.QoS]++
	q.payloads += int64(m.Size)
}

// moveUp moves what is queued to the front of its slice. The lock is held.
func (q *queue) moveUp() {
	n := copy(q.messages, q.messages[q.head:])
	clear(q.messages[n:])
	q.messages, q.head = q.messages[:n], 0
}

func (q *queue) wake() {
	select {
	case q.ready <- struct{}{}:
	default:
	}
}

// take waits for a message and appends up to max of the queued ones to dst. When dst is empty and all may go, it gives the slice they are in and keeps that
// of dst for the next ones.
func (q *queue) take(ctx context.Context, dst []Message, max int) ([]Message, error) {
	for {
		q.mu.Lock()
		queued := q.messages[q.head:]
		if len(queued) > 0 {
			if max > 0 && len(queued) > max {
				dst = append(dst, queued[:max]...)
				q.release(queued[:max])
			} else {
				dst = q.exchange(dst)
			}
			q.mu.Unlock()
			return dst, nil
		}
		draining := q.draining
		q.mu.Unlock()
		if draining {
			return dst, ErrDrained
		}
		select {
		case <-q.ready:
		case <-ctx.Done():
			return dst, fmt.Errorf("receive messages: %w", context.Cause(ctx))
		}
	}
}

// exchange takes all messages. The lock is held.
func (q *queue) exchange(dst []Message) []Message {
	if queued := q.messages[q.head:]; len(dst) > 0 {
		dst = append(dst, queued...)
		clear(queued)
		q.messages = q.messages[:0]
	} else {
		if q.head > 0 { // or the room before it would be lost with every exchange
			q.moveUp()
		}
		dst, q.messages = q.messages, dst
		q.usual = len(dst)
	}
	q.head, q.bytes = 0, 0
	q.call()
	return dst
}

// release forgets taken messages that others follow, and lets those who wait try again. The lock is held.
func (q *queue) release(taken []Message) {
	for i := range taken {
		q.bytes -= taken[i].cost()
	}
	q.head += len(taken)
	clear(taken)
	q.call()
}

// drain makes put refuse from now on, and wakes everybody.
func (q *queue) drain() {
	q.mu.Lock()
	q.draining = true
	for _, w := range q.waiting {
		close(w)
	}
	q.called += len(q.waiting)
	q.waiting = nil
	q.mu.Unlock()
	q.wake()
}

// figures puts what the queue knows into st.
func (q *queue) figures(st *Stats) {
	q.mu.Lock()
	defer q.mu.Unlock()
	st.Queued, st.QueuedBytes = len(q.messages)-q.head, q.bytes
	st.Received, st.ReceivedBytes = q.received, q.payloads
}
