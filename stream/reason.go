package stream

// Reason is the code under which a message, a reading or a window is refused. Codes are persisted in tables, metrics and
// other people's dashboards: they are added to, never changed.
type Reason string

// Reasons for a message or a reading, in order of precedence.
const (
	TooLarge     Reason = "too_large"
	UnknownTopic Reason = "unknown_topic"
	BadName      Reason = "bad_name"
	Malformed    Reason = "malformed"
	MissingField Reason = "missing_field"
	NotFinite    Reason = "not_finite"
	BadTime      Reason = "bad_time"
	Future       Reason = "future"
	TooOld       Reason = "too_old"
	Duplicate    Reason = "duplicate"
	Conflict     Reason = "conflict"
	Late         Reason = "late"
)

// Reasons for a window's quarantine.
const (
	Incomplete   Reason = "incomplete"
	Gap          Reason = "gap"
	OutOfRange   Reason = "out_of_range"
	Flatline     Reason = "flatline"
	Spikes       Reason = "spikes"
	RateOfChange Reason = "rate_of_change"

	PeerDisagreement Reason = "peer_disagreement"
	SensorDrift      Reason = "sensor_drift"
	Fouling          Reason = "fouling"
	Swapped          Reason = "swapped"       // with its mate (pair.go)
	FailsafeOpen     Reason = "failsafe_open" // of the asset (failsafe.go), never of the window itself
)
