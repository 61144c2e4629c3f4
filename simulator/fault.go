package simulator

import (
	"slices"
	"strings"
)

// The faults a fleet may have. Names are those of the truth file and of the command line.
const (
	LubricationLoss = "lubrication_loss" // bearing: slow rise, then a runaway of about 3 K/min
	Spall           = "spall"            // bearing: intermittent, noisy, small; highest before the end
	SealRub         = "seal_rub"         // bearing: +10..25 K; beds in over hours, or grows to a failure
	DraggingBrake   = "dragging_brake"   // brake disc without demand; both bearings of the axle follow
	BlockedCooling  = "blocked_cooling"  // motor or transformer

	Fouling     = "fouling"      // a dirt layer: gain towards ambient down to 0.6, lag up to five times and more
	Drift       = "drift"        // a slow ramp away from the truth
	Stuck       = "stuck"        // the same value for ever
	Spikes      = "spikes"       // single readings far off
	Dropout     = "dropout"      // readings missing one by one, or for minutes
	OpenCircuit = "open_circuit" // railed at 850 degC
	ClockSkew   = "clock_skew"   // event times off by 35 to 90 s, ahead or behind
	Duplicates  = "duplicates"   // readings sent again
	LateBursts  = "late_bursts"  // readings held for minutes and sent at once
	Swap        = "swap"         // left and right exchanged
)

// MachineFaults and SensorFaults list the faults by nature, in the order in which they are placed.
func MachineFaults() []string {
	return []string{LubricationLoss, DraggingBrake, BlockedCooling, SealRub, Spall}
}

// SensorFaults lists the faults of sensors and of their way to the broker.
func SensorFaults() []string {
	return []string{Fouling, Drift, Stuck, Spikes, Dropout, OpenCircuit, ClockSkew, Duplicates, LateBursts, Swap}
}

// ParseFaults reads "all", "none" (or nothing), or names separated by commas. The names come back in placing order, once each.
func ParseFaults(list string) ([]string, error) {
	return normalFaults(strings.Split(list, ","))
}

// normalFaults resolves all and none, refuses unknown names, and orders what is left.
func normalFaults(names []string) ([]string, error) {
	every := append(MachineFaults(), SensorFaults()...)
	asked := map[string]bool{}
	for _, name := range names {
		switch name = strings.TrimSpace(name); {
		case name == "", name == "none":
		case name == "all":
			for _, f := range every {
				asked[f] = true
			}
		case slices.Contains(every, name):
			asked[name] = true
		default:
			return nil, unknownFaultError{name: name, known: every}
		}
	}
	return slices.DeleteFunc(every, func(f string) bool { return !asked[f] }), nil
}

type unknownFaultError struct {
	name  string
	known []string
}

func (e unknownFaultError) Error() string {
	return `fault "` + e.name + `" is not known: use all, none, or a list of ` + strings.Join(e.known, ", ")
}
