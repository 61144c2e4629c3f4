package broker

// rooms are lists of acknowledged messages that nobody looks at any more, on their way from route, which is the last to have them, to whoever acknowledges next. A list belongs to one goroutine
// at a time: the caller of Room until Acknowledge, then answer, then route.
type rooms struct {
	free  chan []Ack
	spare Spare // route's
}

const maxRooms = 3 // free lists: one fills, one is with the commit, and one is answered

func newRooms() rooms { return rooms{free: make(chan []Ack, maxRooms)} }

// Room gives an empty list for Acknowledge: one that was acknowledged before and is done with, else a new one for n messages.
func (b *Broker) Room(n int) []Ack {
	select {
	case room := <-b.rooms.free:
		return room
	default:
		return make([]Ack, 0, n)
	}
}

// giveBack takes a list whose messages are answered and routed. It is cleared, so that it keeps no payload alive. One that only a rush needed goes when that is over.
func (r *rooms) giveBack(acks []Ack) {
	clear(acks)
	if cap(acks) == 0 || !r.spare.Keep(len(acks), cap(acks)) {
		return
	}
	select {
	case r.free <- acks[:0]:
	default:
	}
}

// Spare judges which of the lists that go round are worth their memory, by what all of them together are needed for: small ones among them say nothing of a large one.
type Spare struct {
	need int // messages that a list must hold
	most int // since one was needed that is a quarter of that
	uses int // likewise
}

// Bounds of Spare.
const (
	SpareRoom = 64  // messages for which a list is never too large
	SpareUses = 256 // uses in a row that need far less before need goes down: fleets come in bursts
)

// Keep says whether a list that held used messages, with room for more, is kept for the next ones: it may have four times the room that is needed.
func (s *Spare) Keep(used, room int) bool {
	if 4*used >= s.need {
		s.need, s.most, s.uses = max(s.need, used), 0, 0
	} else if s.most, s.uses = max(s.most, used), s.uses+1; s.uses > SpareUses {
		s.need, s.most, s.uses = s.most, 0, 0
	}
	return room <= max(SpareRoom, 4*s.need)
}
