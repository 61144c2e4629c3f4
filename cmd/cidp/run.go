package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime/pprof"
	"time"

	"github.com/camrail/cidp/cmd/cidp/platform"
	"github.com/camrail/cidp/model"
	"github.com/camrail/cidp/stream"
)

// lineFlags configure the line; run and demo share them.
type lineFlags struct {
	Data           string        `help:"Data folder. Default ${default}." default:"database" placeholder:"DIR"`
	MQTT           string        `name:"mqtt" help:"Address of the MQTT broker. Default ${default}." default:"127.0.0.1:1883" placeholder:"ADDR"`
	HTTP           string        `name:"http" help:"Address of the console. Default ${default}." default:"127.0.0.1:8080" placeholder:"ADDR"`
	Idle           time.Duration `help:"How long a silent member is waited for." default:"30s"`
	SilentAfter    time.Duration `name:"silent-after" help:"Nothing accepted of a sensor for so long, at least five of its periods, is told as silence, once for the sensor, its whole asset or its whole site; 0: never. Choose more than the longest time between two sendings. The demo divides it by its acceleration, down to 3s." default:"5m"`
	CommitEvery    time.Duration `name:"commit-every" help:"Shortest time between commits under load, which spares the disk; two fifths of it, if it is 10ms or less, where 45,000 to 75,000 readings/s come. A client that waits for each answer, alone, has it at once." default:"10ms"`
	MaxPayload     int           `name:"max-payload" help:"Largest payload, bytes." default:"262144"`
	Model          string        `help:"Model file that is to be live, if its trial allows it; default the one that comes with the program. The registry has the last word (cidp model list)." placeholder:"FILE"`
	Sensors        string        `name:"sensors-file" aliases:"sensors" help:"Sensor registry, read again whenever it changes (cidp sensors --help); default sensors.toml in the data folder, when it is there." placeholder:"FILE"`
	DriftWindow    time.Duration `name:"drift-window" help:"Event time over which the model's features and scores are compared with its training, in whole hours; 0: a week. It says look, and switches nothing off." default:"168h"`
	AllowAnonymous bool          `name:"allow-anonymous" help:"Serve beyond loopback without authentication."`

	streamFlags `embed:""`
	keepFlags   `embed:""`
}

// streamFlags decide what becomes of readings; a backtest has them too.
type streamFlags struct {
	Window        time.Duration `help:"Length of a window of event time." default:"60s"`
	Hop           time.Duration `help:"Time between the starts of two windows of a sensor, a whole part of the window, at least a twelfth: windows overlap. Kinds and sensors may have their own (hop_s). 0: as long as the window." default:"0s"`
	Disorder      time.Duration `help:"How far out of order readings may come and still find their window open." default:"10s"`
	Lateness      time.Duration `help:"How far behind its sensor's newest a reading may come and still revise its closed window; beyond it is late; 0: never." default:"10m"`
	FutureAfter   time.Duration `name:"future-after" help:"Readings this far ahead of the clock are refused." default:"2m"`
	TooOld        time.Duration `name:"too-old" help:"Readings this old are refused; 0: never." default:"0"`
	FailsafeShare float64       `name:"failsafe-share" help:"Share of an asset's last 20 windows that may be quarantined; above it none of the asset's windows is scored, until half of it is reached. Above the same share of the last windows of all assets nothing is published. 0: never." default:"0.5"`
}

// config makes the windower's configuration of the flags and the config file's tables.
func (f *streamFlags) config(t *terminal) (stream.Config, error) {
	s := stream.DefaultConfig()
	s.Window, s.Hop, s.Disorder, s.Lateness = f.Window, f.Hop, f.Disorder, f.Lateness
	s.FutureAfter, s.TooOld, s.FailShare = f.FutureAfter, f.TooOld, f.FailsafeShare
	if err := t.settings.apply(&s); err != nil {
		return s, usageError{err}
	}
	return s, nil
}

// atStep is called at each step of a pass. Tests set it before anything runs, to kill the process there.
var atStep func(step string)

// config makes the platform's configuration of flags and config file.
func (f *lineFlags) config(t *terminal, history time.Duration) (platform.Config, error) {
	s, err := f.streamFlags.config(t)
	if err != nil {
		return platform.Config{}, err
	}
	s.Idle, s.HistoryAfter, s.SilentAfter = f.Idle, history, f.SilentAfter
	if err := s.Validate(); err != nil {
		return platform.Config{}, usageError{err}
	}
	rules, err := t.settings.applyRules()
	if err != nil {
		return platform.Config{}, usageError{err}
	}
	if f.CommitEvery < 0 || f.CommitEvery > time.Minute {
		return platform.Config{}, usageError{fmt.Errorf("commit-every is %s: it must be between 0 and 1m", f.CommitEvery)}
	}
	if err := model.CheckDriftSpan(f.DriftWindow); err != nil && f.DriftWindow != 0 {
		return platform.Config{}, usageError{fmt.Errorf("drift-window: %w", err)}
	}
	if f.MaxPayload < 64 || f.MaxPayload > 900<<10 {
		return platform.Config{}, usageError{fmt.Errorf("max-payload is %d: it must be between 64 and %d", f.MaxPayload, 900<<10)}
	}
	cfg := platform.Config{
		Data: f.Data, MQTT: f.MQTT, HTTP: f.HTTP, Stream: s, CommitEvery: f.CommitEvery, MaxPayload: f.MaxPayload, DriftOver: f.DriftWindow,
		ModelFile: f.Model, Rules: &rules, Users: t.settings.Users, AllowAnonymous: f.AllowAnonymous, Version: version, Log: t.log, Step: atStep,
	}
	if err := f.apply(&cfg); err != nil {
		return platform.Config{}, usageError{err}
	}
	cfg.SensorsFile, cfg.SensorsMust = sensorsPath(f.Sensors, f.Data)
	if _, _, err := readSensors(cfg.SensorsFile, cfg.SensorsMust, s); err != nil {
		return platform.Config{}, usageError{err}
	}
	return cfg, nil
}

type runCmd struct {
	lineFlags    `embed:""`
	HistoryAfter time.Duration `name:"history-after" help:"Windows this old are stored and scored, but not published as live; 0: never." default:"24h"`
	CPUProfile   string        `name:"cpuprofile" hidden:"" config:"-" env:"-"` // file; cidp bench asks for it
}

func (runCmd) Help() string {
	return `Example:
  cidp run --data /var/lib/cidp --mqtt 127.0.0.1:1883 --http 127.0.0.1:8080
Stop it with SIGINT or SIGTERM: what was acknowledged is committed, and open windows stay open for the next start.`
}

// A stop takes ten seconds at most (contract, section 1): stopWithin is for its order, and after stopAtOnce nothing is waited for, such as
// a disk that hangs.
const (
	stopWithin = 8 * time.Second
	stopAtOnce = 9500 * time.Millisecond
)

// stop ends a platform in time.
func stop(p *platform.Platform) error {
	ctx, cancel := context.WithTimeout(context.Background(), stopWithin)
	defer cancel()
	stopped := make(chan error, 1)
	go func() { stopped <- p.Stop(ctx) }()
	select {
	case err := <-stopped:
		return err
	case <-time.After(stopAtOnce):
		return fmt.Errorf("stop in time: something still hangs after %s; what was acknowledged is in the database", stopAtOnce)
	}
}

// errStopped says that a signal came before the platform had started.
var errStopped = errors.New("stopped before the start was done: nothing had been acknowledged")

// start starts a platform. A signal ends it however long the recovery would still take: until it is done nothing is acknowledged.
func start(ctx context.Context, open func() (*platform.Platform, error)) (*platform.Platform, error) {
	type result struct {
		p   *platform.Platform
		err error
	}
	started := make(chan result, 1)
	go func() {
		p, err := open()
		started <- result{p, err}
	}()
	select {
	case r := <-started:
		return r.p, r.err
	case <-ctx.Done():
		return nil, errStopped
	}
}

// profile writes a CPU profile to a file until the function is called that it gives. No name, no profile.
func profile(name string) (end func() error, err error) {
	if name == "" {
		return func() error { return nil }, nil
	}
	f, err := os.Create(name)
	if err != nil {
		return nil, fmt.Errorf("write profile: %w", err)
	}
	if err := pprof.StartCPUProfile(f); err != nil {
		return nil, errors.Join(fmt.Errorf("write profile: %w", err), f.Close())
	}
	return func() error {
		pprof.StopCPUProfile()
		return f.Close()
	}, nil
}

func (c *runCmd) Run(ctx context.Context, t *terminal) (err error) {
	cfg, err := c.config(t, c.HistoryAfter)
	if err != nil {
		return err
	}
	profiled, err := profile(c.CPUProfile)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, profiled()) }()
	quietCollector()
	p, err := start(ctx, func() (*platform.Platform, error) { return platform.Start(cfg) })
	if errors.Is(err, errStopped) {
		t.log.Info().Msg(err.Error())
		return nil
	}
	if err != nil {
		return err
	}
	if err := adopt(cfg.Data); err != nil {
		return errors.Join(err, stop(p))
	}
	t.log.Info().Str("mqtt", p.MQTTAddr()).Str("console", "http://"+p.HTTPAddr()+"/").
		Str("database", filepath.Join(cfg.Data, platform.DatabaseName)).Msg("cidp is running")
	select {
	case <-ctx.Done():
		t.log.Info().Msg("stopping: everything acknowledged is being committed")
	case <-p.Ended():
	}
	if err := stop(p); err != nil {
		return err
	}
	t.log.Info().Msg("stopped")
	return nil
}
