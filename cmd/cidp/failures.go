package main

import (
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"github.com/camrail/cidp/model"
	"github.com/camrail/cidp/simulator"
	"github.com/camrail/cidp/stream"
)

// truthColumns are the columns of a truth file (contract, section 1), in any order and among others.
var truthColumns = []string{"site", "asset", "sensor", "fault", "onset_ms", "failure_ms"}

// readTruth reads what was wrong, with which component, from when, and when it failed. onset_ms is empty where it is not known, failure_ms where nothing failed. A fault that has one of the
// simulator's names of sensor faults is the sensor's: its component is sound.
func readTruth(in io.Reader) ([]model.Failure, error) {
	t, err := openTable(in)
	if err != nil {
		return nil, err
	}
	var at [6]int
	for i, name := range truthColumns {
		if at[i], err = t.column(name); err != nil {
			return nil, err
		}
	}
	var out []model.Failure
	for {
		fields, line, err := t.next()
		var bad *csv.ParseError
		switch {
		case errors.Is(err, io.EOF):
			return out, nil
		case errors.As(err, &bad):
			return nil, err // it names its line
		case err != nil:
			return nil, fmt.Errorf("after line %d: %w", line, err)
		}
		var row [6]string
		for i := range row {
			row[i] = strings.TrimSpace(strings.Clone(fields[at[i]]))
		}
		f, err := truthRow(row)
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", line, err)
		}
		out = append(out, f)
	}
}

func truthRow(row [6]string) (f model.Failure, err error) {
	f = model.Failure{Site: row[0], Asset: row[1], Sensor: row[2], Fault: row[3]}
	for i, name := range row[:3] {
		if !stream.ValidName(name) {
			return f, fmt.Errorf("%s %q is not 1 to 64 characters of A-Z a-z 0-9 . _ -", truthColumns[i], name)
		}
	}
	if f.Onset, err = truthTime(row[4]); err != nil {
		return f, fmt.Errorf("onset_ms: %w", err)
	}
	if f.At, err = truthTime(row[5]); err != nil {
		return f, fmt.Errorf("failure_ms: %w", err)
	}
	f.OfSensor = slices.Contains(simulator.SensorFaults(), f.Fault)
	switch {
	case f.At != 0 && f.At < f.Onset:
		return f, errors.New("it fails before its onset")
	case f.At != 0 && f.OfSensor:
		return f, fmt.Errorf("%s is a fault of the sensor, which has no failure of the component", f.Fault)
	case f.At == 0 && f.Onset == 0:
		return f, errors.New("there is neither an onset nor a failure")
	}
	return f, nil
}

// truthTime reads epoch milliseconds; empty is 0.
func truthTime(s string) (int64, error) {
	if s == "" {
		return 0, nil
	}
	ts, err := strconv.ParseInt(s, 10, 64)
	if err != nil {
		return 0, fmt.Errorf("%q is not a whole number of milliseconds", s)
	}
	if ts < stream.MinTS || ts >= stream.MaxTS {
		return 0, fmt.Errorf("%d ms is before 2000 or after 2248", ts)
	}
	return ts, nil
}

// openTruth reads a truth file.
func openTruth(path string) ([]model.Failure, error) {
	in, done, err := openPlain(path)
	if err != nil {
		return nil, fmt.Errorf("read truth %s: %w", path, err)
	}
	defer done()
	rows, err := readTruth(in)
	if err != nil {
		return nil, fmt.Errorf("read truth %s: %w", path, err)
	}
	return rows, nil
}
