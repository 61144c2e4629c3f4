package bench

import "time"

// What tests look at from outside.
var (
	Chosen    = chosen
	StageOf   = stageOf
	StagesIn  = stages
	Thousands = thousands
	Judged    = judged
	AtLeast   = atLeast
	AtMost    = atMost
	Median    = median
	MountedAt = mountedAt
	InMemory  = inMemory
	Spread    = spread
	Memory    = memory
	Work      = work
)

// PointOf makes what was measured at a size.
func PointOf(size float64, figures map[string]float64) Point {
	p := Point{Size: size}
	for name, v := range figures {
		p.Figures = append(p.Figures, fitted(name, v))
	}
	return p
}

// Fold collects the figures of several runs, and a ratio of two of them.
func Fold(ratio, of, to string, runs ...map[string]float64) []Figure {
	var c collected
	for _, run := range runs {
		var f figures
		for _, name := range []string{of, to} {
			if v, ok := run[name]; ok {
				f.set(name, v)
			}
		}
		c.add(f)
	}
	c.ratio(ratio, of, to)
	return c.figures()
}

// Check is what a ledger is held to.
func (l *Ledger) Check(qos int) error { return l.check(qos) }

// Read takes the counts of a platform.
func (l *Ledger) Read(c Counts, qos int) { l.read(c, qos) }

// Apply gives the shape of a scenario by name, overridden.
func (o *Override) Apply(scenario string) (any, error) {
	list, err := chosen([]string{scenario})
	if err != nil {
		return nil, err
	}
	return o.apply(list[0].shape)
}

// Alarm says what is wrong with a message on the topic of a vehicle's alert that comes so long after the alert was due. payload is made for the begin of its window.
func Alarm(late time.Duration, payload func(begin time.Time) string) error {
	a := newAlarms("s", 1, time.Now().Add(-late-alertAhead*alertEvery))
	a.got("cidp/v1/alerts/s/hot-0/axle1-left", []byte(payload(time.UnixMilli(a.begin).UTC())))
	return a.wrong
}
