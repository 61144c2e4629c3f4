package platform

import (
	"context"
	"slices"

	"github.com/camrail/cidp/cmd/cidp/console"
	"github.com/camrail/cidp/store"
	"github.com/camrail/cidp/stream"
)

// register adds what is in force for a sensor, and names for each of its windows the mate and peers that had none to be compared with.
func (v *view) register(ctx context.Context, pages *store.Console, d *console.SensorDetail) error {
	c := v.p.config.Load()
	in := c.registry.Resolve(d.Site, d.Asset, d.Sensor)
	beside, err := pages.Neighbours(ctx, d.Site, d.Asset, d.Sensor)
	if err != nil {
		return err
	}
	r := console.SensorRegistry{Position: in.Position, Axle: in.Axle, Side: in.Side, PeriodMs: in.Period.Milliseconds(), Limits: in.Limits.Values(),
		LimitsSource: in.Limits.Source,
		From:         map[string]string{"kind": in.From.Kind, "position": in.From.Position, "period": in.From.Period, "limits": in.From.Limits}}
	var compared []string // mate and peers
	limits := map[string]*stream.Limits{}
	if in.Mate != nil && *in.Mate != d.Sensor {
		r.Mate, r.From["mate"] = *in.Mate, in.From.Mate
	}
	for _, n := range beside {
		o := c.registry.Resolve(d.Site, d.Asset, n.Sensor)
		if in.Mate == nil && r.Mate == "" && in.MateOf(&o) {
			r.Mate, r.From["mate"] = n.Sensor, in.From.Mate
		}
		if o.Kind == in.Kind || n.Sensor == r.Mate {
			compared, limits[n.Sensor] = append(compared, n.Sensor), o.Limits
		}
	}
	if r.Mate != "" && !slices.Contains(compared, r.Mate) { // nothing of it came yet
		o := c.registry.Resolve(d.Site, d.Asset, r.Mate)
		compared, limits[r.Mate] = append(compared, r.Mate), o.Limits
	}
	d.Registry = r
	return missing(ctx, pages, d, compared, func(name string, start int64) bool { return c.stream.Begins(limits[name], start) })
}

// missing names for each window whom of those to be compared with had no valid window of its times. begins says whether one has windows from a time on at all: one that hops otherwise is
// not missing.
func missing(ctx context.Context, pages *store.Console, d *console.SensorDetail, compared []string, begins func(name string, start int64) bool) error {
	spans := make([][2]int64, len(d.Windows))
	for i, w := range d.Windows {
		spans[i] = [2]int64{int64(w.WindowStart), int64(w.WindowEnd)}
	}
	sound, err := pages.Sound(ctx, d.Site, d.Asset, spans)
	if err != nil {
		return err
	}
	for i := range d.Windows {
		for _, name := range compared {
			if !sound[i][name] && begins(name, int64(d.Windows[i].WindowStart)) {
				d.Windows[i].Missing = append(d.Windows[i].Missing, name)
			}
		}
	}
	return nil
}
