package console

import (
	"context"
	"errors"
)

// ErrNotFound is what Source.Sensor returns, wrapped or not, for a sensor it has never seen.
var ErrNotFound = errors.New("not found")

// Source gives what the console shows. Every answer is a snapshot: the console changes nothing in it, and the source must not
// either once it is given. All methods are called from several goroutines at once, and return soon after ctx has ended.
type Source interface {
	// Snapshot gives the whole present state. It is asked for at most once a Refresh.
	Snapshot(ctx context.Context) (Snapshot, error)
	// Sensor gives at most limit windows of one sensor, newest first, or ErrNotFound.
	Sensor(ctx context.Context, site, asset, sensor string, limit int) (SensorDetail, error)
	// Quarantine gives the newest windows and messages that a filter lets through.
	Quarantine(ctx context.Context, f QuarantineFilter) (QuarantinePage, error)
	// Alerts gives at most limit alerts, newest first.
	Alerts(ctx context.Context, limit int) ([]Alert, error)
}

// Health says whether the process lives and whether it takes and commits messages. Both methods answer at once.
type Health interface {
	Alive() bool
	Ready() (ok bool, reasons []string)
}

// Snapshot is everything the page shows.
type Snapshot struct {
	Summary
	Assets []Asset `json:"assets"`
}

// Summary is a Snapshot without its assets.
type Summary struct {
	At         Time       `json:"at"` // wall clock of the snapshot; the console fills it in when it is 0
	Status     Status     `json:"status"`
	Rates      Rates      `json:"rates"`
	Ledger     Ledger     `json:"ledger"`
	Counts     Counts     `json:"counts"`
	Levels     Levels     `json:"levels"`
	Alerts     []Alert    `json:"alerts"` // the newest, some tens
	Quarantine Quarantine `json:"quarantine"`
}

// Status is what the platform says of itself; the same words as in cidp/v1/status.
type Status struct {
	State   string   `json:"state"` // "online" or "degraded"
	Reasons []string `json:"reasons"`
	Version string   `json:"version"` // the console fills in its own when it is empty
	Model   string   `json:"model"`
	Since   Time     `json:"since"` // wall clock of the start
}

// Rates are per second of wall clock, over the last second or so.
type Rates struct {
	ReadingsPerS Figure `json:"readings_per_s"`
	Received     Figure `json:"received"`
	Stored       Figure `json:"stored"`
	Duplicate    Figure `json:"duplicate"`
	Late         Figure `json:"late"`
	Refused      Figure `json:"refused"`
}

// Ledger is the law received = stored + duplicate + late + refused. Holds must come from whoever checked it; the page adds up
// for itself as well, and marks the law as broken when either says so.
type Ledger struct {
	Received        int64            `json:"received"`
	Stored          int64            `json:"stored"`
	Duplicate       int64            `json:"duplicate"`
	Late            int64            `json:"late"`
	Refused         int64            `json:"refused"`
	Holds           bool             `json:"holds"`
	RefusedByReason map[string]int64 `json:"refused_by_reason"`
}

// Counts are totals of the warehouse.
type Counts struct {
	Assets       int64 `json:"assets"`
	Sensors      int64 `json:"sensors"`
	Windows      int64 `json:"windows"`
	Quarantined  int64 `json:"quarantined"` // windows
	Predictions  int64 `json:"predictions"`
	AlertsActive int64 `json:"alerts_active"`
}

// Levels count sensors by the level of their newest window.
type Levels struct {
	Normal      int64 `json:"normal"`
	Watch       int64 `json:"watch"`
	Alarm       int64 `json:"alarm"`
	Critical    int64 `json:"critical"`
	Quarantined int64 `json:"quarantined"`
	Unknown     int64 `json:"unknown"`
}

// What a level can be here beside the model's own "normal", "watch", "alarm" and "critical".
const (
	LevelQuarantined = "quarantined" // the newest window was refused: the data, not the machine, is in doubt
	LevelUnknown     = "unknown"     // no window has closed yet
)

// Asset is one vehicle or installation. (Site, Asset) is unique in a Snapshot.
type Asset struct {
	Site    string   `json:"site"`
	Asset   string   `json:"asset"`
	Level   string   `json:"level"` // the worst of its sensors'
	Sensors []Sensor `json:"sensors"`
}

// Sensor is the newest closed window of one sensor.
type Sensor struct {
	Sensor      string   `json:"sensor"`
	Kind        string   `json:"kind"`
	Level       string   `json:"level"`
	PFailure    Figure   `json:"p_failure"` // NaN without a prediction
	MeanC       Figure   `json:"mean_c"`    // degC; NaN without a mean
	Source      string   `json:"source"`    // "forest", or the rule that spoke; empty without a prediction
	WindowStart Time     `json:"window_start"`
	WindowEnd   Time     `json:"window_end"`
	Verdict     string   `json:"verdict"` // "valid", "quarantined", or empty without a window
	Reasons     []string `json:"reasons"` // why it was quarantined
}

// Alert is the present state of one alert; the names of the alert payload.
type Alert struct {
	AlertID     string         `json:"alert_id"`
	Site        string         `json:"site"`
	Asset       string         `json:"asset"`
	Sensor      string         `json:"sensor"`
	State       string         `json:"state"`    // "active" or "cleared"
	Severity    string         `json:"severity"` // a level
	RaisedAt    Time           `json:"raised_at"`
	UpdatedAt   Time           `json:"updated_at"`
	PFailure    Figure         `json:"p_failure"`
	Value       Figure         `json:"value"` // mean of the window that moved it last, degC
	Rule        string         `json:"rule"`
	Reason      string         `json:"reason"` // one sentence
	Explanation []Contribution `json:"explanation"`
	Method      string         `json:"explanation_method"` // "path", "tree_shap", "rule", or empty without an explanation
	WindowStart Time           `json:"window_start"`
	WindowEnd   Time           `json:"window_end"`
	Model       string         `json:"model"`
}

// Contribution is how much one feature moved a probability.
type Contribution struct {
	Feature      string `json:"feature"`
	Value        Figure `json:"value"` // in the feature's unit; NaN when its inputs were missing
	Contribution Figure `json:"contribution"`
	Text         string `json:"text"` // the value in words, with its unit and what is usual
}

// Quarantine counts what was refused, by reason, since the database was made.
type Quarantine struct {
	WindowsByReason  map[string]int64 `json:"windows_by_reason"`
	MessagesByReason map[string]int64 `json:"messages_by_reason"`
}

// SensorDetail is one sensor with its recent windows.
type SensorDetail struct {
	Site     string         `json:"site"`
	Asset    string         `json:"asset"`
	Sensor   string         `json:"sensor"`
	Kind     string         `json:"kind"`
	PeriodMs int64          `json:"period_ms"` // configured or learned time between readings, 0 while unknown
	Registry SensorRegistry `json:"registry"`
	Windows  []SensorWindow `json:"windows"` // newest first, newest revision of each
	Clock    *Clock         `json:"clock,omitempty"`
}

// Clock is what is known of the clock of a sensor's device since the start, transport included: an advisory, never a verdict.
type Clock struct {
	BehindMs int64 `json:"behind_ms"` // below 0: ahead
	Jumps    int   `json:"jumps"`
}

// SensorRegistry is what is in force for a sensor now, and which rule says so.
type SensorRegistry struct {
	Position     string            `json:"position"`
	Axle         int               `json:"axle"`
	Side         string            `json:"side"`
	Mate         string            `json:"mate"`      // the sensor it is compared with, empty when there is none
	PeriodMs     int64             `json:"period_ms"` // configured, 0: learned
	Limits       map[string]any    `json:"limits"`    // by the names of the sensors file
	LimitsSource string            `json:"limits_source"`
	From         map[string]string `json:"from"` // by kind, position, mate, period, limits: "sensors.toml line 12", "pattern axle*", "name", "learned", "default"
}

// SensorWindow is one closed window with what the model said of it.
type SensorWindow struct {
	WindowID     int64          `json:"window_id,string"`
	Revision     int            `json:"revision"`
	WindowStart  Time           `json:"window_start"`
	WindowEnd    Time           `json:"window_end"`
	N            int            `json:"n"`
	Expected     int            `json:"expected"`
	Completeness Figure         `json:"completeness"`
	Verdict      string         `json:"verdict"` // "valid" or "quarantined"
	Reasons      []string       `json:"reasons"`
	Detail       string         `json:"detail"`
	Missing      []string       `json:"missing"` // mate and peers, as the registry has them now, without a valid window of these times
	MeanC        Figure         `json:"mean_c"`
	MinC         Figure         `json:"min_c"`
	MaxC         Figure         `json:"max_c"`
	AmbientC     Figure         `json:"ambient_c"`
	PFailure     Figure         `json:"p_failure"` // NaN without a prediction
	Level        string         `json:"level"`     // empty without a prediction
	Source       string         `json:"source"`
	Model        string         `json:"model"`
	Explanation  []Contribution `json:"explanation"`
	Method       string         `json:"explanation_method"` // "path", "rule" where the rules spoke alone, or empty without an explanation
}
