package bench

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"time"

	"github.com/camrail/cidp/cmd/cidp/floor"
	"github.com/camrail/cidp/cmd/cidp/load"
)

// floorOf is what a part could do at best, on the same load, in a process of its own.
type floorOf struct {
	about             string
	figure, ratio, of string // what it measures; the ratio of which figure to it
	measure           func(ctx context.Context, b *bench, s *scenario) (figures, error)
}

var mochiFloor = floorOf{"bare mochi, which counts and drops", mochiRate, timesMochi, readingsRate,
	func(ctx context.Context, b *bench, s *scenario) (f figures, err error) {
		if s.shape.QoS == 0 {
			return nil, nil // nobody is told what it took
		}
		c, err := b.launch(ctx, "bench-floor", "mochi")
		if err != nil {
			return nil, err
		}
		defer c.kill()
		l, err := load.Start(c.mqtt, s.shape.plan("", time.Now()))
		if err != nil {
			return nil, err
		}
		defer l.Close()
		if err := pause(ctx, s.warm); err != nil {
			return nil, err
		}
		acked, cpu, begin := l.Acked(), usageOf(c.cmd.Process.Pid), time.Now()
		if err := pause(ctx, s.last); err != nil {
			return nil, err
		}
		readings, took := float64(l.Acked()-acked)*float64(l.Plan.Batch), time.Since(begin)
		f.set(mochiRate, readings/took.Seconds())
		if now := usageOf(c.cmd.Process.Pid); now.known && readings > 0 {
			f.set(mochiCPU, micros(now.cpu-cpu.cpu)/readings)
		}
		if err := l.Finish(ackPatience); err != nil {
			return nil, fmt.Errorf("load mochi: %w", err)
		}
		if err := c.stop(); err != nil {
			return nil, err
		}
		var told struct{ Published uint64 }
		if err := json.Unmarshal([]byte(c.said.last()), &told); err != nil || told.Published != l.Acked() {
			return nil, fmt.Errorf("load mochi: %d messages were acknowledged, and it counted %d", l.Acked(), told.Published)
		}
		return f, nil
	}}

var insertFloor = floorOf{"raw keyed bulk insert", insertRate, timesInsert, readingsRate,
	func(ctx context.Context, b *bench, s *scenario) (f figures, err error) {
		dir, err := os.MkdirTemp(b.cfg.Data, "cidp-floor-*")
		if err != nil {
			return nil, fmt.Errorf("make data folder: %w", err)
		}
		defer func() { _ = os.RemoveAll(dir) }() // a temporary folder
		speed, err := b.speed(ctx, s, s.last, "insert", "--data", dir)
		if err != nil {
			return nil, err
		}
		f.set(insertRate, speed.PerSecond())
		f.set(insertCPU, 1e6*speed.CPU/float64(speed.Done))
		return f, nil
	}}

var decodeFloor = speedOf("the decoder alone", decodeRate, "decode")

var forestFloor = speedOf("the forest alone", forestRate, "forest")

// speedOf is a floor that only has a speed: in a second of processor time, so that others do not count.
func speedOf(about, figure, kind string) floorOf {
	return floorOf{about: about, figure: figure, measure: func(ctx context.Context, b *bench, s *scenario) (f figures, err error) {
		speed, err := b.speed(ctx, s, min(s.last, partLast), kind)
		if err != nil {
			return nil, err
		}
		f.set(figure, float64(speed.Done)/speed.CPU)
		return f, nil
	}}
}

// partLast is how long a part alone is measured.
const partLast = time.Second

// speed lets a floor run and reads what it did.
func (b *bench) speed(ctx context.Context, s *scenario, last time.Duration, args ...string) (speed floor.Speed, err error) {
	args = append([]string{"bench-floor"}, args...)
	args = append(args, "--for", last.String(), "--connections", strconv.Itoa(s.shape.Connections), "--sensors", strconv.Itoa(s.shape.Sensors), "--batch", strconv.Itoa(s.shape.Batch))
	cmd := b.command(args...)
	out, err := cmd.Output()
	if err != nil {
		var exit *exec.ExitError
		if errors.As(err, &exit) {
			err = fmt.Errorf("%w: %s", err, exit.Stderr)
		}
		return speed, fmt.Errorf("run floor %s: %w", args[1], err)
	}
	if err := json.Unmarshal(out, &speed); err != nil {
		return speed, fmt.Errorf("read what floor %s did: %w", args[1], err)
	}
	if speed.Done == 0 || speed.Seconds <= 0 || speed.CPU <= 0 {
		return speed, fmt.Errorf("floor %s did nothing", args[1])
	}
	return speed, ctx.Err()
}
