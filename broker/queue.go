package broker

import (
	"context"
	"fmt"
	"sync"
)

// queue is the bounded line of messages between the connections' goroutines and the one that receives. A full queue makes put wait: that is the
// back-pressure.
type queue struct {
	mu       sync.Mutex
	messages []Message // [head:] are queued
	head     int
	bytes    int           // cost of the queued ones
	space    chan struct{} // closed and replaced when room appears; nil while nobody waits
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

// put appends m, waiting for room. It is false, and m not queued, when gone closes first or the queue drains. A message above
// the bound in bytes is queued when it is alone.
func (q *queue) put(m *Message, gone <-chan struct{}) bool {
	for {
		q.mu.Lock()
		if q.draining {
			q.mu.Unlock()
			return false
		}
		n := len(q.messages) - q.head
		if n == 0 || (n < q.maxLen && q.bytes+m.cost() <= q.maxWeight) {
			q.push(m)
			q.mu.Unlock()
			if n == 0 {
				q.wake()
			}
			return true
		}
		if q.space == nil {
			q.space = make(chan struct{})
		}
		space := q.space
		q.mu.Unlock()
		select {
		case <-space:
		case <-gone:
			return false
		}
	}
}

// push appends with the lock held, reusing the room before head when the slice is full.
func (q *queue) push(m *Message) {
	if q.head > 0 && len(q.messages) == cap(q.messages) {
		n := copy(q.messages, q.messages[q.head:])
		clear(q.messages[n:])
		q.messages, q.head = q.messages[:n], 0
	}
	q.messages = append(q.messages, *m)
	q.bytes += m.cost()
	q.received[m.QoS]++
	q.payloads += int64(m.Size)
}

func (q *queue) wake() {
	select {
	case q.ready <- struct{}{}:
	default:
	}
}

// take waits for a message and appends up to max of the queued ones to dst.
func (q *queue) take(ctx context.Context, dst []Message, max int) ([]Message, error) {
	for {
		q.mu.Lock()
		queued := q.messages[q.head:]
		if max > 0 && len(queued) > max {
			queued = queued[:max]
		}
		if len(queued) > 0 {
			dst = append(dst, queued...)
			q.release(queued)
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

// release forgets the taken messages and lets those who wait try again. The lock is held.
func (q *queue) release(taken []Message) {
	for i := range taken {
		q.bytes -= taken[i].cost()
	}
	q.head += len(taken)
	clear(taken)
	if q.head == len(q.messages) {
		q.messages, q.head = q.messages[:0], 0
	}
	if q.space != nil {
		close(q.space)
		q.space = nil
	}
}

// drain makes put refuse from now on, and wakes everybody.
func (q *queue) drain() {
	q.mu.Lock()
	q.draining = true
	if q.space != nil {
		close(q.space)
		q.space = nil
	}
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
