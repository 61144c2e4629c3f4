package simulator

import (
	"slices"

	"github.com/camrail/cidp/stream"
)

// planner decides which sensors get which faults.
type planner struct {
	f       *Fleet
	rng     draw
	order   []int  // assets, shuffled once
	next    int    // position in order at which the search for a place goes on, so that faults spread over assets
	marked  []bool // by sensor: faulty, or affected by a fault
	machine []bool // by sensor: a machine fault is judged by it, so that it must stay true
	rows    int
}

// plan places every fault asked for once, as far as it fits with at most two sensors in five faulty, then goes round again
// until the wanted share of sensors is. It returns the faults that found no place.
func (f *Fleet) plan() (unplaced []string) {
	p := &planner{f: f, rng: newDraw(f.cfg.Seed, 0, 0, forPlan), order: make([]int, len(f.assets)),
		marked: make([]bool, len(f.info)), machine: make([]bool, len(f.info))}
	for i := range p.order {
		p.order[i] = i
	}
	p.rng.shuffle(len(p.order), func(i, j int) { p.order[i], p.order[j] = p.order[j], p.order[i] })
	var open []string // faults that may find another place
	for _, fault := range f.cfg.Faults {
		if 5*(p.rows+1) <= 2*len(f.info) && p.place(fault) {
			open = append(open, fault)
		} else {
			unplaced = append(unplaced, fault)
		}
	}
	want := int(float64(f.cfg.FaultShare * float64(len(f.info))))
	for len(open) > 0 && p.rows < want {
		open = slices.DeleteFunc(open, func(fault string) bool { return p.rows < want && !p.place(fault) })
	}
	return unplaced
}

// place puts one fault on the next asset that has a fitting place.
func (p *planner) place(fault string) bool {
	for range p.order {
		a := p.order[p.next]
		p.next = (p.next + 1) % len(p.order)
		if fits := p.fits(&p.f.assets[a], fault); len(fits) > 0 {
			p.put(a, fault, fits[p.rng.below(len(fits))])
			return true
		}
	}
	return false
}

// fits lists the positions in an asset's layout at which a fault may sit: never where another fault is, and a machine fault
// or a swap only where the sensors around it tell the truth.
func (p *planner) fits(as *asset, fault string) []int {
	whole := isMachine(fault) || fault == Swap
	var fits []int
	for i, s := range as.spots {
		if !suits(fault, s) || p.machine[as.first+i] {
			continue
		}
		free := !p.marked[as.first+i]
		for _, j := range around(as.spots, i) {
			free = free && !(whole && p.marked[as.first+j])
		}
		if free {
			fits = append(fits, i)
		}
	}
	return fits
}

func isMachine(fault string) bool { return slices.Contains(MachineFaults(), fault) }

// suits says whether a fault may sit at a spot.
func suits(fault string, s spot) bool {
	switch fault {
	case LubricationLoss, Spall, SealRub:
		return s.kind == stream.Bearing
	case Swap:
		return s.kind == stream.Bearing && s.side == "left"
	case DraggingBrake:
		return s.kind == stream.Brake
	case BlockedCooling:
		return s.kind == stream.Motor || s.kind == stream.Transformer
	}
	return true
}

// around lists the positions that a machine fault at i touches or is judged by: all of an axle's, or i alone.
func around(spots []spot, i int) []int {
	if spots[i].kind == stream.Motor || spots[i].kind == stream.Transformer {
		return []int{i}
	}
	var list []int
	for j, s := range spots {
		if s.axle == spots[i].axle && s.kind != stream.Motor {
			list = append(list, j)
		}
	}
	return list
}

// put makes the fault at position i of an asset, and its rows of the truth. Machine faults start at 10 to 30 % of the span,
// sensor faults at 10 to 50 %.
func (p *planner) put(a int, fault string, i int) {
	f, as := p.f, &p.f.assets[a]
	at := as.first + i
	rng := newDraw(f.cfg.Seed, a, i, forFault)
	latest := 0.5
	if isMachine(fault) {
		latest = 0.3
	}
	onset := f.start + int64(float64(rng.between(0.1, latest)*float64(f.cfg.Span.Milliseconds())))
	p.row(at, fault, onset)
	switch {
	case isMachine(fault):
		m := newMachineFault(rng, fault, onset)
		m.at, m.sensor = as.spots[i].at, at
		as.vehicle.faults = append(as.vehicle.faults, m)
		for _, j := range around(as.spots, i) {
			p.machine[as.first+j] = true
			if fault == DraggingBrake && j != i {
				p.row(as.first+j, fault, onset)
			}
		}
	case fault == Swap: // a left bearing's right mate is next to it
		f.sensors[at].fault = newSensorFault(rng, fault, onset)
		f.sensors[at+1].fault = newSensorFault(rng, fault, onset)
		p.row(at+1, fault, onset)
	default:
		f.sensors[at].fault = newSensorFault(rng, fault, onset)
	}
}

func (p *planner) row(at int, fault string, onset int64) {
	p.marked[at] = true
	p.rows++
	p.f.info[at].Fault, p.f.info[at].OnsetMs = fault, onset
}

// foresee runs the physics of the vehicles with machine faults ahead until all that will fail have failed, at most eight
// hours past the last onset, and writes the instants into the truth.
func (f *Fleet) foresee() {
	for i := range f.assets {
		as := &f.assets[i]
		until := int64(0)
		for _, m := range as.vehicle.faults {
			if !m.mends {
				until = max(until, m.onset+8*hourMs)
			}
		}
		v := as.vehicle.clone()
		for tick := int64(0); f.tickTime(tick) < until && !v.failed(); tick++ {
			for sub := range f.subs {
				v.step(f.subTime(tick, sub), f.dt)
			}
		}
		for _, m := range v.faults {
			f.info[m.sensor].FailureMs = m.failed
		}
	}
}
