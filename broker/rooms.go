package broker

// rooms are lists of acknowledged messages that nobody looks at any more, on their way from route, which is the last to have them, to whoever acknowledges next. A list belongs to one goroutine
// at a time: the caller of Room until Acknowledge, then answer, then route.
type rooms struct {
	free   chan []Ack
	sparse int // lists in a row that were far too large; route's
}

// Bounds of rooms.
const (
	maxRooms  = 3   // free lists: one fills, one is with the commit, and one is answered
	smallRoom = 64  // messages for which a list is never too large
	maxSparse = 256 // lists in a row that are too large before one goes back: fleets come in bursts
)

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

// giveBack takes a list whose messages are answered and routed. It is cleared, so that it keeps no payload alive. One that most of a rush needed goes when that is over.
func (r *rooms) giveBack(acks []Ack) {
	clear(acks)
	switch {
	case cap(acks) == 0:
		return
	case cap(acks) <= max(smallRoom, 4*len(acks)):
		r.sparse = 0
	default:
		r.sparse++
	}
	if r.sparse > maxSparse {
		r.sparse = 0
		return
	}
	select {
	case r.free <- acks[:0]:
	default:
	}
}
