package bench

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"
)

// sizes says how a scenario is repeated.
type sizes struct {
	of   string // what there is more and more of
	list []float64
	upTo float64 // the largest that is measured unless another is asked for
	at   func(s shape, size float64) shape

	measure func(b *bench, ctx context.Context, s *scenario, number int, got func(k int, r *run)) error // every size once
	fits    func(points []Point) []Figure
}

// Point is what was measured at a size.
type Point struct {
	Size    float64  `json:"size"`
	Load    shape    `json:"load"`
	Figures []Figure `json:"figures"`
}

// keepSizes keeps those up to the largest that is asked for; 0: the scenario's own. Where even the least is too large, the one that was asked for is the only one.
func (s *scenario) keepSizes(upTo float64) error {
	z := *s.sizes
	if upTo == 0 {
		upTo = z.upTo
	}
	z.list = slices.DeleteFunc(slices.Clone(z.list), func(size float64) bool { return size > upTo })
	if len(z.list) == 0 {
		z.list = []float64{upTo}
	}
	s.sizes = &z
	for _, size := range z.list {
		shape := z.at(s.shape, size)
		plan := shape.plan("", time.Now())
		if err := plan.Validate(); err != nil {
			return fmt.Errorf("scenario %s at %g %s: %w", s.name, size, z.of, err)
		}
	}
	return nil
}

// atSizes measures every size in turn, then all again: what else the machine does falls on all of them.
func (b *bench) atSizes(ctx context.Context, s *scenario, res *Result) {
	z := s.sizes
	all := make([]collected, len(z.list))
	for i := range s.runs {
		if err := z.measure(b, ctx, s, i, func(k int, r *run) {
			all[k].add(r.figures)
			res.Ledger.add(&r.ledger)
		}); err != nil {
			res.Failure = err.Error()
			break
		}
	}
	res.Sizes = z.of
	for k, size := range z.list {
		if len(all[k].all) > 0 {
			res.Points = append(res.Points, Point{size, z.at(s.shape, size), all[k].figures()})
		}
	}
	if res.Figures = z.fits(res.Points); res.Failure == "" {
		res.Targets = judged(s.targets, res.Figures)
	}
}

// measureEach measures each size on a platform and a database of its own.
func measureEach(b *bench, ctx context.Context, s *scenario, number int, got func(k int, r *run)) error {
	for k, size := range s.sizes.list {
		one := *s
		one.shape = s.sizes.at(s.shape, size)
		one.measure = (*bench).measureLoad
		one.after = (*bench).restart
		r := &run{s: &one, last: number == s.runs-1}
		b.say("%s: run %d of %d, %s %s", s.name, number+1, s.runs, thousands(size, -1), s.sizes.of)
		if err := b.run(ctx, r); err != nil {
			return fmt.Errorf("%s %s: %w", thousands(size, -1), s.sizes.of, err)
		}
		got(k, r)
	}
	return nil
}

// growth is one database that grows from size to size. The platform is started anew at each.
type growth struct {
	dir    string
	begin  int64 // event time at which the next readings begin, epoch ms
	stored int64
	ledger Ledger
}

// measureGrowth measures the last third of the way to each size, then what the database is like.
func measureGrowth(b *bench, ctx context.Context, s *scenario, number int, got func(k int, r *run)) (err error) {
	g := growth{}
	if g.dir, err = b.folder(); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, removeAll(g.dir)) }()
	for k, size := range s.sizes.list {
		one := *s
		left := size - float64(g.stored)
		one.stretch = &stretch{from: left - min(left, size/3), to: left}
		one.measure, one.after = g.measure, (*bench).restart
		r := &run{s: &one, dir: g.dir, earlier: g.ledger}
		b.say("%s: run %d of %d, %s %s", s.name, number+1, s.runs, thousands(size, -1), s.sizes.of)
		if err := b.serve(ctx, r); err != nil {
			return fmt.Errorf("%s %s: %w", thousands(size, -1), s.sizes.of, err)
		}
		g.ledger.add(&r.ledger)
		got(k, r)
	}
	return nil
}

// measure goes on where the database ended: each sensor a little later than the one that came furthest.
func (g *growth) measure(b *bench, ctx context.Context, r *run) error {
	plan := r.s.shape.plan("bench", time.Now())
	if g.begin > 0 {
		plan.Begin = g.begin
	}
	if err := b.measurePlan(ctx, r, plan, nil); err != nil {
		return err
	}
	furthest := int64(0)
	for k := range plan.Conns {
		_, n := plan.Place(r.load.AckedOf(k))
		furthest = max(furthest, plan.TS(n+uint64(plan.Batch)))
	}
	minute := windowLength.Milliseconds()
	g.begin = (furthest/minute + 2) * minute
	g.stored += r.load.Readings()
	return nil
}
