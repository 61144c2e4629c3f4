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

// read takes in the rows of a truth or maintenance file. A row without a failure is a fault that never came to one: its sensor's windows from the onset on are neither healthy nor failing, unless the fault is
// the sensor's own.
func (k known) read(rows []truthRow) {
	for _, r := range rows {
		of := k.of(r.place)
		switch {
		case r.failure != 0:
			of.tell(model.Told{At: r.failure, Down: true, Onset: r.onset})
		case !r.ofSensor():
			to := r.sound
			if to == 0 {
				to = stream.MaxTS
			}
			of.unclear = append(of.unclear, model.Span{From: r.onset, To: to})
		}
		if r.sound != 0 {
			of.tell(model.Told{At: r.sound})
		}
	}
}

// truthRow is one row of a truth or maintenance file. Times are epoch milliseconds, 0 where they are not known.
type truthRow struct {
	place
	fault                 string
	onset, failure, sound int64
}

// ofSensor says whether the fault is the sensor's, by the simulator's names: its component is sound.
func (r *truthRow) ofSensor() bool { return slices.Contains(simulator.SensorFaults(), r.fault) }

// openTruth reads a truth file.
func openTruth(path string) ([]truthRow, error) {
	in, done, err := openPlain(path)
	if err != nil {
		return nil, err
	}
	defer done()
	return readTruth(in)
}

// readTruth reads CSV with the columns site, asset, sensor and failure_ms, and as far as known fault, onset_ms and sound_ms (when it was sound again), in any order and among others. Times are epoch
// milliseconds or dates. What is empty is not known; without failure_ms nothing failed.
func readTruth(in io.Reader) (rows []truthRow, err error) {
	t, err := openTable(in)
	if err != nil {
		return nil, err
	}
	var need, may [4]int
	for i, name := range []string{"site", "asset", "sensor", "failure_ms"} {
		if need[i], err = t.column(name); err != nil {
			return nil, err
		}
	}
	for i, name := range []string{"fault", "onset_ms", "sound_ms"} {
		may[i] = slices.Index(t.header, name)
	}
	for {
		fields, line, err := t.next()
		if errors.Is(err, io.EOF) {
			return rows, nil
		}
		if err != nil {
			return nil, err
		}
		get := func(i int) string {
			if i < 0 {
				return ""
			}
			return strings.TrimSpace(strings.Clone(fields[i])) // the fields are the reader's
		}
		r := truthRow{place: place{get(need[0]), get(need[1]), get(need[2])}, fault: get(may[0])}
		if err := r.times(get(may[1]), get(need[3]), get(may[2])); err != nil {
			return nil, fmt.Errorf("line %d: %w", line, err)
		}
		rows = append(rows, r)
	}
}

// times reads a row's times, and refuses what cannot be.
func (r *truthRow) times(onset, failure, sound string) error {
	for _, name := range []string{r.site, r.asset, r.sensor} {
		if !stream.ValidName(name) {
			return fmt.Errorf("%q is no site, asset or sensor", name)
		}
	}
	for _, t := range []struct {
		text string
		into *int64
	}{{onset, &r.onset}, {failure, &r.failure}, {sound, &r.sound}} {
		if t.text == "" {
			continue
		}
		var err error
		if *t.into, err = parseTime(t.text, time.UTC); err != nil {
			return err
		}
	}
	switch {
	case r.failure != 0 && r.onset > r.failure:
		return errors.New("the onset is after the failure")
	case r.failure != 0 && r.ofSensor():
		return fmt.Errorf("%s is a fault of the sensor: its component does not fail of it", r.fault)
	case r.failure == 0 && r.onset == 0 && r.sound == 0:
		return errors.New("there is no time in it")
	case r.sound != 0 && r.sound < max(r.onset, r.failure):
		return errors.New("it is sound again before it was not")
	}
	return nil
}
