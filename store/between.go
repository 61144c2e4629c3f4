package store

// Windows of a sensor that hops overlap (stream/hop.go). Those that learn, one after the other, have a memory, set flags and carry the alert's hold; those between are told by the
// first byte of what stands in the memory's place, and by a hold that never was. So the tables need no further column, and an index look-up steps over a few rows at most.
const (
	learnt  = `substr(memory, 1, 1) IS NOT x'68'` // of telemetry_window; stream.IsBetween in SQL
	hasHold = `p.hold_last_end_ms >= 0`           // of ai_telemetry_predictions p; model.Hold.None in SQL
)

// predicted are the windows w of one sensor that have a prediction p: the index of the windows gives them in order, newest first where that is asked for. Predictions have none that leads with the
// sensor. Where the newest are asked for, sensor.scored_ms says where they begin, so that windows in quarantine since are not looked at.
const predicted = `telemetry_window w CROSS JOIN ai_telemetry_predictions p ON p.window_id = w.window_id AND p.revision = w.revision WHERE w.sensor_id = ?1`

// scored is scored_ms of that sensor.
const scored = `(SELECT s.scored_ms FROM sensor s WHERE s.sensor_id = ?1)`
