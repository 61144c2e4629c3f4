package main

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// longTime is a duration that may be given in days: 90d, 1d12h, 36h.
type longTime time.Duration

// UnmarshalText reads one.
func (s *longTime) UnmarshalText(text []byte) error {
	whole := string(text)
	days, rest, found := strings.Cut(whole, "d")
	if !found {
		days, rest = "0", whole
	}
	n, err := strconv.ParseUint(days, 10, 31)
	if err != nil || n > math.MaxInt64/uint64(24*time.Hour) {
		return fmt.Errorf("%q is no duration: write 90d, 36h or 1d12h", whole)
	}
	d := time.Duration(0)
	if rest != "" || !found {
		if d, err = time.ParseDuration(rest); err != nil {
			return fmt.Errorf("%q is no duration: write 90d, 36h or 1d12h", whole)
		}
	}
	if d += time.Duration(n) * 24 * time.Hour; d < 0 {
		return fmt.Errorf("%q is below 0, or too long", whole)
	}
	*s = longTime(d)
	return nil
}

// byteSize is a number of bytes that may be given with a unit: 500MB, 20GiB.
type byteSize int64

// UnmarshalText reads one.
func (b *byteSize) UnmarshalText(text []byte) error {
	whole := strings.TrimSpace(string(text))
	number := strings.TrimRight(whole, "BGKMTabikgmt ")
	unit, ok := map[string]float64{"": 1, "b": 1, "kb": 1e3, "mb": 1e6, "gb": 1e9, "tb": 1e12,
		"kib": 1 << 10, "mib": 1 << 20, "gib": 1 << 30, "tib": 1 << 40}[strings.ToLower(strings.TrimSpace(whole[len(number):]))]
	n, err := strconv.ParseFloat(number, 64)
	if err != nil || !ok || !(n >= 0 && n*unit < math.MaxInt64) { // NaN is neither
		return fmt.Errorf("%q is no number of bytes: write 500MB, 20GiB or 1048576", whole)
	}
	*b = byteSize(n * unit)
	return nil
}

// roomMark is a number of bytes, or auto, or off.
type roomMark int64

// UnmarshalText reads one: 0 is auto, below 0 is off.
func (m *roomMark) UnmarshalText(text []byte) error {
	switch strings.ToLower(strings.TrimSpace(string(text))) {
	case "auto":
		*m = 0
		return nil
	case "off", "0":
		*m = -1
		return nil
	}
	var b byteSize
	if err := b.UnmarshalText(text); err != nil {
		return fmt.Errorf("%w; or auto, or off", err)
	}
	*m = roomMark(b)
	return nil
}
