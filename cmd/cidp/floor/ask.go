package floor

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/ncruces/go-sqlite3"
)

// Question is what people ask of a warehouse while it fills, in the words of a dashboard: views and columns that are promised to them, and ranges of what the tables are kept by.
type Question struct {
	Name, About, Short string
	sql                string
	prepare            string // gives :from and :to of what a sensor is asked for, not timed; empty: the last day
	seldom             bool   // its cost grows with all that is kept: asked in one round of twenty, as a page that somebody opens now and then
}

// newestWindow gives the span of a sensor's newest window.
const newestWindow = `SELECT start_ms, end_ms FROM telemetry_window WHERE sensor_id = :id ORDER BY start_ms DESC LIMIT 1`

// Questions are those whose answers are timed. Time is event time: now is the end of a sensor's newest window.
var Questions = []Question{
	{Name: "risk_now", Short: "risk now", About: "newest risk of all sensors", sql: `SELECT site, asset, sensor, p_failure, level, source, window_end_ms FROM risk_now ORDER BY p_failure DESC`},
	{Name: "sensor_day", Short: "sensor's day", About: "one sensor's last day of windows",
		sql: `SELECT start_ms, mean_c, max_c, verdict, p_failure, level FROM window_now WHERE site = :site AND asset = :asset AND sensor = :sensor AND start_ms >= :from ORDER BY start_ms`},
	{Name: "window_readings", Short: "raw of a window", About: "the raw readings of one window", prepare: newestWindow,
		sql: `SELECT ts_ms, temp_c, ambient_c, speed_kmh, flag FROM telemetry WHERE near > (:from - 2048) << 20 AND near < :to << 20 AND ts_ms >= :from AND ts_ms < :to AND sensor_id = :id`},
	{Name: "alerts_week", Short: "week's alerts", About: "alerts of a week", prepare: `SELECT max(updated_at_ms) - 7 * 86400000, 0 FROM alert`,
		sql: `SELECT site, asset, sensor, state, severity, raised_at_ms, updated_at_ms, reason FROM alert WHERE updated_at_ms >= :from ORDER BY updated_at_ms DESC`},
	{Name: "quality_hour", Short: "quality, hour", About: "quality by asset, the last hour", prepare: `SELECT end_ms - 3600000, end_ms FROM telemetry_window ORDER BY window_id DESC LIMIT 1`,
		sql: `SELECT site, asset, count(*), sum(verdict = 'quarantined'), avg(completeness) FROM window_now WHERE window_id >= :from << 20 GROUP BY site, asset`},
	{Name: "quality_all", Short: "quality, all", About: "quality by asset, of all that is kept", seldom: true, sql: `SELECT site, asset, sum(windows), sum(quarantined), avg(completeness), sum(late) FROM kpi_data_quality GROUP BY site, asset`},
}

// Answered is how long the answers to a question took.
type Answered struct {
	Name   string    `json:"name"`
	Rows   float64   `json:"rows"` // of an answer, on average
	Millis []float64 `json:"ms"`   // of each
}

// rounds is how many there are between two in which what is seldom asked is.
const rounds = 20

// Asking is how a warehouse is asked.
type Asking struct {
	Readers int           // each with a read-only connection of its own, as other programs have
	Pause   time.Duration // of a reader between two questions
	Last    time.Duration // no round of questions begins after it; one is always asked
}

// Ask asks a warehouse all questions, again and again, each time of another sensor.
func Ask(ctx context.Context, path string, a Asking) ([]Answered, error) {
	var g sync.WaitGroup
	all, errs := make([][]Answered, a.Readers), make([]error, a.Readers)
	for i := range a.Readers {
		g.Go(func() {
			r, err := openReader(path, uint64(i))
			if err == nil {
				all[i], err = r.ask(ctx, a, i*rounds/a.Readers)
				err = errors.Join(err, r.c.Close())
			}
			errs[i] = err
		})
	}
	g.Wait()
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	var out []Answered
	for _, answers := range all {
		out = Joined(out, answers)
	}
	return out, nil
}

// Joined adds more answers to the same questions.
func Joined(all, more []Answered) []Answered {
	if all == nil {
		return more
	}
	for i := range more {
		n, m := float64(len(all[i].Millis)), float64(len(more[i].Millis))
		all[i].Rows = (all[i].Rows*n + more[i].Rows*m) / max(1, n+m)
		all[i].Millis = append(all[i].Millis, more[i].Millis...)
	}
	return all
}

// reader is a connection of a program that is not the platform.
type reader struct {
	c       *sqlite3.Conn
	chance  *rand.Rand
	sensors []sensor
}

type sensor struct {
	id                  int64
	site, asset, sensor string
}

func openReader(path string, seed uint64) (r *reader, err error) {
	c, err := sqlite3.OpenFlags(path, sqlite3.OPEN_READONLY)
	if err != nil {
		return nil, fmt.Errorf("open reader: %w", err)
	}
	r = &reader{c: c, chance: rand.New(rand.NewPCG(seed, 1))}
	if err := c.Exec(`PRAGMA busy_timeout = 5000; PRAGMA query_only = ON`); err != nil {
		return nil, errors.Join(fmt.Errorf("open reader: %w", err), c.Close())
	}
	err = r.rows(`SELECT s.sensor_id, a.site, a.asset, s.sensor FROM sensor s JOIN asset a ON a.asset_id = s.asset_id
		WHERE EXISTS (SELECT 1 FROM telemetry_window w WHERE w.sensor_id = s.sensor_id)`, nil, func(s *sqlite3.Stmt) {
		r.sensors = append(r.sensors, sensor{s.ColumnInt64(0), s.ColumnText(1), s.ColumnText(2), s.ColumnText(3)})
	})
	if err == nil && len(r.sensors) == 0 {
		err = errors.New("no sensor has a window yet")
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("read sensors: %w", err), c.Close())
	}
	return r, nil
}

// ask asks in rounds, which are counted from a number on that is another for each reader.
func (r *reader) ask(ctx context.Context, a Asking, round int) ([]Answered, error) {
	out := make([]Answered, len(Questions))
	rows := make([]int, len(Questions))
	for end := time.Now().Add(a.Last); ; round++ {
		for i := range Questions {
			if Questions[i].seldom && round%rounds != 0 {
				continue
			}
			took, n, err := r.once(&Questions[i])
			if err != nil {
				return nil, fmt.Errorf("ask %s: %w", Questions[i].Name, err)
			}
			out[i].Millis = append(out[i].Millis, took.Seconds()*1e3)
			rows[i] += n
			select {
			case <-time.After(a.Pause):
			case <-ctx.Done():
				return nil, ctx.Err()
			}
		}
		if !time.Now().Before(end) {
			break
		}
	}
	for i := range out {
		out[i].Name, out[i].Rows = Questions[i].Name, float64(rows[i])/float64(max(1, len(out[i].Millis)))
	}
	return out, nil
}

// once asks a question of one sensor, and reads the whole answer.
func (r *reader) once(q *Question) (took time.Duration, rows int, err error) {
	s := r.sensors[r.chance.IntN(len(r.sensors))]
	args := map[string]any{":id": s.id, ":site": s.site, ":asset": s.asset, ":sensor": s.sensor}
	span := func(from, to int64) { args[":from"], args[":to"] = from, to }
	prepare := q.prepare
	if prepare == "" {
		prepare = newestWindow
	}
	if err := r.rows(prepare, args, func(s *sqlite3.Stmt) { span(s.ColumnInt64(0), s.ColumnInt64(1)) }); err != nil {
		return 0, 0, err
	}
	if q.prepare == "" {
		span(args[":to"].(int64)-24*time.Hour.Milliseconds(), args[":to"].(int64))
	}
	begin := time.Now()
	err = r.rows(q.sql, args, func(s *sqlite3.Stmt) {
		for i := range s.ColumnCount() {
			_ = s.ColumnText(i) // as it is sent to a page
		}
		rows++
	})
	return time.Since(begin), rows, err
}

// rows runs one statement, as a program does that keeps none.
func (r *reader) rows(sql string, args map[string]any, f func(s *sqlite3.Stmt)) (err error) {
	s, _, err := r.c.Prepare(sql)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	for name, v := range args {
		i := s.BindIndex(name)
		switch v := v.(type) {
		case int64:
			if i > 0 {
				err = s.BindInt64(i, v)
			}
		case string:
			if i > 0 {
				err = s.BindText(i, v)
			}
		}
		if err != nil {
			return err
		}
	}
	for s.Step() {
		f(s)
	}
	return s.Err()
}
