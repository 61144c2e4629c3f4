package stream

import (
	"bytes"
	"cmp"
	"fmt"
	"math"
	"slices"
)

// Found is what a workshop says of the component that a sensor watches. The words are persisted: they are added to, never changed.
type Found string

// What can be found.
const (
	Failed      Found = "failed"       // the component has failed
	Faulty      Found = "faulty"       // it has not, and would have: it was taken out of service, or needs to be
	SensorFault Found = "sensor_fault" // the component is sound, its sensor is not
	Sound       Found = "sound"        // nothing is wrong with it, or it was repaired
	Withdrawn   Found = "withdrawn"    // an earlier finding was a mistake, and nothing is put in its place
)

var founds = []Found{Failed, Faulty, SensorFault, Sound, Withdrawn}

// FindingKey is what a finding is known by: a sensor's names, when it was found, and which telling of it this is. Names and not ids: a workshop may
// know a sensor that has not sent anything yet.
type FindingKey struct {
	Site, Asset, Sensor string
	TS                  int64 // when it was found, epoch ms
	Revision            int64 // 0 at first. A higher one supersedes those of the same sensor and time, whatever came first
}

// Finding is what a workshop found: a label for training. It says nothing to the windower, moves no watermark and closes no window.
type Finding struct {
	FindingKey
	Found     Found
	Since     int64  // since when it has been so, ms, at most TS: of Failed when it failed, of Faulty when the fault began; 0: not known
	Component string // which one, for people
	By        string // who says so
	Note      string
	ID        string // the workshop's own number, of a work order say
}

// Bounds of a finding's texts, in bytes.
const (
	maxWord = 256
	maxNote = 4096
)

// findingField reads the value of one field of a finding, as field does of a reading.
func (o *object) findingField(key []byte) error {
	f := o.finding
	switch string(key) {
	case "ts":
		return o.time(seenTS, "ts", &o.r.TS)
	case "since":
		return o.time(seenSince, "since", &f.Since)
	case "finding":
		return o.found()
	case "revision":
		return o.revision()
	case "component":
		return o.word(seenComponent, "component", &f.Component, maxWord)
	case "by":
		return o.word(seenBy, "by", &f.By, maxWord)
	case "note":
		return o.word(seenNote, "note", &f.Note, maxNote)
	case "id":
		return o.word(seenID, "id", &f.ID, maxWord)
	}
	return o.skip(0)
}

func (o *object) found() error {
	f := o.finding
	err := o.word(seenFinding, "finding", (*string)(&f.Found), maxWord)
	if err == nil && o.set&seenFinding != 0 && !slices.Contains(founds, f.Found) {
		o.fault(&o.malformed, fmt.Sprintf("finding %q is none of failed, faulty, sensor_fault, sound, withdrawn", f.Found))
	}
	return err
}

// word reads a text that is kept. The byte 0, which tables of other programs cut a text at, is refused.
func (o *object) word(bit uint16, name string, into *string, most int) error {
	null, err := o.once(bit, name)
	if null || err != nil {
		return err
	}
	if o.peek() != '"' {
		o.fault(&o.malformed, name+" is not a text")
		return o.skip(0)
	}
	text, err := o.text()
	switch {
	case err != nil:
		return err
	case len(text) > most:
		o.fault(&o.malformed, fmt.Sprintf("%s is longer than %d bytes", name, most))
	case bytes.IndexByte(text, 0) >= 0:
		o.fault(&o.malformed, name+" has a character 0")
	default:
		*into = string(text)
	}
	return nil
}

func (o *object) revision() error {
	n, err := o.numeral(seenRevision, "revision")
	if n == nil || err != nil {
		return err
	}
	v, ok := parseInteger(n)
	if !ok || v < 0 || v > math.MaxInt32 {
		o.fault(&o.malformed, "revision is not an integer from 0 to 2147483647")
		return nil
	}
	o.finding.Revision = v
	return nil
}

// settle says what is wrong with a finding whose fields are each what they should be, and gives it its time.
func (o *object) settle() (Reason, string) {
	f := o.finding
	if o.set&seenSince != 0 && (f.Since < MinTS || f.Since > o.r.TS) {
		return BadTime, fmt.Sprintf("since %d is before 2000-01-01 or after ts %d", f.Since, o.r.TS)
	}
	f.TS = o.r.TS
	return "", ""
}

// acceptFinding keeps a finding, for good: it is late for nothing.
func (w *Windower) acceptFinding(src *source, f Finding) (Reason, string, error) {
	f.Site, f.Asset, f.Sensor = src.site, src.address.asset, src.address.sensor
	old, found, err := w.pastFinding(f.FindingKey)
	switch {
	case err != nil:
		return "", "", fmt.Errorf("look up finding: %w", err)
	case found && old == f:
		w.batch.Count.Duplicate++
		return "", "", nil
	case found:
		return Conflict, fmt.Sprintf("another finding is already stored for this time with revision %d; it is kept. One with a higher revision would supersede it", f.Revision), nil
	}
	w.batch.Count.StoredFinding++
	w.batch.Findings = append(w.batch.Findings, f)
	return "", "", nil
}

// Standing gives the findings that hold: of each sensor and time the newest revision, unless that withdraws. They come back in the order of sites, assets, sensors and times.
func Standing(all []Finding) []Finding {
	sorted := slices.Clone(all)
	slices.SortFunc(sorted, func(a, b Finding) int { return compareFindings(&a.FindingKey, &b.FindingKey) })
	var out []Finding
	for i := range sorted {
		f := &sorted[i]
		next := i + 1
		if next < len(sorted) && sorted[next].first() == f.first() || f.Found == Withdrawn {
			continue
		}
		out = append(out, *f)
	}
	return out
}

// first is the key of a finding's first telling.
func (k FindingKey) first() FindingKey {
	k.Revision = 0
	return k
}

func compareFindings(a, b *FindingKey) int {
	return cmp.Or(cmp.Compare(a.Site, b.Site), cmp.Compare(a.Asset, b.Asset), cmp.Compare(a.Sensor, b.Sensor), cmp.Compare(a.TS, b.TS), cmp.Compare(a.Revision, b.Revision))
}
