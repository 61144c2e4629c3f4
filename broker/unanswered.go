package broker

import "sync"

// unanswered are the packet ids of a connection's messages from PUBLISH to the last answer: PUBACK, PUBCOMP, or a PUBREC that ends the exchange. They lie in pages,
// because most clients number their messages one after another.
type unanswered struct {
	mu    sync.Mutex
	n     int
	pages []*idPage // nil when none was ever taken; a page is nil when none of its ids is
	spare *idPage   // an empty page
}

// pageIDs is how many packet ids are in a page.
const pageIDs = 1 << 10

// idPage says which ids are taken, and which of them by QoS 2.
type idPage struct {
	n     int
	taken [pageIDs / 64]uint64
	qos2  [pageIDs / 64]uint64
}

// add takes a packet id and gives how many there are then, or says that it is taken and by what.
func (u *unanswered) add(id uint16, qos byte) (n int, other byte, taken bool) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if !u.take(id, qos) {
		p, word, bit := u.pages[id/pageIDs], id%pageIDs/64, id%64
		return u.n, 1 + byte(p.qos2[word]>>bit&1), true
	}
	return u.n, 0, false
}

// addAll takes the packet ids of messages, but those at QoS 0, until one is taken already or there would be more than most. It gives how many messages come
// before that one.
func (u *unanswered) addAll(messages []Message, most int) int {
	u.mu.Lock()
	defer u.mu.Unlock()
	for i := range messages {
		if m := &messages[i]; m.QoS > 0 && (u.n >= most || !u.take(m.id, m.QoS)) {
			return i
		}
	}
	return len(messages)
}

// take takes a packet id if it is free. The lock is held.
func (u *unanswered) take(id uint16, qos byte) bool {
	if u.pages == nil {
		u.pages = make([]*idPage, (1<<16)/pageIDs)
	}
	p := u.pages[id/pageIDs]
	if p == nil {
		if p, u.spare = u.spare, nil; p == nil {
			p = &idPage{}
		}
		u.pages[id/pageIDs] = p
	}
	word, bit := id%pageIDs/64, uint64(1)<<(id%64)
	if p.taken[word]&bit != 0 {
		return false
	}
	p.taken[word] |= bit
	if qos == 2 {
		p.qos2[word] |= bit
	}
	p.n++
	u.n++
	return true
}

// remove frees packet ids.
func (u *unanswered) remove(ids ...uint16) {
	u.mu.Lock()
	defer u.mu.Unlock()
	for _, id := range ids {
		u.free(id)
	}
}

// free frees a packet id. The lock is held.
func (u *unanswered) free(id uint16) {
	if u.pages == nil || u.pages[id/pageIDs] == nil {
		return
	}
	p := u.pages[id/pageIDs]
	word, bit := id%pageIDs/64, uint64(1)<<(id%64)
	if p.taken[word]&bit == 0 {
		return
	}
	p.taken[word] &^= bit
	p.qos2[word] &^= bit
	u.n--
	if p.n--; p.n == 0 {
		u.pages[id/pageIDs], u.spare = nil, p
	}
}
