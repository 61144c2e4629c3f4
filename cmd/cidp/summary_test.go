package main

import (
	"testing"

	"github.com/camrail/cidp/simulator"
)

// TestSensorFaultsHaveSigns: the summary of a demo knows what each fault of a sensor leads to, but for those that the line takes as they are.
func TestSensorFaultsHaveSigns(t *testing.T) {
	harmless := map[string]bool{simulator.ClockSkew: true, simulator.Duplicates: true}
	for _, fault := range simulator.SensorFaults() {
		if (len(signs[fault]) == 0) != harmless[fault] {
			t.Errorf("fault %s has the signs %v", fault, signs[fault])
		}
	}
}
