package main

import (
	"bufio"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/camrail/cidp/simulator"
	"github.com/camrail/cidp/stream"
)

type replayCmd struct {
	File     string `arg:"" help:"CSV or NDJSON file, optionally .gz."`
	Broker   string `help:"MQTT broker." default:"tcp://127.0.0.1:1883" placeholder:"tcp://HOST:PORT"`
	User     string `help:"MQTT user name."`
	Password string `help:"MQTT password."`
	Site     string `help:"Site of the readings." default:"replay"`
	Asset    string `help:"Asset of the readings; default the file's name."`
	Sensor   string `help:"Sensor of the readings; default the column's name. With several columns: a prefix."`
	Time     string `help:"CSV column of the event time; default the first of ts_ms, ts, timestamp, time, datetime, date."`
	Temp     string `help:"CSV columns of the temperatures, separated by commas; default every other column whose first value is a number." placeholder:"COL[,COL...]"`
	Unit     string `help:"Unit of the temperatures: c, f or k." default:"c" enum:"c,f,k"`
	TZ       string `name:"tz" help:"Zone of times that name none." default:"UTC"`
	Speedup  string `help:"Seconds of event time a second, or max." default:"max"`
	Window   int    `name:"in-flight" help:"Messages sent and not yet acknowledged." default:"1000"`
}

func (replayCmd) Help() string {
	return `Example:
  cidp replay readings.csv.gz --asset rig1 --time ts_ms --temp ts1_c,ts2_c
An NDJSON file has a reading a line ({"ts":...,"temp_c":...}), each with its own "site", "asset" and "sensor" where the flags are not meant. Sends at QoS 1 and waits for every
acknowledgement. A malformed row is reported with its line number, skipped and counted.`
}

// replaySummary is what a replay has done.
type replaySummary struct {
	Rows, Malformed int64
	simulator.Counts
}

const maxReported = 50 // malformed rows reported one by one

func (c *replayCmd) Run(ctx context.Context, t *terminal) error {
	speedup, err := c.speedup()
	if err != nil {
		return usageError{err}
	}
	zone, err := time.LoadLocation(c.TZ)
	if err != nil {
		return usageError{fmt.Errorf("time zone %q is not known: give an IANA name such as Africa/Douala, or UTC", c.TZ)}
	}
	in, err := openRows(c.File)
	if err != nil {
		return err
	}
	defer in.Close()
	rows, err := c.reader(in, zone)
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
	begin, first := time.Now(), int64(0)
	for ctx.Err() == nil {
		readings, line, err := rows.next()
		var bad rowError
		switch {
		case errors.Is(err, io.EOF):
			return sum, nil
		case errors.As(err, &bad):
			sum.Rows++
			sum.Malformed++
			if sum.Malformed <= maxReported {
				progress.say("line %d: %s; skipped", line, bad)
			} else if sum.Malformed == maxReported+1 {
				progress.say("more malformed rows are counted and not shown")
			}
			continue
		case err != nil:
			return sum, fmt.Errorf("read %s after line %d: %w", c.File, line, err)
		}
		sum.Rows++
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

// rowFile is a file of rows, unpacked on the way, that knows how far it was read.
type rowFile struct {
	io.Reader
	file *os.File
	size int64
}

func openRows(path string) (*rowFile, error) {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("file %s does not exist", path)
	}
	if err != nil {
		return nil, fmt.Errorf("open file: %w", err)
	}
	info, err := f.Stat()
	if err == nil && info.IsDir() {
		err = fmt.Errorf("%s is a folder, not a file", path)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open file: %w", err), f.Close())
	}
	out := &rowFile{Reader: f, file: f, size: info.Size()}
	if strings.HasSuffix(path, ".gz") {
		z, err := gzip.NewReader(bufio.NewReaderSize(f, 64<<10))
		if err != nil {
			return nil, errors.Join(fmt.Errorf("unpack %s: it is not a gzip file: %w", path, err), f.Close())
		}
		out.Reader = z
	}
	return out, nil
}

// read is how many bytes of the file have been taken.
func (r *rowFile) read() int64 {
	at, err := r.file.Seek(0, io.SeekCurrent)
	if err != nil {
		return 0
	}
	return at
}

func (r *rowFile) Close() error { return r.file.Close() }

var badNameChar = regexp.MustCompile(`[^A-Za-z0-9._-]+`)

// nameFrom makes a valid name out of a file's or a column's.
func nameFrom(s string) string {
	s = badNameChar.ReplaceAllString(strings.TrimSpace(s), "-")
	return s[:min(len(s), 64)]
}

// assetName is the asset that the readings belong to.
func (c *replayCmd) assetName() string {
	if c.Asset != "" {
		return c.Asset
	}
	base := filepath.Base(strings.TrimSuffix(c.File, ".gz"))
	return nameFrom(strings.TrimSuffix(base, filepath.Ext(base)))
}
