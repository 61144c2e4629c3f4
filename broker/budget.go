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
	limit int64
	used  atomic.Int64
	over  chan struct{} // holds one token when there is too much
}

func (h *budget) init(limit int) {
	h.limit = int64(limit)
	h.over = make(chan struct{}, 1)
}

// add counts n more bytes, or fewer.
func (h *budget) add(n int) {
	if h.used.Add(int64(n)) <= h.limit || n <= 0 {
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

func (h *budget) exceeded() bool { return h.used.Load() > h.limit }

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
	session *session // nil before CONNECT
}

// shed takes from the heaviest clients until an eighth of the limit is free: their connection is cut and what their session keeps is dropped. A lasting
// session is told the newest retained states when its client returns. The routing lock may be held.
func (b *Broker) shed() {
	b.shedding.Lock()
	defer b.shedding.Unlock()
	if !b.held.exceeded() {
		return
	}
	clients, leaving := 0, int64(0) // leaving goes as soon as the writers of cut connections notice
	for _, h := range b.heaviest() {
		if b.held.used.Load()-leaving <= int64(afterShedding*float64(b.held.limit)) {
			break
		}
		clients++
		if h.conn != nil {
			b.counters.slowClosed.Add(1)
			leaving += int64(h.conn.waiting())
			h.conn.cut()
		}
		if h.session != nil {
			b.counters.deliveriesDropped.Add(int64(h.session.empty()))
			if b.cancelWill(h.session) {
				b.counters.willsDropped.Add(1)
			}
		}
	}
	b.counters.shed.Add(int64(clients))
	b.clientLog.Warn().Int("clients", clients).Int64("limit_bytes", b.held.limit).
		Msg("too much is held for slow and absent clients: the heaviest lose it")
}

// heaviest lists who holds anything, the heaviest first.
func (b *Broker) heaviest() []holder {
	of := map[*session]int{}
	var all []holder
	for _, s := range b.registry.list() {
		if w := s.weight(); w > 0 {
			of[s] = len(all)
			all = append(all, holder{weight: w, session: s})
		}
	}
	for _, c := range b.open.list() {
		w := c.weight()
		if w == 0 {
			continue
		}
		var s *session
		if c.connected.Load() {
			s = c.session
		}
		if i, known := of[s]; known {
			all[i].conn = c
			all[i].weight += w
		} else {
			all = append(all, holder{weight: w, conn: c})
		}
	}
	slices.SortFunc(all, func(a, b holder) int { return cmp.Compare(b.weight, a.weight) })
	return all
}
