package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/camrail/cidp/simulator"
	"github.com/camrail/cidp/stream"
)

type replayCmd struct {
	File     string `arg:"" help:"CSV or NDJSON file, optionally .gz."`
	Broker   string `help:"MQTT broker. Default ${default}." default:"tcp://127.0.0.1:1883" placeholder:"tcp://HOST:PORT"`
	User     string `help:"MQTT user name."`
	Password string `help:"MQTT password."`
	Speedup  string `help:"Seconds of event time a second, or max." default:"max"`
	Window   int    `name:"in-flight" help:"Messages sent and not yet acknowledged." default:"1000"`

	rowFlags `embed:""`
}

func (replayCmd) Help() string {
	return `Example:
  cidp replay readings.csv.gz --asset rig1 --time ts_ms --temp ts1_c,ts2_c
An NDJSON file has a reading a line ({"ts":...,"temp_c":...}), each with its own "site", "asset" and "sensor" where the flags are not meant. Sends at QoS 1 and waits for every
acknowledgement. A malformed row is reported with its line number, skipped and counted.`
}

// replaySummary is what a replay has done.
type replaySummary struct {
	rowCounts
	simulator.Counts
}

func (c *replayCmd) Run(ctx context.Context, t *terminal) error {
	speedup, err := c.speedup()
	if err != nil {
		return usageError{err}
	}
	in, err := openRows(c.File)
	if err != nil {
		return err
	}
	defer in.Close()
	rows, err := c.reader(c.File, in)
	if err != nil {
		return err
	}
	sender, err := simulator.Dial(ctx, simulator.SenderConfig{
		Broker: c.Broker, Username: c.User, Password: c.Password, ClientID: fmt.Sprintf("cidp-replay-%d", os.Getpid()),
		Connections: 1, Window: c.Window, Log: t.log,
	})
	if err != nil {
		return fmt.Errorf("%w; is a broker running there? cidp run starts one", err)
	}
	sum, err := c.send(ctx, t, rows, sender, in, speedup)
	if err == nil {
		err = sender.Close(ctx)
	} else {
		if ctx.Err() != nil {
			err = errors.New("stopped before the end of the file")
		}
		ended, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
		err = errors.Join(err, sender.Close(ended))
		cancel()
	}
	sum.Counts = sender.Counts()
	fmt.Fprintf(t.out, "%s: %d rows, %d malformed, %d readings sent, %d acknowledged\n", filepath.Base(c.File), sum.Rows, sum.Malformed, sum.Sent, sum.Acked)
	return err
}

func (c *replayCmd) speedup() (float64, error) {
	if c.Speedup == "max" {
		return math.Inf(1), nil
	}
	v, err := strconv.ParseFloat(c.Speedup, 64)
	if err != nil || !(v > 0) {
		return 0, fmt.Errorf("speedup %q is neither a number above 0 nor max", c.Speedup)
	}
	return v, nil
}

// send reads rows to the end and hands their readings to the sender at the pace asked for.
func (c *replayCmd) send(ctx context.Context, t *terminal, rows rowReader, sender *simulator.Sender, in *rowFile, speedup float64) (sum replaySummary, err error) {
	progress := newProgress(t, in.size, "replay "+filepath.Base(c.File))
	defer progress.close()
	scan := &rowScan{file: c.File, rows: rows, report: progress.say}
	begin, first := time.Now(), int64(0)
	for ctx.Err() == nil {
		readings, err := scan.next()
		sum.rowCounts = scan.rowCounts
		if errors.Is(err, io.EOF) {
			return sum, nil
		}
		if err != nil {
			return sum, err
		}
		progress.set(in.read())
		for _, r := range readings {
			if first == 0 {
				first = r.reading.TS
			}
			if err := pace(ctx, begin, first, r.reading.TS, speedup); err != nil {
				return sum, err
			}
			m := simulator.Message{Topic: r.topic, Payload: stream.AppendReading(nil, r.reading)}
			if err := sender.Send(ctx, m); err != nil {
				return sum, fmt.Errorf("send reading: %w", err)
			}
		}
	}
	return sum, ctx.Err()
}

// pace waits until event time ts is due.
func pace(ctx context.Context, begin time.Time, first, ts int64, speedup float64) error {
	if math.IsInf(speedup, 1) {
		return nil
	}
	due := begin.Add(time.Duration(float64(ts-first) / speedup * float64(time.Millisecond)))
	wait := time.Until(due)
	if wait <= 0 {
		return nil
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
