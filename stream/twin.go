package stream

import "math"

// Of two of a kind none can tell by itself which is wrong, but how they come apart tells what it is. A sensor's error is the same at every temperature, or in proportion to the rise
// over ambient; heat comes and goes with speed and brakes. So the deviation is followed from window to window twice: as it is, and as a share of the sensor's own rise. The one of the
// two that stands still names the fault; where neither does it may be heat. Which of the two it is it does not tell: a component that is hot must
// not be hidden, so the higher one is out only where it cools as no heat does (cool.go).

// twin follows a sensor's deviation from the only other ones of its kind.
type twin struct {
	At    int64   // end of the last window that was compared, ms; 0: none
	Off   float64 // K: deviation in it
	Own   float64 // K: the sensor's rise over ambient in it
	Moves float64 // K²: how much the deviation moves from window to window, squared and summed, the past forgotten
	Bends float64 // K²: how much its share of the rise does, at the rise of now
	N     float64 // windows that the sums stand on
}

const (
	twinForget = 0.85
	twinMinN   = 4.0
	twinMinK   = 5.0  // K of rise: below it a share of it says nothing
	twinStill  = 0.25 // of the deviation: what moves less from window to window stands still
	twinMost   = 1.0  // K: but nothing that moves more
)

func (t *twin) sound() bool {
	ok := t.At >= 0 && t.At < MaxTS && t.Moves >= 0 && t.Bends >= 0 && t.N >= 0
	for _, v := range []float64{t.Off, t.Own, t.Moves, t.Bends, t.N} {
		ok = ok && !math.IsNaN(v) && !math.IsInf(v, 0)
	}
	return ok
}

// follow takes a window's deviation and rise.
func (t *twin) follow(start, end int64, off, own float64) {
	if own < twinMinK {
		*t = twin{}
		return
	}
	if t.At == start {
		move := off - t.Off
		bend := (off/own - t.Off/t.Own) * own
		t.Moves = float64(t.Moves*twinForget) + float64(move*move)
		t.Bends = float64(t.Bends*twinForget) + float64(bend*bend)
		t.N = float64(t.N*twinForget) + 1
	} else {
		t.Moves, t.Bends, t.N = 0, 0, 0
	}
	t.At, t.Off, t.Own = end, off, own
}

// tells says whether a deviation, K, is a sensor's, and whether it is in proportion to the rise.
func (t *twin) tells(off float64) (sensor, gain bool) {
	still := min(twinMost*twinMost, float64(twinStill*twinStill)*float64(off*off))
	return t.N >= twinMinN && min(t.Moves, t.Bends) < float64(still*t.N), t.Bends < t.Moves
}
