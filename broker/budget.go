package broker

import (
	"cmp"
	"slices"
	"sync/atomic"
)

// What things take of Config.HeldBytes beside their bytes, rounded up.
const (
	parcelCost   = 384 // a message in a session: the parcel, its message, its places in a map and a queue
	receivedCost = 64  // a packet id of a QoS 2 message not yet released
	aliasCost    = 64
)

// Shares of Config.HeldBytes: what each kind of message may fill it up to. Outputs may fill it, and then the heaviest give way.
const (
	telemetryShare = 0.5
	storedShare    = 0.75
	afterShedding  = 0.875
)

// budget counts the bytes that clients make us hold by being slow, away or lavish: what waits to be written to them, what sessions keep for them, their
// wills and topic aliases. All of the broker shares one.
type budget struct {
	limit   int64
	used    atomic.Int64
	leaving atomic.Int64  // part of used that goes when connections that gave way have ended
	over    chan struct{} // holds one token when there is too much
}

func (h *budget) init(limit int) {
	h.limit = int64(limit)
	h.over = make(chan struct{}, 1)
}

// add counts n more bytes, or fewer.
func (h *budget) add(n int) {
	if h.used.Add(int64(n)); n > 0 {
		h.tell()
	}
}

// left says that n bytes that were leaving are gone, or stay after all.
func (h *budget) left(n int) {
	h.leaving.Add(-int64(n))
	h.tell()
}

// tell tells relieve when there is too much.
func (h *budget) tell() {
	if !h.exceeded() {
		return
	}
	select {
	case h.over <- struct{}{}:
	default:
	}
}

// room says whether n more bytes keep to a share of the limit.
func (h *budget) room(n int, share float64) bool {
	return h.used.Load()+int64(n) <= int64(share*float64(h.limit))
}

// excess is by how much the bytes that stay exceed the limit.
func (h *budget) excess() int64 { return h.used.Load() - h.leaving.Load() - h.limit }

func (h *budget) exceeded() bool { return h.excess() > 0 }

// relieve sheds whenever there is too much, until the broker stops. Publishing does not wait for it but sheds by itself.
func (b *Broker) relieve() {
	for {
		select {
		case <-b.held.over:
			b.shed()
		case <-b.stopped:
			return
		}
	}
}

// holder is a client with what is held for it.
type holder struct {
	weight  int
	conn    *conn    // nil when it is away
	session *session // nil before CONNACK
}

// stranger says whether nobody knows who it is: its CONNECT is not answered.
func (h *holder) stranger() bool { return h.session == nil && !h.conn.connected.Load() }

// shed takes from the heaviest clients until an eighth of the limit is free, or will be when those who gave way have left: their connection is cut and
// what their session keeps is dropped. Those who have not even connected go before all others. A lasting session is told the newest retained states
// when its client returns; messages that clear a state go only when all else did not suffice. The routing lock may be held.
func (b *Broker) shed() {
	b.shedding.Lock()
	defer b.shedding.Unlock()
	need := b.held.excess()
	if need <= 0 {
		return
	}
	need += b.held.limit - int64(afterShedding*float64(b.held.limit))
	clients := 0
	for _, clears := range []bool{false, true} {
		if need <= 0 {
			break
		}
		for _, h := range b.heaviest() {
			if need <= 0 {
				break
			}
			if freed := b.relinquish(h, clears); freed > 0 {
				need -= int64(freed)
				clients++
			}
		}
	}
	if clients == 0 {
		return
	}
	b.counters.shed.Add(int64(clients))
	b.clientLog.Warn().Int("clients", clients).Int64("limit_bytes", b.held.limit).
		Msg("too much is held for slow and absent clients: the heaviest lose it")
}

// relinquish takes from one client and gives the bytes that are free now or will be when its connection has ended.
func (b *Broker) relinquish(h holder, clears bool) (freed int) {
	if h.session == nil {
		return h.conn.giveWay()
	}
	n, freed := h.session.empty(clears)
	b.counters.deliveriesDropped.Add(int64(n))
	if w := b.cancelWill(h.session); w != nil {
		b.counters.willsDropped.Add(1)
		freed += w.cost
	}
	return freed
}

// giveWay cuts the connection and gives the bytes that go with it, those included that go when it ends. Its will goes too if the queue has no room. It
// gives way once: then there is nothing more to be had.
func (c *conn) giveWay() int {
	weight := c.weight()
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.gaveWay {
		return 0
	}
	c.gaveWay = true
	c.counters.slowClosed.Add(1)
	before := c.backlog
	c.breakLocked()
	if c.will != nil && c.connected.Load() {
		close(c.will.void)
	}
	c.leaving = max(0, weight-(before-c.backlog))
	c.held.leaving.Add(int64(c.leaving))
	return weight
}

// end takes what is left of an ended connection off the books.
func (c *conn) end() {
	c.held.add(-int(c.lavish.Swap(0)))
	c.mu.Lock()
	defer c.mu.Unlock()
	c.gaveWay = true // it has nothing more to give
	c.held.left(c.leaving)
	c.leaving = 0
}

// heaviest lists who holds anything, strangers and then the heaviest first.
func (b *Broker) heaviest() []holder {
	of := map[*conn]int{}
	var all []holder
	for _, s := range b.registry.list() {
		w, c := s.weight()
		if c != nil {
			w += c.weight()
		}
		if w == 0 {
			continue
		}
		if c != nil {
			of[c] = len(all)
		}
		all = append(all, holder{weight: w, conn: c, session: s})
	}
	for _, c := range b.open.list() {
		if _, known := of[c]; known {
			continue
		}
		if w := c.weight(); w > 0 {
			all = append(all, holder{weight: w, conn: c})
		}
	}
	slices.SortFunc(all, func(a, b holder) int {
		if sa, sb := a.stranger(), b.stranger(); sa != sb {
			if sa {
				return -1
			}
			return 1
		}
		return cmp.Compare(b.weight, a.weight)
	})
	return all
}
