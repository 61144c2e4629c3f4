package main

import (
	"cmp"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/camrail/cidp/cmd/cidp/report"
	"github.com/camrail/cidp/model"
	"github.com/camrail/cidp/store"
	"github.com/camrail/cidp/stream"
)

// evidence is all that is known of a warehouse's components: from a truth file, and from workshops.
type evidence struct {
	what     known
	rows     []truthRow
	findings []stream.Finding // that stand
}

// newEvidence puts a truth file, when one is named, beside what workshops found.
func newEvidence(path string, a *store.Archive) (*evidence, error) {
	e := &evidence{what: known{}}
	if path != "" {
		var err error
		if e.rows, err = openTruth(path); err != nil {
			return nil, fmt.Errorf("read %s: %w", path, err)
		}
	}
	found, err := a.Findings()
	if err != nil {
		return nil, err
	}
	e.findings = stream.Standing(found)
	e.what.read(e.rows)
	e.what.hear(found)
	return e, nil
}

// Names of faults that no truth file names.
const (
	workshopFault  = "found_by_workshop"
	workshopSensor = "sensor_fault"
	unnamedFault   = "unnamed"
)

// failures gives distinct failures, and faults that are none, by their onsets. sensors tell what each measures. What is known of assets that none of them is of, since a file may be about a whole
// depot, is left out, and elsewhere counts the failures among it.
func (e *evidence) failures(sensors []*stream.Sensor) (out []model.Failure, elsewhere int) {
	kinds, assets := map[place]stream.Kind{}, map[[2]string]bool{}
	for _, s := range sensors {
		assets[[2]string{s.Site, s.Asset}] = true
		kinds[place{s.Site, s.Asset, s.Name}] = s.Kind
	}
	add := func(p place, fault string, onset, at int64, ofSensor bool) {
		switch {
		case assets[[2]string{p.site, p.asset}]:
			out = append(out, model.Failure{Site: p.site, Asset: p.asset, Sensor: p.sensor, Kind: kinds[p], Fault: fault, Onset: onset, At: at, OfSensor: ofSensor})
		case at != 0:
			elsewhere++
		}
	}
	names := map[place]map[int64]string{}
	for _, r := range e.rows {
		name := cmp.Or(r.fault, unnamedFault)
		if r.failure == 0 {
			if r.onset != 0 {
				add(r.place, name, r.onset, 0, r.ofSensor())
			}
			continue
		}
		if names[r.place] == nil {
			names[r.place] = map[int64]string{}
		}
		names[r.place][r.failure] = name
	}
	for _, f := range e.findings {
		if f.Found == stream.SensorFault {
			add(place{f.Site, f.Asset, f.Sensor}, workshopSensor, cmp.Or(f.Since, f.TS), 0, true)
		}
	}
	for _, p := range slices.SortedFunc(maps.Keys(e.what), comparePlaces) {
		for _, o := range model.Outages(e.what[p].told) {
			add(p, cmp.Or(names[p][o.At], workshopFault), o.Onset, o.At, false)
		}
	}
	slices.SortStableFunc(out, func(a, b model.Failure) int {
		return cmp.Or(cmp.Compare(cmp.Or(a.Onset, a.At), cmp.Or(b.Onset, b.At)), comparePlaces(place{a.Site, a.Asset, a.Sensor}, place{b.Site, b.Asset, b.Sensor}))
	})
	return out, elsewhere
}

func comparePlaces(a, b place) int {
	return cmp.Or(strings.Compare(a.site, b.site), strings.Compare(a.asset, b.asset), strings.Compare(a.sensor, b.sensor))
}

// component is what is known of what a sensor watches. Failures are known of up to its last window, or up to the newest thing told of it.
func (k known) component(p place, last int64) (c *model.Component, heard bool) {
	c = &model.Component{Known: last}
	of := k[p]
	if of == nil {
		return c, false
	}
	c.Outages, c.Unclear, c.Known = model.Outages(of.told), of.unclear, max(last, of.until)
	return c, true
}

// words says where labels come from.
func (e *evidence) words(path string) string {
	var parts []string
	if path != "" {
		parts = append(parts, fmt.Sprintf("truth file %s, %d rows", filepath.Base(path), len(e.rows)))
	}
	if n := len(e.findings); n > 0 {
		parts = append(parts, fmt.Sprintf("%d findings of workshops", n))
	}
	return strings.Join(parts, "; ")
}

// sight is a sensor's windows in event-time order, quarantined ones too, each with its row, -1 where it has none.
type sight struct {
	place
	windows []model.Observed
	rows    []int
}

// labelRows gives each row its label (model.Labels), and tells which failure a positive row is before.
func (e *evidence) labelRows(rows []report.Row, seen []*sight, horizon time.Duration) (failure []int32, err error) {
	failure = make([]int32, len(rows))
	count := int32(0)
	for _, s := range seen {
		c, _ := e.what.component(s.place, s.windows[len(s.windows)-1].End)
		labels, reach, err := model.Labels(s.windows, c, horizon)
		if err != nil {
			return nil, err
		}
		before := int64(0) // the failure that the last positive row was before
		for k, i := range s.rows {
			if i < 0 {
				continue
			}
			rows[i].Known = labels[k] == model.Healthy || labels[k] == model.Failing
			if labels[k] != model.Failing {
				continue
			}
			rows[i].Y = 1
			if fails := s.windows[k].End + reach[k]; fails != before {
				before = fails
				count++
			}
			failure[i] = count
		}
	}
	return failure, nil
}
