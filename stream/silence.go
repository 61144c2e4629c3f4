package stream

import (
	"strings"
	"time"
)

// Silence is an event of its own: no window tells of it, since empty windows are not made. Tick finds it by monotonic time and puts it into the batch; it moves no
// watermark and no window.
//
// A sensor is silent when nothing of it was accepted for Config.SilentAfter, at least five of its periods and three of the times between which it usually sends. What ends
// together is told once: the widest of sensor, asset and site whose sensors are all silent. So before a sensor is told to be silent the line waits until its asset has been
// heard half of that time after it, and with an asset until its site has. An asset of one sensor is told as the sensor, a site of one asset as the asset. Who is told takes over what was told of its parts.
//
// It ends when readings have come again for a fifth of Config.SilentAfter, at least for two periods: one reading is no evidence. Parts that have not spoken by then have the
// whole time again before they are told on their own.
//
// A sensor is followed from its first reading that is no history on: who brings a past does not fall silent when it has ended.

// Scope says whose silence it is.
type Scope uint8

// The scopes.
const (
	OfSensor Scope = iota
	OfAsset
	OfSite
)

// Silence is one change: somebody fell silent or speaks again.
type Silence struct {
	Scope    Scope
	SensorID int64         // of OfSensor, else 0
	Site     string        //
	Asset    string        // of OfSensor and OfAsset
	Sensor   string        // of OfSensor
	Silent   bool          // false: it is over
	Taken    bool          // it is over because the asset or the site is told instead
	Members  int           // sensors of it that are followed
	Last     int64         // event time of the newest reading, ms; 0: not known
	For      time.Duration // for how long nothing has been accepted, or since when readings come again
	Limit    time.Duration // the time that was asked
	At       int64         // wall clock, ms
}

const (
	silentPeriods = 5
	silentSteps   = 3
	returnPeriods = 2
	returnShare   = 5  // of SilentAfter
	againShare    = 10 // of SilentAfter: how soon is asked again whether the asset lives on
)

// quiet is what the watch keeps of a sensor.
type quiet struct {
	followed, overdue, told bool
	queued, returning       bool
	back                    time.Duration // while returning: since when readings come again
	until                   time.Duration // not told before
	rhythm                  pace          // of the receipts, ms of monotonic time
}

// siteState is a site with its assets, as far as silence goes.
type siteState struct {
	name   string
	assets []*assetState
	heard  time.Duration // when anything of it was accepted last
	live   int           // assets with a sensor that is followed
	over   int           // of those, assets whose sensors are all overdue
	told   bool
}

// hush is what the watch keeps of an asset.
type hush struct {
	site  *siteState
	heard time.Duration
	live  int // sensors followed
	over  int // of those, overdue
	told  bool
}

func (h *hush) whole() bool      { return h.live > 0 && h.over == h.live }
func (s *siteState) whole() bool { return s.live > 1 && s.over == s.live }

// watch follows who is heard. A sensor that speaks has one entry in the queue, by the time at which it would be overdue had it not been heard since: a reading costs nothing
// there, and a tick what has come to its time.
type watch struct {
	queue  []dueEntry // a binary heap
	bySite map[string]*siteState
}

type dueEntry struct {
	at     time.Duration
	sensor *sensorState
}

// siteOf finds or makes an asset's site.
func (w *Windower) siteOf(a *assetState) *siteState {
	if w.watch.bySite == nil {
		w.watch.bySite = map[string]*siteState{}
	}
	s := w.watch.bySite[a.Site]
	if s == nil {
		s = &siteState{name: a.Site}
		w.watch.bySite[a.Site] = s
	}
	s.assets = append(s.assets, a)
	return s
}

// heard notes that a reading was accepted at mono.
func (w *Windower) heard(s *sensorState, ts int64, mono time.Duration) {
	h := &s.asset.hush
	switch q := &s.quiet; {
	case w.cfg.SilentAfter <= 0:
	case !q.followed:
		if w.isLive(ts) {
			w.follow(s, mono)
		}
	case q.overdue:
		w.heardAgain(s, mono)
	case mono > s.mono:
		q.rhythm.arrived((mono - s.mono).Milliseconds())
	}
	s.mono = mono
	h.heard, h.site.heard = mono, mono
}

// isLive says whether what happened at ts is no history for what is being processed.
func (w *Windower) isLive(ts int64) bool {
	return w.cfg.HistoryAfter == 0 || w.received-ts <= w.cfg.HistoryAfter.Milliseconds()
}

// follow begins to follow a sensor. One that is new while its asset or site is told to be silent is as one that comes back.
func (w *Windower) follow(s *sensorState, mono time.Duration) {
	h := &s.asset.hush
	if h.live++; h.live == 1 {
		h.site.live++
	}
	s.quiet.followed = true
	if h.live > 1 && h.over == h.live-1 {
		h.site.over-- // it was silent as a whole, and has one now that speaks
	}
	if h.told || h.site.told {
		s.setOverdue(true)
		s.quiet.returning, s.quiet.back = true, mono
		return
	}
	w.watch.push(dueEntry{mono + w.silentLimit(s), s})
}

// setOverdue moves a sensor to or from those that are overdue, and with it its asset.
func (s *sensorState) setOverdue(over bool) {
	h := &s.asset.hush
	before := h.whole()
	if s.quiet.overdue = over; over {
		h.over++
	} else {
		h.over--
	}
	if after := h.whole(); after && !before {
		h.site.over++
	} else if before && !after {
		h.site.over--
	}
}

// silentLimit is how long a sensor may send nothing.
func (w *Windower) silentLimit(s *sensorState) time.Duration {
	return max(w.cfg.SilentAfter, silentPeriods*ms(s.periodNow()), silentSteps*ms(s.quiet.rhythm.stride))
}

// covered says whether the sensor's silence is told: its own, its asset's or its site's.
func (s *sensorState) covered() bool {
	return s.quiet.told || s.asset.hush.told || s.asset.hush.site.told
}

// listen moves what has come to its time.
func (w *Windower) listen(mono time.Duration) {
	for q := &w.watch; len(q.queue) > 0 && q.queue[0].at <= mono; {
		s := q.pop().sensor
		due := s.quiet.until
		if !s.quiet.overdue {
			due = max(due, s.mono+w.silentLimit(s))
		}
		switch {
		case s.quiet.overdue && s.covered():
		case due > mono:
			q.push(dueEntry{due, s})
		default:
			if !s.quiet.overdue {
				s.setOverdue(true)
			}
			if !s.covered() && !w.tellWidest(s, mono) {
				q.push(dueEntry{mono + w.cfg.SilentAfter/againShare, s})
			}
		}
	}
}

// tellWidest tells the widest of sensor, asset and site that is silent as a whole, once what is around it has spoken after it. It says whether it did. Slow sensors are not
// waited for without end: where nobody of the asset was heard for twice the time it is silent, and so is the site.
func (w *Windower) tellWidest(s *sensorState, mono time.Duration) bool {
	a, limit := s.asset, w.silentLimit(s)
	site := a.hush.site
	if !a.hush.whole() {
		if a.hush.heard-s.mono >= limit/2 {
			w.tellSensor(s, mono, limit)
			return true
		}
		if mono-a.hush.heard < 2*limit {
			return false
		}
	}
	if site.live > 1 && site.heard-a.hush.heard < limit/2 {
		if !site.whole() && mono-site.heard < 2*limit {
			return false
		}
		w.tellSite(site, mono, limit)
		return true
	}
	if a.hush.live > 1 {
		w.tellAsset(a, mono, limit)
	} else {
		w.tellSensor(s, mono, limit)
	}
	return true
}

func (w *Windower) tellSensor(s *sensorState, mono, limit time.Duration) {
	s.quiet.told = true
	w.tellSilence(Silence{Scope: OfSensor, SensorID: s.ID, Site: s.Site, Asset: s.Sensor.Asset, Sensor: s.Name, Silent: true, Members: 1,
		Last: s.lastKnown(), For: mono - s.mono, Limit: limit})
}

func (w *Windower) tellAsset(a *assetState, mono, limit time.Duration) {
	w.takeOver(a)
	a.hush.told = true
	w.tellSilence(Silence{Scope: OfAsset, Site: a.Site, Asset: a.Name, Silent: true, Members: a.hush.live, Last: a.lastKnown(), For: mono - a.hush.heard, Limit: limit})
}

func (w *Windower) tellSite(site *siteState, mono, limit time.Duration) {
	e := Silence{Scope: OfSite, Site: site.name, Silent: true, For: mono - site.heard, Limit: limit}
	for _, a := range site.assets {
		w.takeOver(a)
		if a.hush.told {
			a.hush.told = false
			w.tellSilence(Silence{Scope: OfAsset, Site: a.Site, Asset: a.Name, Taken: true, Members: a.hush.live, Last: a.lastKnown()})
		}
		e.Members += a.hush.live
		e.Last = max(e.Last, a.lastKnown())
	}
	site.told = true
	w.tellSilence(e)
}

// takeOver ends what was told of an asset's sensors: something wider is told, and they all count as silent.
func (w *Windower) takeOver(a *assetState) {
	for _, s := range a.sensors {
		if s.quiet.told {
			s.quiet.told = false
			w.tellSilence(Silence{Scope: OfSensor, SensorID: s.ID, Site: a.Site, Asset: a.Name, Sensor: s.Name, Taken: true, Members: 1, Last: s.lastKnown()})
		}
		if s.quiet.followed && !s.quiet.overdue {
			s.setOverdue(true) // a slow one, not heard for long either
		}
		s.quiet.returning = false
	}
}

// heardAgain notes that an overdue sensor was heard. Its silence, if it was told, ends when it has been heard for long enough.
func (w *Windower) heardAgain(s *sensorState, mono time.Duration) {
	q := &s.quiet
	if !s.covered() { // it waits in the queue, and nobody was told
		s.setOverdue(false)
		return
	}
	if !q.returning || mono-s.mono > w.silentLimit(s) {
		q.returning, q.back = true, mono
	}
	need := max(w.cfg.SilentAfter/returnShare, returnPeriods*ms(s.periodNow()))
	since := mono - q.back
	if since < need {
		return
	}
	q.returning, q.until = false, 0
	s.setOverdue(false)
	w.watch.push(dueEntry{mono + w.silentLimit(s), s})
	a, site := s.asset, s.asset.hush.site
	over := Silence{Site: a.Site, Last: s.lastKnown(), For: since, Limit: need}
	if site.told {
		site.told = false
		e := over
		for _, o := range site.assets {
			w.ask(o, q.back)
			e.Members += o.hush.live
		}
		e.Scope = OfSite
		w.tellSilence(e)
	}
	over.Asset = a.Name
	if a.hush.told {
		a.hush.told = false
		w.ask(a, q.back)
		e := over
		e.Scope, e.Members = OfAsset, a.hush.live
		w.tellSilence(e)
	}
	if q.told {
		q.told = false
		e := over
		e.Scope, e.SensorID, e.Sensor, e.Members = OfSensor, s.ID, s.Name, 1
		w.tellSilence(e)
	}
}

// ask gives the sensors of an asset that are still overdue, and covered no more, the whole time from since on.
func (w *Windower) ask(a *assetState, since time.Duration) {
	for _, s := range a.sensors {
		if s.quiet.overdue && !s.quiet.told {
			s.quiet.returning, s.quiet.until = false, since+w.silentLimit(s)
			w.watch.push(dueEntry{s.quiet.until, s})
		}
	}
}

func (w *Windower) tellSilence(e Silence) {
	e.At = w.received
	w.batch.Silences = append(w.batch.Silences, e)
}

// lastKnown is the event time of the newest reading, 0 when there is none.
func (s *sensorState) lastKnown() int64 {
	if !s.known {
		return 0
	}
	return s.newest
}

func (a *assetState) lastKnown() (at int64) {
	for _, s := range a.sensors {
		at = max(at, s.lastKnown())
	}
	return at
}

// RestoreSilence gives back, before Settle, a silence that was told and has not ended: it stays told, and is not told again. Names that are not known any more are passed by.
func (w *Windower) RestoreSilence(scope Scope, site, asset, sensor string) {
	if scope == OfSite {
		if s := w.watch.bySite[site]; s != nil {
			s.told = true
		}
		return
	}
	a := w.byName[[2]string{site, asset}]
	if a == nil {
		return
	}
	if scope == OfAsset {
		a.hush.told = true
		return
	}
	for _, s := range a.sensors {
		if s.Name == sensor {
			s.quiet.told = true
		}
	}
}

// settleSilence begins to count at a restart. Followed are those that were heard within HistoryAfter before the newest of all, and those that were told to be silent.
func (w *Windower) settleSilence(mono time.Duration) {
	if w.cfg.SilentAfter <= 0 {
		return
	}
	newest := int64(0)
	for _, s := range w.sensors {
		newest = max(newest, s.lastKnown())
	}
	for _, s := range w.sensors {
		h := &s.asset.hush
		h.heard, h.site.heard = mono, mono
		covered := s.covered()
		if !covered && (!s.known || w.cfg.HistoryAfter > 0 && newest-s.newest > w.cfg.HistoryAfter.Milliseconds()) {
			continue
		}
		w.follow(s, mono)
		s.quiet.returning = false        // nothing was heard yet
		if covered && !s.quiet.overdue { // told on its own: its entry in the queue finds it covered
			s.setOverdue(true)
		}
	}
}

// push gives a sensor its entry in the queue, unless it has one.
func (q *watch) push(e dueEntry) {
	if e.sensor.quiet.queued {
		return
	}
	e.sensor.quiet.queued = true
	q.queue = append(q.queue, e)
	for i := len(q.queue) - 1; i > 0; {
		up := (i - 1) / 2
		if q.queue[up].at <= q.queue[i].at {
			break
		}
		q.queue[up], q.queue[i] = q.queue[i], q.queue[up]
		i = up
	}
}

func (q *watch) pop() dueEntry {
	h := q.queue
	first, n := h[0], len(h)-1
	first.sensor.quiet.queued = false
	h[0], h[n] = h[n], dueEntry{}
	h = h[:n]
	for i := 0; ; {
		least := i
		for _, down := range [2]int{2*i + 1, 2*i + 2} {
			if down < n && h[down].at < h[least].at {
				least = down
			}
		}
		if least == i {
			break
		}
		h[i], h[least] = h[least], h[i]
		i = least
	}
	q.queue = h
	return first
}

// String names a scope as texts do.
func (s Scope) String() string {
	return strings.Split("sensor asset site", " ")[min(s, OfSite)]
}
