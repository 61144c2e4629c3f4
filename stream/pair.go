package stream

import (
	"math"
	"slices"
)

// Two mates whose cables changed places tell the truth, each of the other end of the axle: nothing that one of them shows is implausible. What shows is the moment. At once one goes
// up and the other down by the same, each goes on where the other was, and the rest of the vehicle does nothing of the kind. No component does that: metal needs minutes, and heat that
// one end loses does not appear in the other. Both windows are out then, as of a sensor that measures something else.
//
// It is seen by the windows' means: how far the two are apart, and how far both together are off the others. Each is held against how it usually moves, so that rough sensors and
// rough lines ask for larger jumps. The state ends when they jump back, and after swapWindows: the readings are true, and whoever was to look at the cables has been told.

// The limits of two that changed places.
const (
	pairRing      = 5    // windows looked at
	minMoves      = 10   // moves before anything is said
	moveMemory    = 60   // moves that the usual one stands on
	moveClip      = 4.0  // times the usual move: more is no measure of what is usual
	swapJump      = 4.5  // usual moves: a jump from the mean of two windows to the mean of the next two but one
	swapLeast     = 0.08 // K: no less is called a jump
	swapQuanta    = 2    // nor less than so many steps of the sensor's resolution
	swapCalm      = 0.16 // of the jump: how far the two may move before it and after it
	swapCalmMoves = 3.0  // or so many usual moves
	swapCalmMost  = 0.25 // but never by more
	swapLike      = 0.2  // of the jump: how far both together may move
	swapLikeMost  = 0.3  // and never by more: a jump of one alone moves both together by half of it
	swapBias      = 2.2  // K: before and after mirror each other but for two class B sensors at 50 degC (IEC 60751), counted twice
	swapAwayK     = 1.0  // K: two that move on by more than that move by heat
	swapAway      = 1.5  // and by more than so many times the jump: back it goes by one
	swapWindows   = 60   // windows for which it is said
	minOthers     = 2    // sensors of the kind besides the two
	swapUnknown   = 20.0 // degC: ambient, where it is not known
)

// pairing is the part of a sensor's memory by which it is told from its mate. It folds over closed windows in event-time order.
type pairing struct {
	Apart    [pairRing]float64 // K: own mean less the mate's, newest first
	Both     [pairRing]float64 // K: mean of the two less the median of the others
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
	p, w := &m.memory.Pair, m.window
	if p.Left > 0 {
		p.Left--
	}
	name := "its mate"
	if o, others := m.beside(with); o != nil {
		name = o.sensor.Name
		p.follow(w, o.mean, others, max(swapLeast, float64(swapQuanta*m.memory.Quantum.Float())))
	} else {
		p.N = 0
	}
	over := w.Features[FOverAmbient]
	if math.IsNaN(over) {
		over = w.Features[FMean] - swapUnknown
	}
	if p.Left > 0 && over < hotK {
		m.object(Swapped, "it and %s have changed places: at once one went up and the other down by %.2f K, limit %.2f K, and each goes on where the other was", name, math.Abs(p.Jump)/2, p.Limit/2)
	}
}

// beside gives the window's mate, the first by name, and the median of the others of its kind, degC; nil where one of the two is broken or the others are too few.
func (m *closing) beside(with []mate) (o *mate, others float64) {
	if len(m.window.Reasons) > 0 || m.memory.Gauge.Verdict != gaugeSound || math.IsNaN(m.window.Features[FMean]) {
		return nil, 0
	}
	var room [32]float64
	means := room[:0]
	for i := range with {
		x := &with[i]
		if !m.meets(x) || !x.sound() {
			continue
		}
		switch {
		case !m.sensor.hasMate(x.sensor):
			if x.sensor.Kind == m.sensor.Kind {
				means = append(means, x.mean)
			}
		case o == nil || x.sensor.Name < o.sensor.Name:
			o = x
		}
	}
	if len(means) < minOthers {
		return nil, 0
	}
	return o, median(means)
}

// follow takes the next window of the sensor with its mate's and the others' mean, degC, looks for a jump of at least least, and learns how the two usually move.
func (p *pairing) follow(w *Window, mate, others, least float64) {
	if w.Start > p.End {
		p.N = 0
	}
	own := w.Features[FMean]
	p.push(own-mate, (own+mate)/2-others)
	p.N, p.End = min(p.N+1, pairRing), w.End
	if jump, limit := p.jumped(least); jump != 0 {
		back := p.Left > 0 && (jump > 0) != (p.Jump > 0)
		if p.Jump, p.Limit, p.Level, p.Left = jump, limit, (p.Apart[0]+p.Apart[1])/2, swapWindows; back {
			p.end()
		}
		p.N = 1
		return
	}
	if away := math.Abs(p.Apart[0] - p.Level); p.Left > 0 && away > max(swapAwayK, float64(swapAway*math.Abs(p.Jump))) {
		p.end() // it is heat after all
	}
	if p.N >= 3 {
		p.learn(math.Abs(p.Apart[0]-p.Apart[2]), math.Abs(p.Both[0]-p.Both[2]))
	}
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
func (p *pairing) jumped(least float64) (jump, limit float64) {
	if p.MoveN < minMoves || p.N < pairRing {
		return 0, 0
	}
	a, b := &p.Apart, &p.Both
	before, after := (a[3]+a[4])/2, (a[0]+a[1])/2
	size, limit := math.Abs(after-before), max(least, float64(swapJump*max(p.Move, p.MoveBoth)))
	calm := max(float64(swapCalm*size), min(float64(swapCalmMoves*p.Move), float64(swapCalmMost*size)))
	alike := min(float64(swapLike*size)+float64(2*p.MoveBoth), float64(swapLikeMost*size))
	if size < limit || math.Abs(a[0]-a[1]) > calm || math.Abs(a[3]-a[4]) > calm || math.Abs(before+after) > swapBias ||
		math.Abs(b[0]+b[1]-b[3]-b[4])/2 > alike {
		return 0, 0
	}
	return after - before, limit
}
