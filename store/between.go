package store

// Windows of a sensor that hops overlap (stream/hop.go). Those that learn, one after the other, have a memory, set flags and carry the alert's hold; those between are told by the
// first byte of what stands in the memory's place, and by a hold that never was. So the tables need no further column, and an index look-up steps over a few rows at most.
const (
	learnt  = `substr(memory, 1, 1) IS NOT x'68'` // of telemetry_window; stream.IsBetween in SQL
	hasHold = `hold_last_end_ms >= 0`             // of ai_telemetry_predictions; model.Hold.None in SQL
)
