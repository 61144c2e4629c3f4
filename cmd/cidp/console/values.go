package console

import (
	"encoding/json"
	"fmt"
	"math"
	"strconv"
	"time"
	"unicode/utf8"
)

// Time is an instant in epoch milliseconds. In JSON it is RFC 3339 in UTC with milliseconds, and null when it is 0.
type Time int64

const timeLayout = "2006-01-02T15:04:05.000Z"

// TimeOf gives an instant as a Time; the zero time.Time gives 0.
func TimeOf(t time.Time) Time {
	if t.IsZero() {
		return 0
	}
	return Time(t.UnixMilli())
}

// MarshalJSON never fails: an instant outside of the years 0 to 9999 is null, because RFC 3339 has no text for it.
func (t Time) MarshalJSON() ([]byte, error) {
	at := time.UnixMilli(int64(t)).UTC()
	if y := at.Year(); t == 0 || y < 0 || y > 9999 {
		return []byte("null"), nil
	}
	b := make([]byte, 0, len(timeLayout)+2)
	b = append(b, '"')
	b = at.AppendFormat(b, timeLayout)
	return append(b, '"'), nil
}

// UnmarshalJSON takes what MarshalJSON gives, and any other RFC 3339 text.
func (t *Time) UnmarshalJSON(b []byte) error {
	if string(b) == "null" {
		*t = 0
		return nil
	}
	var s string
	if err := json.Unmarshal(b, &s); err != nil {
		return fmt.Errorf("read time: %w", err)
	}
	at, err := time.Parse(time.RFC3339Nano, s)
	if err != nil {
		return fmt.Errorf("read time: %w", err)
	}
	*t = Time(at.UnixMilli())
	return nil
}

// Figure is a number that may be missing: NaN and infinities are null in JSON, and null is NaN.
type Figure float64

// Missing is the Figure of what is not known.
func Missing() Figure { return Figure(math.NaN()) }

// MarshalJSON gives the shortest text that reads back as the same number; it never fails.
func (f Figure) MarshalJSON() ([]byte, error) {
	v := float64(f)
	if math.IsNaN(v) || math.IsInf(v, 0) {
		return []byte("null"), nil
	}
	if a := math.Abs(v); a != 0 && (a < 1e-6 || a >= 1e21) {
		return strconv.AppendFloat(nil, v, 'e', -1, 64), nil
	}
	return strconv.AppendFloat(make([]byte, 0, 24), v, 'f', -1, 64), nil
}

// UnmarshalJSON takes a number or null.
func (f *Figure) UnmarshalJSON(b []byte) error {
	if string(b) == "null" {
		*f = Missing()
		return nil
	}
	var v float64
	if err := json.Unmarshal(b, &v); err != nil {
		return fmt.Errorf("read figure: %w", err)
	}
	*f = Figure(v)
	return nil
}

// Payload is the bytes of a refused message. In JSON it is their text when they are UTF-8 text, else "0x" and their hex digits.
type Payload []byte

// MarshalJSON never fails.
func (p Payload) MarshalJSON() ([]byte, error) {
	if utf8.Valid(p) {
		return json.Marshal(string(p))
	}
	return json.Marshal(fmt.Sprintf("0x%x", []byte(p)))
}
