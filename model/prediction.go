package model

import (
	"encoding/json"
	"fmt"
	"math"
	"slices"
)

// Level is how worried to be, in rising order. It is also an alert's severity. As JSON or text it is its name.
type Level uint8

// The levels.
const (
	Normal Level = iota
	Watch
	Alarm
	Critical
)

var levelNames = [...]string{"normal", "watch", "alarm", "critical"}

// String gives the name used in tables and payloads.
func (l Level) String() string {
	if int(l) < len(levelNames) {
		return levelNames[l]
	}
	return fmt.Sprintf("level %d", uint8(l))
}

// ParseLevel undoes String.
func ParseLevel(name string) (Level, error) {
	i := slices.Index(levelNames[:], name)
	if i < 0 {
		return Normal, fmt.Errorf("parse level: %q is not normal, watch, alarm or critical", name)
	}
	return Level(i), nil
}

// MarshalText gives the level's name.
func (l Level) MarshalText() ([]byte, error) {
	if int(l) >= len(levelNames) {
		return nil, fmt.Errorf("write level: there is no level %d", uint8(l))
	}
	return []byte(levelNames[l]), nil
}

// UnmarshalText reads a level's name.
func (l *Level) UnmarshalText(text []byte) (err error) {
	*l, err = ParseLevel(string(text))
	return err
}

// Contribution is how much one feature moved a probability: positive towards failure.
type Contribution struct {
	Feature      string  `json:"feature"`
	Value        float64 `json:"value"` // in the feature's unit; a missing value is written null
	Contribution float64 `json:"contribution"`

	Usual *float64 `json:"usual,omitempty"` // median of the rows that the model learnt from; nil where it is not known
}

// MarshalJSON writes a missing value as null, since JSON has no NaN.
func (c Contribution) MarshalJSON() ([]byte, error) { return appendContribution(nil, c), nil }

// UnmarshalJSON undoes MarshalJSON: null is NaN.
func (c *Contribution) UnmarshalJSON(text []byte) error {
	var raw struct {
		Feature      string   `json:"feature"`
		Value        *float64 `json:"value"`
		Contribution *float64 `json:"contribution"`
		Usual        *float64 `json:"usual"`
	}
	if err := json.Unmarshal(text, &raw); err != nil {
		return fmt.Errorf("read contribution: %w", err)
	}
	*c = Contribution{raw.Feature, orNaN(raw.Value), orNaN(raw.Contribution), raw.Usual}
	return nil
}

func orNaN(v *float64) float64 {
	if v == nil {
		return math.NaN()
	}
	return *v
}

// Prediction is what a model says of one valid window.
type Prediction struct {
	WindowID    int64 // stream.Window.ID
	Revision    int
	SensorID    int64
	Start, End  int64 // ms
	PFailure    float64
	Level       Level
	Source      string         // "forest", the rule that spoke, or "rules" where the rules speak alone and none has its inputs
	RuleScore   float64        // 0 to 1, the strongest rule
	ModelID     string         // RulesID where the rules speak alone
	Explanation []Contribution // path contributions; what the rule looked at where the rules speak alone
	Score       *float64       // of a calibrated model: the score before, which its explanation adds up to; nil: PFailure is it
	Hold        Hold           // the sensor's alert hold after this window
}

// ShadowPrediction is what a model in shadow says of a valid window: it is kept, compared, and told to nobody.
type ShadowPrediction struct {
	WindowID int64
	Revision int
	ModelID  string
	PFailure float64
	Differs  bool // the probability falls into another level than the live one's, both without hysteresis; not stored
}

// AlertState is where an alert stands.
type AlertState string

// The states.
const (
	Active  AlertState = "active"
	Cleared AlertState = "cleared"
)

// Alert is the present state of one alert. Its id is derived from the sensor's names and the window that raised it, so that the same readings give the
// same id.
type Alert struct {
	ID          string
	SensorID    int64 // 0: of a whole asset or site, which is the Place
	Place       Place // where SensorID is 0
	State       AlertState
	Severity    Level
	RaisedAt    int64 // event time: end of the window that raised it, ms
	UpdatedAt   int64 // event time: end of the window that moved it last, ms
	PFailure    float64
	Value       float64 // the window's mean temperature, degC
	Rule        string  // "forest" or the rule that spoke
	Reason      string  // one sentence
	Explanation []Contribution
	Method      string   // of the explanation: MethodTreeSHAP where the alert was raised or became worse and the model can, else MethodPath; MethodRule where the rules speak alone; empty without one
	Score       *float64 // as Prediction.Score
	WindowID    int64    // 0: no window moved it
	Start, End  int64    // of the window that moved it last, ms
	ModelID     string
	Ack         *Ack // nil while nobody has acknowledged it
}

// Ack says who took an alert on.
type Ack struct {
	By   string
	At   int64 // wall clock, ms
	Note string
}

// Transition is one change of an alert, kept for ever.
type Transition struct {
	AlertID  string
	SensorID int64 // 0: of a whole asset or site
	WindowID int64 // 0: no window made it
	Revision int
	At       int64  // event time, ms
	Kind     string // "raised", "severity", "cleared"
	From, To Level
	State    AlertState
	Cause    string // one sentence
	Actor    string // "line", or who did it
}
