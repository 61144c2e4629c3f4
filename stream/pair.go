package stream

import (
	"math"
	"slices"
)

// Two mates whose cables changed places tell the truth, each of the other end of the axle: nothing that one of them shows is implausible. What shows is the moment. At once one goes
// up and the other down by the same, each goes on where the other was, and the rest of the vehicle does nothing of the kind. No component does that: metal needs minutes, and heat that
// one end loses does not appear in the other. Both windows are out then, as of a sensor that measures something else.
//
// It is seen by the windows' means: how far the two are apart, and how far both together have moved off the others. Each is held against how it usually moves, so that rough sensors and
// rough lines ask for larger jumps. Smaller ones course.go looks for. The state ends when they jump back, and after swapWindows: the readings are true, and whoever was to look at the
// cables has been told.

// The limits of two that changed places.
const (
	pairRing      = 5                // windows looked at
	minMoves      = 10               // moves before anything is said
	moveMemory    = 60               // moves that the usual one stands on
	moveClip      = 4.0              // times the usual move: more is no measure of what is usual
	swapJump      = 4.5              // usual moves: a jump from the mean of two windows to the mean of the next two but one
	swapLeast     = 0.08             // K: no less is called a jump
	swapQuanta    = 2                // nor less than so many steps of the sensor's resolution
	swapCalm      = 0.16             // of the jump: how far the two may move before it and after it
	swapCalmMoves = 3.0              // or so many usual moves
	swapCalmMost  = 0.25             // but never by more
	swapLike      = 0.2              // of the jump: how far both together may move; a jump of one alone moves both together by half of it
	swapBias      = 2.2              // K: before and after mirror each other but for two class B sensors at 50 degC (IEC 60751), counted twice
	swapAwayK     = 1.0              // K: two that move on by more than that move by heat
	swapAway      = 1.5              // and by more than so many times the jump: back it goes by one
	swapWindows   = 60               // windows for which it is said
	minOthers     = 2                // sensors of the kind besides the two
	likeNoises    = 4.0              // noises by which one of them may move otherwise than most
	likeShare     = 0.25             // and besides that by so much of what they move by
	pairBehind    = 3                // usual steps without a reading at the end of a window
	swapUnknown   = 20.0             // degC: ambient, where it is not known
	pairGone      = int64(3_600_000) // ms without a mate after which another one may take its place
)

// pairing is the part of a sensor's memory by which it is told from its mate. It folds over closed windows in event-time order.
type pairing struct {
	Apart    [pairRing]float64 // K: own mean less the mate's, newest first
	Both     [pairRing]float64 // K: by how much the two together have moved more than the others since the first window held
	N        int64             // windows held, each next to the one before
	End      int64             // end of the newest, ms
	Move     float64           // K: usual move of Apart over two windows
	MoveBoth float64           // K: and of Both
	MoveN    int64             // moves they stand on
	Jump     float64           // K by which Apart jumped when they changed places
	Limit    float64           // K that it had to
	Level    float64           // K: Apart since then
	Left     int64             // windows for which it is still said; 0: they are where they belong, as far as is known
}

// sound says whether the figures are such as encode writes.
func (p *pairing) sound() bool {
	ok := p.N >= 0 && p.N <= pairRing && p.End >= 0 && p.End < MaxTS && p.Move >= 0 && p.MoveBoth >= 0 && p.MoveN >= 0 && p.MoveN <= moveMemory && p.Left >= 0 && p.Left <= swapWindows
	for _, v := range slices.Concat(p.Apart[:], p.Both[:], []float64{p.Move, p.MoveBoth, p.Jump, p.Limit, p.Level}) {
		ok = ok && !math.IsNaN(v) && !math.IsInf(v, 0)
	}
	return ok
}

// pair holds a window against its mate's and says when the two have changed places. Hot readings stay in: whichever end they are of, they are what the alarms are for.
func (m *closing) pair(with []mate) {
	p, c, w := &m.memory.Pair, m.memory.Course.unpack(), m.window
	if p.Left > 0 {
		p.Left--
	}
	if c == (course{}) { // a new pairing, or one that an older version stored, which took the others otherwise
		p.N = 0
	}
	if o, others := m.beside(with, &c); o == nil {
		if !w.Between { // which learns nothing, and is as the last window that did left it
			p.N = 0
			c.lose(p)
		}
	} else {
		quanta := float64(swapQuanta * max(m.memory.Quantum, o.quantum).Float()) // of the coarser of the two, so that both see the same
		both := (w.Features[FMean] + o.mean) / 2
		turned := p.follow(w, o.mean, both-c.Warm[0]-others, max(swapLeast, quanta), &c.Offset)
		c.follow(p, turned, both, w.Features[FAmbient], max(courseLeast, quanta), m.memory.Scatter+o.scatter)
		if m.parted(o) {
			c.rest(p)
		}
	}
	m.memory.Course.pack(&c)
	over := w.Features[FOverAmbient]
	if math.IsNaN(over) {
		over = w.Features[FMean] - swapUnknown
	}
	if over >= hotK {
		return
	}
	if p.Left == 0 && c.Doubt > 0 {
		m.object(Swapped, "it and %s seem to have changed places: at once one went up and the other down by %.2f K, limit %.2f K, which is no heat", m.pairedWith(), math.Abs(p.Jump)/2, p.Limit/2)
	}
	if p.Left > 0 {
		m.object(Swapped, "it and %s have changed places: at once one went up and the other down by %.2f K, limit %.2f K, and each goes on where the other was", m.pairedWith(), math.Abs(p.Jump)/2, p.Limit/2)
	}
}

// pairedWith is the name of the mate that the pairing is with.
func (m *closing) pairedWith() string {
	for _, s := range m.sensor.asset.sensors {
		if m.sensor.hasMate(s) && nameHash(s.Name) == m.memory.Mate {
			return s.Name
		}
	}
	return "its mate" // an older version did not store it
}

// beside gives the window's mate and by how much the others of its kind have moved since the window before, K; nil where one of the two is broken or the others are too few. The mate is the one
// that the pairing is with, as long as it was there and sound within pairGone; else the first sound one by name, and what is known of the two begins anew.
func (m *closing) beside(with []mate, c *course) (o *mate, others float64) {
	if m.window.Between || len(m.window.Reasons) > 0 || m.memory.Gauge.Verdict != gaugeSound || math.IsNaN(m.window.Features[FMean]) {
		return nil, 0
	}
	var room [32]float64
	moves := room[:0]
	var next *mate
	n, scatter := 0, 0.0
	for i := range with {
		x := &with[i]
		switch {
		case !m.meets(x):
		case m.sensor.hasMate(x.sensor):
			if nameHash(x.sensor.Name) == m.memory.Mate {
				o = x
			} else if x.sound() && (next == nil || x.sensor.Name < next.sensor.Name) {
				next = x
			}
		case x.sound() && x.sensor.Kind == m.sensor.Kind:
			if n++; !math.IsNaN(x.move) {
				moves, scatter = append(moves, x.move), max(scatter, x.scatter)
			}
		}
	}
	if o == nil || !o.sound() && m.gone() {
		o = next
	}
	if o == nil || !m.pairs(nameHash(o.sensor.Name), c) || !o.sound() || n < minOthers {
		return nil, 0
	}
	return o, together(moves, math.Sqrt(2*scatter))
}

// together is the mean of moves of which each is like most of them, with a noise, all in K; NaN where these are fewer than minOthers. Who drifts, sticks or fails moves otherwise. It sorts them: the
// order in which windows close must not matter.
func together(moves []float64, noise float64) float64 {
	if len(moves) < minOthers {
		return math.NaN()
	}
	slices.Sort(moves)
	middle := median(moves)
	limit := float64(likeNoises*noise) + float64(likeShare*math.Abs(middle))
	sum, n := 0.0, 0
	for _, v := range moves {
		if math.Abs(v-middle) <= limit {
			sum += v
			n++
		}
	}
	if n < minOthers {
		return math.NaN()
	}
	return sum / float64(n)
}

// pairs says whether a mate, by the hash of its name, is the one that the pairing is with, and has it begin with one where there is none, or not any more. Whoever is said to have changed
// places with another is not asked.
func (m *closing) pairs(id int64, c *course) bool {
	k := &m.memory
	switch {
	case k.Mate == id:
		return true
	case k.Mate == 0: // none yet, or an older version did not store it
	case m.gone(), k.Pair.Left == 0 && m.sensor.mate != nil:
		k.Pair, *c = pairing{}, course{}
	default:
		return false
	}
	k.Mate = id
	return true
}

// gone says whether the mate that the pairing is with may be given up.
func (m *closing) gone() bool {
	p := &m.memory.Pair
	return p.Left == 0 && m.window.Start-p.End > pairGone
}

// parted says whether one of the two windows ends without readings. Such a mate may be behind: what it will send moves its mean when this window has closed. That is nothing to a jump, but
// may be a step that its mate sees alone.
func (m *closing) parted(o *mate) bool {
	return m.window.End-m.last > pairBehind*m.interval || o.end-o.last > pairBehind*o.interval
}

// nameHash is never 0 but by a chance of one in 2^32, which costs a begin anew.
func nameHash(name string) int64 {
	hash := uint32(2166136261) // FNV-1a
	for i := range len(name) {
		hash = (hash ^ uint32(name[i])) * 16777619
	}
	return int64(hash)
}

// follow takes the next window of the sensor with its mate's mean, degC, and by how much both have moved more than the others, K, NaN where that is not known; it looks for a jump of at
// least least, and learns how the two usually move. turned: they changed places with it, or it shows that they had not.
func (p *pairing) follow(w *Window, mate, more, least float64, apart *offset) (turned bool) {
	if w.Start > p.End || math.IsNaN(more) {
		p.N = 0
	}
	if p.N == 0 {
		p.Both, more = [pairRing]float64{}, 0
	}
	own := w.Features[FMean]
	p.push(own-mate, p.Both[0]+more)
	p.N, p.End = min(p.N+1, pairRing), w.End
	if jump, limit := p.jumped(least, apart); jump != 0 {
		back := p.Left > 0 && (jump > 0) != (p.Jump > 0)
		if p.Jump, p.Limit, p.Level, p.Left = jump, limit, (p.Apart[0]+p.Apart[1])/2, swapWindows; back {
			p.end()
		}
		p.N = 1
		return true
	}
	if away := math.Abs(p.Apart[0] - p.Level); p.Left > 0 && away > max(swapAwayK, float64(swapAway*math.Abs(p.Jump))) {
		p.end() // it is heat after all
		turned = true
	}
	if p.N >= 3 {
		p.learn(math.Abs(p.Apart[0]-p.Apart[2]), math.Abs(p.Both[0]-p.Both[2]))
	}
	return turned
}

func (p *pairing) end() { p.Jump, p.Limit, p.Level, p.Left = 0, 0, 0, 0 }

func (p *pairing) push(apart, both float64) {
	copy(p.Apart[1:], p.Apart[:pairRing-1])
	copy(p.Both[1:], p.Both[:pairRing-1])
	p.Apart[0], p.Both[0] = apart, both
}

// learn takes the newest moves over two windows, K. One that is unlike the usual counts for no more than moveClip times as much.
func (p *pairing) learn(apart, both float64) {
	if p.MoveN > minMoves/2 {
		apart = min(apart, float64(moveClip*p.Move)+swapLeast/10)
		both = min(both, float64(moveClip*p.MoveBoth)+swapLeast/10)
	}
	p.MoveN = min(p.MoveN+1, moveMemory)
	p.Move += float64((apart - p.Move) / float64(p.MoveN))
	p.MoveBoth += float64((both - p.MoveBoth) / float64(p.MoveN))
}

// jumped gives the jump of Apart from the mean of two windows to the mean of the next two but one, and the limit that it passed, both in K; 0 when there was none. The window
// between them is the one in which it happened. Before and after Apart has to stand: what goes on moving is heat.
func (p *pairing) jumped(least float64, apart *offset) (jump, limit float64) {
	if p.MoveN < minMoves || p.N < pairRing {
		return 0, 0
	}
	a, b := &p.Apart, &p.Both
	before, after := (a[3]+a[4])/2, (a[0]+a[1])/2
	size, limit := math.Abs(after-before), max(least, float64(swapJump*max(p.Move, p.MoveBoth)))
	calm := max(float64(swapCalm*size), min(float64(swapCalmMoves*p.Move), float64(swapCalmMost*size)))
	if size < limit || math.Abs(a[0]-a[1]) > calm || math.Abs(a[3]-a[4]) > calm || !apart.mirrors(before, after) ||
		math.Abs(b[0]+b[1]-b[3]-b[4])/2 > float64(swapLike*size) {
		return 0, 0
	}
	return after - before, limit
}
