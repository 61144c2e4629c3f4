package broker

// makeRoom loses a part of what waits in a full session, for a newer output: first routed telemetry, then states that a newer one of the same topic
// follows, then the oldest messages that are no states, then the oldest states, and last those that clear a state, which no retained message
// could tell later. So a client that was away long finds the newest state of every topic. Where that gave little for the search, as when all were sent
// before, the next ones are refused without: publishing must not wait for a search each time. The lock is held.
func (s *session) makeRoom(o *outgoing) bool {
	if o.telemetry || o.stored {
		return false
	}
	if s.tired > 0 {
		s.tired--
		if o.retain {
			s.missed()
		}
		return false
	}
	newest := map[string]*parcel{}
	for _, p := range s.waiting {
		if p.retainedOutput() {
			newest[p.topic] = p
		}
	}
	if o.retain {
		newest[o.topic] = nil
	}
	lost, states, searched := 0, false, len(s.waiting)
	for _, goes := range []func(*parcel) bool{
		func(p *parcel) bool { return p.telemetry },
		func(p *parcel) bool { return p.retainedOutput() && newest[p.topic] != p },
		func(p *parcel) bool { return !p.outgoing.retain },
		func(p *parcel) bool { return len(p.payload) > 0 },
		func(*parcel) bool { return true },
	} {
		lost += s.loseWaiting(o, func(p *parcel) bool {
			if !goes(p) {
				return false
			}
			if p.retainedOutput() && newest[p.topic] == p {
				states = true
			}
			return true
		})
	}
	if lost < searched/searchWorth {
		s.tired = searched / searchWorth
	}
	full := s.full(o)
	if states || (full && o.retain) {
		s.missed()
	}
	s.shared.counters.deliveriesDropped.Add(int64(lost))
	return !full
}

// searchWorth is how many waiting messages may be searched for each that is lost or refused.
const searchWorth = 64

// clears says whether a parcel takes the state of its topic away.
func (p *parcel) clears() bool { return p.retainedOutput() && len(p.payload) == 0 }

// retainedOutput says whether a parcel is the state of its topic.
func (p *parcel) retainedOutput() bool { return p.outgoing.retain && !p.telemetry && !p.stored }

// loseWaiting loses parcels that were never sent, the oldest first, until an eighth of the session's room is free. The lock is held.
func (s *session) loseWaiting(o *outgoing, goes func(*parcel) bool) (n int) {
	const most, mostBytes = maxPending - maxPending/8, maxPendingBytes - maxPendingBytes/8
	kept := s.waiting[:0]
	for _, p := range s.waiting {
		if (s.pending >= most || s.bytes+o.size() > mostBytes) && p.id == 0 && !p.stored && goes(p) {
			s.settle(p)
			n++
		} else {
			kept = append(kept, p)
		}
	}
	clear(s.waiting[len(kept):])
	s.waiting = kept
	return n
}
