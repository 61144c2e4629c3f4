package platform

import (
	"encoding/json"
	"maps"
	"slices"
	"sync"
	"time"
)

// Reasons for being degraded.
const (
	reasonStarting = "starting"
	reasonStopping = "stopping"
	reasonStore    = "store"
	reasonLine     = "line"
	reasonRead     = "read"     // what is stored cannot be looked up
	reasonRoom     = "room"     // the disk runs short: first advice, then nothing is taken any more
	reasonLog      = "log"      // advice: the write-ahead log grows
	reasonGuard    = "failsafe" // too many windows of all assets are quarantined: nothing is published
	reasonSize     = "size"     // advice: the database is larger than it is to be
	reasonSensors  = "sensors"  // advice: the sensors file is refused
	reasonModel    = "model"    // the live model cannot be read: the rules speak alone; as advice: one in shadow
)

// status says whether the platform accepts and commits, and why not. It is safe for concurrent use.
type status struct {
	version string

	mu      sync.Mutex
	model   string            // what predictions are made by, empty while it starts
	changed func([]byte)      // told the payload of cidp/v1/status at each change; it must not come back here
	reasons map[string]string // by reason: what is wrong, in words
	advice  map[string]string // by reason: what somebody should look at before it goes wrong
	since   time.Time
	offline bool
}

// Status is the payload of cidp/v1/status.
type Status struct {
	State   string    `json:"state"` // online, degraded or offline
	Reasons []string  `json:"reasons"`
	Version string    `json:"version"`
	Model   string    `json:"model"`
	Since   time.Time `json:"since"`
}

// degrade notes a reason and says whether it is new.
func (s *status) degrade(reason, detail string) bool {
	return s.move(func() bool {
		_, known := s.reasons[reason]
		s.reasons[reason] = detail
		return !known
	})
}

// heal takes a reason away and says whether it was there.
func (s *status) heal(reason string) bool {
	return s.move(func() bool {
		_, known := s.reasons[reason]
		delete(s.reasons, reason)
		return known
	})
}

// advise notes what somebody should look at; readings are accepted all the same. It says whether that is new.
func (s *status) advise(reason, detail string) bool {
	return s.move(func() bool {
		if s.advice == nil {
			s.advice = map[string]string{}
		}
		_, known := s.advice[reason]
		s.advice[reason] = detail
		return !known
	})
}

// settle takes advice away and says whether it was there.
func (s *status) settle(reason string) bool {
	return s.move(func() bool {
		_, known := s.advice[reason]
		delete(s.advice, reason)
		return known
	})
}

// scoredBy notes what predictions are made by, and what should be in force and cannot be read.
func (s *status) scoredBy(u *inUse) {
	s.move(func() bool {
		before, degraded, advised := s.model, s.reasons[reasonModel], s.advice[reasonModel]
		s.model = u.liveID()
		delete(s.reasons, reasonModel)
		delete(s.advice, reasonModel)
		if text := u.trouble(); text != "" && u.lost != "" {
			s.reasons[reasonModel] = text
		} else if text != "" {
			if s.advice == nil {
				s.advice = map[string]string{}
			}
			s.advice[reasonModel] = text
		}
		return before != s.model || degraded != s.reasons[reasonModel] || advised != s.advice[reasonModel]
	})
}

// end marks the platform as offline.
func (s *status) end() {
	s.move(func() bool {
		s.offline = true
		return true
	})
}

func (s *status) move(change func() bool) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	changed := change()
	if changed {
		s.since = time.Now().UTC().Truncate(time.Millisecond)
	}
	if changed {
		s.tell()
	}
	return changed
}

// tell publishes the present status; the lock is held, so that what is retained is the newest.
func (s *status) tell() {
	if s.changed != nil {
		payload, _ := json.Marshal(s.get()) // a struct of texts and a time cannot fail
		s.changed(payload)
	}
}

// announce tells f the present status, and every later one.
func (s *status) announce(f func([]byte)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.changed = f
	s.tell()
}

// detail says in words what is wrong for a reason, if it stands.
func (s *status) detail(reason string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.reasons[reason]
}

// now gives the present status.
func (s *status) now() Status {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.get()
}

func (s *status) get() Status {
	out := Status{State: "online", Reasons: []string{}, Version: s.version, Model: s.model, Since: s.since}
	for _, r := range slices.Sorted(maps.Keys(s.reasons)) {
		out.Reasons = append(out.Reasons, r+": "+s.reasons[r])
	}
	switch {
	case s.offline:
		out.State = "offline"
	case len(out.Reasons) > 0:
		out.State = "degraded"
	}
	for _, r := range slices.Sorted(maps.Keys(s.advice)) {
		out.Reasons = append(out.Reasons, r+": "+s.advice[r])
	}
	return out
}

// Alive and Ready answer /healthz and /readyz.
func (s *status) Alive() bool { return true }

// Ready says whether readings are accepted and committed: they are while publication is withheld, and while the rules speak alone.
func (s *status) Ready() (bool, []string) {
	now := s.now()
	s.mu.Lock()
	defer s.mu.Unlock()
	for reason := range s.reasons {
		if reason != reasonGuard && reason != reasonModel {
			return false, now.Reasons
		}
	}
	return !s.offline, now.Reasons
}
