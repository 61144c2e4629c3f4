package main

import (
	"context"
	"fmt"
	"iter"
	"math"
	"sync"

	"github.com/camrail/cidp/stream"
)

// Event time in the crash tests: a tick every two seconds, and each source a few milliseconds after it.
const (
	crashTick  = 2000 // ms
	crashPhase = 7    // ms between the sources of an asset
	// crashDisorder is the disorder that the program is told, in ticks. crashSlack is how many ticks a source may be ahead of its mates: less by the
	// longest messages of two sources, one behind and one ahead, and by the turn that a repeat comes after its reading.
	crashDisorder = 240
	crashSlack    = crashDisorder - 3*crashLongest
	crashLongest  = 30 // ticks in a message at most
)

// feedAsset is an asset whose sources publish on connections of their own. The sources pace each other by event time, so that none comes more than
// the disorder behind the newest of the asset, whoever is slow or cut off.
type feedAsset struct {
	name    string
	begin   int64 // event time of tick 0, ms
	sources []*feedSource

	mu    sync.Mutex
	moved sync.Cond
	end   int // first tick that is not sent
}

// feedSource is what one sensor, or the context of an asset, sends, and the log of the client that sends it. What a turn sends is a function
// of the source and the turn alone.
type feedSource struct {
	asset *feedAsset
	index int    // position among the sources of all assets
	name  string // of the sensor; empty: the asset's context
	per   int    // ticks of a turn, which are one message: an array when above 1
	fault string // hot, stuck, gaps, away, slow or nothing
	apart bool   // its conditions come as context
	lates bool   // some of its readings come hours too late: of an asset with mates the digest's law would not hold

	// Guarded by asset.mu.
	turn   int            // the next one
	made   []*feedMessage // not handed out yet
	flight []*feedMessage // handed out and not acknowledged, in order
	acked  []*feedMessage // since the last call of taken
}

// feedMessage is one message with what must become of it.
type feedMessage struct {
	turn     int
	payload  []byte
	readings []stream.Reading // that telemetry must hold
	contexts []stream.Context // that context must hold
	refused  string           // the reason of quarantine_message
	mark     string           // what tells its evidence from others
	late     []stream.Reading // that late_reading must hold
	again    bool             // its readings are those of the message before it
	disputed []int64          // event times whose reading is in dispute from here on

	id    uint16 // packet id, the client's
	acked bool
}

// times gives the event times at which something is stored.
func (m *feedMessage) times() (out []int64) {
	for _, r := range m.readings {
		out = append(out, r.TS)
	}
	for _, c := range m.contexts {
		out = append(out, c.TS)
	}
	return out
}

func newFeedAsset(name string, begin int64) *feedAsset {
	a := &feedAsset{name: name, begin: begin, end: math.MaxInt}
	a.moved.L = &a.mu
	return a
}

// stop ends the asset after the turns that have begun, for all sources at one tick, which is given.
func (a *feedAsset) stop() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	last := 0
	for _, s := range a.sources {
		last = max(last, s.turn*s.per)
	}
	a.end = (last/60 + 1) * 60
	a.moved.Broadcast()
	return a.end
}

func (s *feedSource) topic() string {
	if s.name == "" {
		return "cidp/v1/context/douala/" + s.asset.name
	}
	return "cidp/v1/telemetry/douala/" + s.asset.name + "/" + s.name
}

// client is the id of the client that sends it.
func (s *feedSource) client() string { return fmt.Sprintf("%s-%d", s.asset.name, s.index) }

// next hands out the next message as soon as its mates have come so far. It gives nil when the source is at its end, when ctx ends, and, unless
// it may wait, when the mates are behind. One goroutine calls it.
func (s *feedSource) next(ctx context.Context, wait bool) *feedMessage {
	a := s.asset
	if wait {
		defer context.AfterFunc(ctx, a.wake)()
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	for ctx.Err() == nil {
		if len(s.made) == 0 && s.turn*s.per >= a.end {
			return nil
		}
		if len(s.made) == 0 && a.reached((s.turn+1)*s.per-crashSlack) {
			s.made = s.makeTurn(s.turn)
			s.turn++
			continue
		}
		if len(s.made) > 0 {
			m := s.made[0]
			s.made, s.flight = s.made[1:], append(s.flight, m)
			return m
		}
		if !wait {
			return nil
		}
		a.moved.Wait()
	}
	return nil
}

// reached says whether everything before a tick was acknowledged to all sources; the caller holds mu.
func (a *feedAsset) reached(tick int) bool {
	for _, s := range a.sources {
		if s.floor()*s.per < tick {
			return false
		}
	}
	return true
}

// floor is the first turn of which something is not acknowledged.
func (s *feedSource) floor() int {
	if len(s.flight) > 0 {
		return s.flight[0].turn
	}
	if len(s.made) > 0 {
		return s.made[0].turn
	}
	return s.turn
}

// pending gives what is handed out and not acknowledged, in order.
func (s *feedSource) pending() []*feedMessage {
	s.asset.mu.Lock()
	defer s.asset.mu.Unlock()
	var out []*feedMessage
	for _, m := range s.flight {
		if !m.acked {
			out = append(out, m)
		}
	}
	return out
}

// messages gives what was not acknowledged, then what comes next, until the source is finished or ctx ends.
func (s *feedSource) messages(ctx context.Context) iter.Seq[*feedMessage] {
	return func(yield func(*feedMessage) bool) {
		again := s.pending()
		for ctx.Err() == nil {
			var m *feedMessage
			if len(again) > 0 {
				m, again = again[0], again[1:]
			} else {
				m = s.next(ctx, true)
			}
			if m == nil || !yield(m) {
				return
			}
		}
	}
}

// acknowledged notes in the client's log what the program has answered for.
func (s *feedSource) acknowledged(m *feedMessage) {
	s.asset.mu.Lock()
	defer s.asset.mu.Unlock()
	if m.acked {
		return
	}
	m.acked = true
	s.acked = append(s.acked, m)
	n := 0
	for n < len(s.flight) && s.flight[n].acked {
		n++
	}
	if n > 0 {
		s.flight = s.flight[n:]
		s.asset.moved.Broadcast()
	}
}

// taken gives what was acknowledged since it was last called.
func (s *feedSource) taken() []*feedMessage {
	s.asset.mu.Lock()
	defer s.asset.mu.Unlock()
	out := s.acked
	s.acked = nil
	return out
}

// finished says whether everything up to the asset's end was acknowledged.
func (s *feedSource) finished() bool {
	s.asset.mu.Lock()
	defer s.asset.mu.Unlock()
	return s.turn*s.per >= s.asset.end && len(s.made) == 0 && len(s.flight) == 0
}

// settled waits until the source is finished or ctx ends.
func (s *feedSource) settled(ctx context.Context) {
	a := s.asset
	defer context.AfterFunc(ctx, a.wake)()
	a.mu.Lock()
	defer a.mu.Unlock()
	for ctx.Err() == nil && (s.turn*s.per < a.end || len(s.made)+len(s.flight) > 0) {
		a.moved.Wait()
	}
}

func (a *feedAsset) wake() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.moved.Broadcast()
}

// draw is a number below n that belongs to a source, a tick and a purpose.
func (s *feedSource) draw(tick int, purpose string, n uint64) uint64 {
	x := uint64(s.index+1)*0x9e3779b97f4a7c15 + uint64(tick)*0xbf58476d1ce4e5b9
	for _, c := range purpose {
		x = (x ^ uint64(c)) * 0x94d049bb133111eb
	}
	x ^= x >> 29
	x *= 0xbf58476d1ce4e5b9
	x ^= x >> 32
	return x % n
}

func (s *feedSource) at(tick int) int64 {
	return s.asset.begin + int64(tick)*crashTick + int64(s.index)*crashPhase
}

// makeTurn makes what a turn sends: its readings, and now and then a repeat, a reading that contradicts one, one that is far too late, and what
// cannot be read.
func (s *feedSource) makeTurn(turn int) []*feedMessage {
	var out []*feedMessage
	m := s.makeReadings(turn)
	if m != nil {
		out = append(out, m)
		if s.draw(turn, "again", 1000) < 12 {
			out = append(out, &feedMessage{turn: turn, payload: m.payload, readings: m.readings, contexts: m.contexts, again: true})
		}
	}
	if bad := s.makeRefused(turn); bad != nil {
		out = append(out, bad)
	}
	if s.name == "" {
		return out
	}
	if before := (turn - 1) * s.per; s.draw(turn, "dispute", 1000) < 6 && turn > 0 && s.sends(before) {
		r := s.reading(before)
		r.Temp += 1000
		out = append(out, &feedMessage{turn: turn, payload: stream.AppendReading(nil, r), disputed: []int64{r.TS},
			refused: string(stream.Conflict), mark: string(stream.AppendReading(nil, r))})
	}
	// Its window closed long ago, and no other reading has that time.
	if s.lates && s.draw(turn, "late", 1000) < 30 && turn*s.per > 3000 {
		r := s.reading(turn*s.per - 2500)
		r.TS += 3
		out = append(out, &feedMessage{turn: turn, payload: stream.AppendReading(nil, r), late: []stream.Reading{r}})
	}
	return out
}

// makeReadings makes the turn's message, or nil when there is nothing to say.
func (s *feedSource) makeReadings(turn int) *feedMessage {
	m := &feedMessage{turn: turn}
	for tick := turn * s.per; tick < (turn+1)*s.per; tick++ {
		switch {
		case !s.sends(tick):
		case s.name == "":
			c := stream.Context{TS: s.at(tick), Conditions: s.conditions(tick)}
			m.contexts, m.payload = append(m.contexts, c), stream.AppendContext(m.payload, c)
		default:
			r := s.reading(tick)
			if s.per > 1 {
				m.payload = append(m.payload, "[,"[min(len(m.readings), 1)])
			}
			m.readings, m.payload = append(m.readings, r), stream.AppendReading(m.payload, r)
		}
	}
	if len(m.payload) == 0 {
		return nil
	}
	if s.per > 1 && s.name != "" {
		if s.draw(turn, "element", 1000) < 10 { // one element cannot be read: the others are stored
			m.mark, m.refused = fmt.Sprintf("element-%d-%d", s.index, turn), string(stream.MissingField)
			m.payload = fmt.Appendf(m.payload, `,{"ts":%d,"note":"%s"}`, s.at(turn*s.per), m.mark)
		}
		m.payload = append(m.payload, ']')
	}
	return m
}

func (s *feedSource) makeRefused(turn int) *feedMessage {
	mark, ts := fmt.Sprintf("refused-%d-%d", s.index, turn), s.at(turn*s.per)
	m := &feedMessage{turn: turn, mark: mark}
	switch s.draw(turn, "refused", 1000) {
	case 0:
		m.refused, m.payload = string(stream.Malformed), fmt.Appendf(nil, `{"ts":%d,"temp_c":%s}`, ts, mark)
	case 1:
		m.refused, m.payload = string(stream.MissingField), fmt.Appendf(nil, `{"ts":%d,"note":"%s"}`, ts, mark)
	case 2:
		m.refused, m.payload = string(stream.BadTime), fmt.Appendf(nil, `{"ts":7,"temp_c":50,"ambient_c":20,"note":"%s"}`, mark)
	default:
		return nil
	}
	return m
}

// sends says whether there is a reading, or a context, at a tick.
func (s *feedSource) sends(tick int) bool {
	if s.name == "" {
		return tick%5 == 0
	}
	switch at := tick + 100*s.index; s.fault {
	case "slow": // its windows are longer than its mates'
		return tick%15 == 0
	case "away": // silent for longer than the disorder: its last window stays open that long
		return at%1000 >= 400
	case "gaps":
		return at%1100 >= 200 || s.draw(tick, "gap", 3) == 0
	}
	return true
}

func (s *feedSource) reading(tick int) stream.Reading {
	r := stream.Reading{TS: s.at(tick), Temp: s.temperature(tick), Seq: int64(tick)}
	if !s.apart {
		r.Conditions = s.conditions(tick)
	}
	r.Has |= stream.HasSeq
	return r
}

// conditions are those of the asset, whichever of its sources tells them.
func (s *feedSource) conditions(tick int) stream.Conditions {
	return stream.Conditions{Ambient: 25_000 + 1000*slope(tick, 5000, 4), Speed: 60_000, Load: 400_000,
		Has: stream.HasAmbient | stream.HasSpeed | stream.HasLoad}
}

// temperature is that of a healthy bearing, and every 1,400 ticks (47 minutes) of one that runs hot for a while and cools again, or of a
// sensor that is stuck for six minutes.
func (s *feedSource) temperature(tick int) stream.Milli {
	v := 45_000 + 300*stream.Milli(s.index) + 1000*slope(tick, 3000, 3) + 10*stream.Milli(s.draw(tick, "noise", 18))
	at := (tick + 200*s.index) % 1400
	switch {
	case s.fault == "stuck" && at < 180:
		return 47_110
	case s.fault != "hot" || at < 300:
	case at < 750: // 6 K a minute
		v += 200 * stream.Milli(at-300)
	case at < 800:
		v += 90_000
	case at < 1250:
		v += 200 * stream.Milli(1250-at)
	}
	return v
}

// slope goes from 0 to top and back again in period ticks, in whole steps.
func slope(tick, period, top int) stream.Milli {
	at := tick % period
	return stream.Milli(min(at, period-at) * 2 * top / period)
}
