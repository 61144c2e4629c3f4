package broker

import (
	"cmp"
	"slices"
)

// maxClaims bounds the messages owed to all sessions together that are to survive a restart. A commit may hold that many, and strike off as many: more
// would keep publishers waiting for it. It is above what one session holds.
const maxClaims = 20_000

// forgo lets the sessions with most claims lose theirs, the oldest first, until an eighth of the bound is free. Their messages stay in memory; only a
// restart forgets them, and then their clients are told the newest retained states. The routing lock is held.
func (b *Broker) forgo() {
	type claimant struct {
		session *session
		claims  int
	}
	var all []claimant
	for _, s := range b.registry.list() {
		if n := s.owes(); n > 0 {
			all = append(all, claimant{s, n})
		}
	}
	slices.SortFunc(all, func(a, b claimant) int { return cmp.Compare(b.claims, a.claims) })
	need, lost := int(b.claims.Load())-maxClaims*7/8, 0
	for _, c := range all {
		if lost >= need {
			break
		}
		lost += c.session.forgo(need - lost)
	}
	b.counters.claimsDropped.Add(int64(lost))
	b.clientLog.Warn().Int("messages", lost).Int("limit", maxClaims).
		Msg("too many messages are owed to slow and absent clients: a restart would forget the oldest of those who are owed most")
}

// owes says how many messages the session's client is owed over a restart.
func (s *session) owes() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.claims
}

// forgo gives up to n claims up and says how many: those to the oldest messages, and last what clears a state, which no retained message could tell.
func (s *session) forgo(n int) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	owed := make([]*parcel, 0, s.claims)
	for _, p := range s.waiting {
		if p.owed && p.id == 0 { // the others are among the parcels as well
			owed = append(owed, p)
		}
	}
	for _, p := range s.parcels {
		if p.owed {
			owed = append(owed, p)
		}
	}
	slices.SortFunc(owed, func(a, b *parcel) int {
		if ca, cb := a.clears(), b.clears(); ca != cb {
			if cb {
				return -1
			}
			return 1
		}
		return cmp.Compare(a.message, b.message)
	})
	n = min(n, len(owed))
	for _, p := range owed[:n] {
		s.disclaim(p)
	}
	if n > 0 {
		s.missed()
	}
	return n
}
