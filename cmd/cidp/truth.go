package main

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/camrail/cidp/model"
	"github.com/camrail/cidp/simulator"
	"github.com/camrail/cidp/stream"
)

// place names a sensor.
type place struct{ site, asset, sensor string }

// knownOf is what is known of the component that a sensor watches.
type knownOf struct {
	told    []model.Told
	unclear []model.Span
	until   int64 // the newest of it, ms
}

func (k *knownOf) tell(t model.Told) { k.told, k.until = append(k.told, t), max(k.until, t.At) }

// known is what is known, by sensor.
type known map[place]*knownOf

func (k known) of(p place) *knownOf {
	of := k[p]
	if of == nil {
		of = &knownOf{}
		k[p] = of
	}
	return of
}

// hear takes in what workshops found: what stands of it.
func (k known) hear(all []stream.Finding) {
	for _, f := range stream.Standing(all) {
		of := k.of(place{f.Site, f.Asset, f.Sensor})
		of.tell(model.ToldBy(&f))
		of.until = max(of.until, f.TS)
	}
}

// read takes in a truth or maintenance file: CSV with the columns site, asset, sensor and failure_ms, and as far as known fault, onset_ms and sound_ms (when it was sound again). Times are epoch milliseconds or
// dates. A row without failure_ms is a fault that never came to a failure: its sensor's windows from the onset on are neither healthy nor failing, unless the fault is the sensor's own.
func (k known) read(path string) error {
	in, done, err := openPlain(path)
	if err != nil {
		return err
	}
	defer done()
	t, err := openTable(in)
	if err != nil {
		return err
	}
	var need, may [4]int
	for i, name := range []string{"site", "asset", "sensor", "failure_ms"} {
		if need[i], err = t.column(name); err != nil {
			return err
		}
	}
	for i, name := range []string{"fault", "onset_ms", "sound_ms"} {
		may[i] = slices.Index(t.header, name)
	}
	for {
		fields, line, err := t.next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		get := func(i int) string {
			if i < 0 {
				return ""
			}
			return strings.TrimSpace(fields[i])
		}
		if err := k.row(place{get(need[0]), get(need[1]), get(need[2])}, get(may[0]), get(may[1]), get(need[3]), get(may[2])); err != nil {
			return fmt.Errorf("line %d: %w", line, err)
		}
	}
}

// row takes in one row of such a file; times that are not known are empty.
func (k known) row(p place, fault, onset, failure, sound string) error {
	for _, name := range []string{p.site, p.asset, p.sensor} {
		if !stream.ValidName(name) {
			return fmt.Errorf("%q is no site, asset or sensor", name)
		}
	}
	var at [3]int64
	for i, text := range []string{onset, failure, sound} {
		if text == "" {
			continue
		}
		var err error
		if at[i], err = parseTime(text, time.UTC); err != nil {
			return err
		}
	}
	p.site, p.asset, p.sensor = strings.Clone(p.site), strings.Clone(p.asset), strings.Clone(p.sensor) // the fields are the reader's
	of := k.of(p)
	switch {
	case at[1] != 0 && at[0] > at[1]:
		return errors.New("the onset is after the failure")
	case at[1] != 0:
		of.tell(model.Told{At: at[1], Down: true, Onset: at[0]})
	case at[0] != 0 && !slices.Contains(simulator.SensorFaults(), fault):
		to := at[2]
		if to == 0 {
			to = stream.MaxTS
		}
		of.unclear = append(of.unclear, model.Span{From: at[0], To: to})
	}
	if at[2] != 0 {
		of.tell(model.Told{At: at[2]})
	}
	return nil
}
