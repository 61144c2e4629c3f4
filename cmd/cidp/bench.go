package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/camrail/cidp/cmd/cidp/bench"
	"github.com/camrail/cidp/cmd/cidp/floor"
	"github.com/camrail/cidp/cmd/cidp/load"
)

type benchCmd struct {
	Scenario    []string      `arg:"" optional:"" help:"What to measure; all when none is named."`
	Addr        string        `help:"Measure the broker or platform at this address, and start nothing: no ledger, no floors." placeholder:"HOST:PORT"`
	Connections int           `help:"Connections, instead of the scenario's own." placeholder:"N"`
	Sensors     int           `config:"-" env:"-" help:"Sensors in all, instead of the scenario's own." placeholder:"N"`
	QoS         *int          `name:"qos" help:"0, 1 or 2, instead of the scenario's own." placeholder:"N"`
	Batch       int           `help:"Readings a message, instead of the scenario's own." placeholder:"N"`
	Rate        *float64      `config:"-" env:"-" help:"Readings a second in all, instead of the scenario's own; 0: flat out." placeholder:"N"`
	Gather      time.Duration `help:"Time within which what a paced connection has to send goes out together, as a gateway does that polls its sensors; default 5ms." placeholder:"D"`
	Inflight    int           `help:"Messages a connection may have unacknowledged, instead of the scenario's own." placeholder:"N"`
	For         time.Duration `config:"-" env:"-" help:"Measured time of a run, instead of the scenario's own." placeholder:"D"`
	Runs        int           `help:"Runs of each scenario; figures are their medians. Default: the scenario's own." placeholder:"N"`
	Data        string        `config:"-" env:"-" help:"Folder on the disk to measure; each run makes a folder in it and removes it. Default: the system's temporary folder." type:"existingdir" placeholder:"DIR"`
	With        []string      `help:"Further argument of the platform (cidp run), e.g. --with=--commit-every=20ms; may be repeated." sep:"none" placeholder:"ARG"`
	Profiles    string        `help:"Keep a processor profile of each scenario's last run in this folder, for go tool pprof." type:"existingdir" placeholder:"DIR"`
	UpTo        float64       `name:"up-to" config:"-" env:"-" help:"Largest size of scenarios that have sizes (scale-…), instead of the scenario's own." placeholder:"N"`
	From        []string      `config:"-" env:"-" help:"Measure nothing and take what --json wrote to this file; may be repeated: of a scenario that is in several the last one counts." type:"existingfile" placeholder:"FILE"`
	Markdown    string        `config:"-" env:"-" help:"Write the tables into this document, between its lines <!-- cidp bench: NAME --> and <!-- end -->; NAME is a scenario, targets or stages." type:"existingfile" placeholder:"FILE"`
	Plots       string        `config:"-" env:"-" help:"Draw what has sizes into this folder, as SVG files." type:"existingdir" placeholder:"DIR"`
	Report      string        `name:"json" config:"-" env:"-" help:"Write everything measured to this file as JSON." placeholder:"FILE"`
}

func (benchCmd) Help() string {
	return `Example:
  cidp bench single arrays --runs 5 --json bench.json
Without a name every scenario is measured, which takes about a quarter of an hour. Starts the platform as a process of its own for each run, loads it over MQTT, and prints what it did beside its targets and beside floors: what the parts could do at best on the same machine and load. Every run ends
with the ledger; one that lost anything fails (exit 1). Targets that are missed are printed, and are no failure. Load and platform share the machine: let nothing else run.`
}

func (c *benchCmd) Run(ctx context.Context, t *terminal) error {
	program, err := os.Executable()
	if err != nil {
		return fmt.Errorf("find this program: %w", err)
	}
	cfg := bench.Config{
		Scenarios: c.Scenario, Addr: c.Addr, Runs: c.Runs, For: c.For, UpTo: c.UpTo, Data: c.Data, Profiles: c.Profiles, With: c.With,
		Override: bench.Override{Connections: c.Connections, Sensors: c.Sensors, Batch: c.Batch, Inflight: c.Inflight, Gather: c.Gather, QoS: c.QoS, Rate: c.Rate},
		Program:  program, Env: benchEnv, Past: benchPast, Version: version,
		Say: func(format string, args ...any) { t.log.Info().Msgf(format, args...) },
	}
	if err := cfg.Check(); err != nil {
		return usageError{err}
	}
	if len(c.From) > 0 {
		report, err := readReports(c.From)
		if err != nil {
			return err
		}
		return c.tell(report, t)
	}
	report, err := bench.Run(ctx, cfg)
	if ctx.Err() != nil {
		return errors.New("the measurement was stopped")
	}
	if err != nil {
		return err
	}
	return c.tell(report, t)
}

// readReports reads what was measured before.
func readReports(files []string) (*bench.Report, error) {
	var all []*bench.Report
	for _, name := range files {
		text, err := os.ReadFile(name)
		if err != nil {
			return nil, fmt.Errorf("read report: %w", err)
		}
		var r bench.Report
		if err := json.Unmarshal(text, &r); err != nil {
			return nil, fmt.Errorf("read report %s: %w", name, err)
		}
		all = append(all, &r)
	}
	return bench.Join(all), nil
}

// tell writes a report to wherever it was asked for.
func (c *benchCmd) tell(report *bench.Report, t *terminal) error {
	if c.Report != "" {
		text, err := json.MarshalIndent(report, "", "  ")
		if err != nil {
			return fmt.Errorf("write report: %w", err)
		}
		if err := os.WriteFile(c.Report, append(text, '\n'), 0o644); err != nil {
			return fmt.Errorf("write report: %w", err)
		}
	}
	if c.Markdown != "" {
		if err := fillDocument(c.Markdown, report, t); err != nil {
			return err
		}
	}
	if c.Plots != "" {
		files, err := report.Plots(c.Plots)
		if err != nil {
			return err
		}
		t.log.Info().Msgf("drawn: %s", strings.Join(files, ", "))
	}
	if err := report.Write(t.out); err != nil {
		return fmt.Errorf("write report: %w", err)
	}
	if !report.OK() {
		return exitStatus(exitFailed)
	}
	return nil
}

// fillDocument replaces tables of a document.
func fillDocument(name string, report *bench.Report, t *terminal) error {
	text, err := os.ReadFile(name)
	if err != nil {
		return fmt.Errorf("read document: %w", err)
	}
	filled, kept, err := report.Fill(text)
	if err != nil {
		return err
	}
	if len(kept) > 0 {
		t.log.Warn().Msgf("%s keeps its tables of %s: they were not measured", name, strings.Join(kept, ", "))
	}
	if err := os.WriteFile(name, filled, 0o644); err != nil {
		return fmt.Errorf("write document: %w", err)
	}
	return nil
}

// benchEnv is what children of a measurement need in their environment. Tests set it.
var benchEnv []string

// benchPast is how much event time there is before people ask; 0: a day. Tests set it.
var benchPast time.Duration

// benchFloorCmd is what cidp bench compares with, each as a process of its own.
type benchFloorCmd struct {
	Kind        string        `arg:"" enum:"mochi,insert,decode,forest,ask"`
	Data        string        `config:"-" env:"-"`
	For         time.Duration `config:"-" env:"-" default:"1s"`
	Connections int           `config:"-" env:"-" default:"1"`
	Sensors     int           `config:"-" env:"-" default:"1"`
	Batch       int           `config:"-" env:"-" default:"1"`
	Readers     int           `config:"-" env:"-" default:"1"`
	Pause       time.Duration `config:"-" env:"-"`
}

func (c *benchFloorCmd) Run(ctx context.Context, t *terminal) error {
	if c.Kind == "mochi" {
		return c.mochi(ctx, t)
	}
	if c.Kind == "ask" {
		answers, err := floor.Ask(ctx, c.Data, floor.Asking{Readers: c.Readers, Pause: c.Pause, Last: c.For})
		if err != nil {
			return err
		}
		return json.NewEncoder(t.out).Encode(answers)
	}
	plan := load.Plan{Conns: c.Connections, Sensors: max(1, c.Sensors/c.Connections), AssetSize: 10, Batch: c.Batch, Period: time.Second, Window: 1,
		Begin: time.Now().Truncate(time.Minute).UnixMilli()}
	if err := plan.Validate(); err != nil {
		return usageError{err}
	}
	var speed floor.Speed
	var err error
	switch c.Kind {
	case "insert":
		speed, err = floor.Insert(ctx, c.Data, plan, c.For)
	case "decode":
		speed, err = floor.Decode(ctx, plan, c.For)
	case "forest":
		speed, err = floor.Forest(ctx, c.For)
	}
	if err != nil {
		return err
	}
	if err := json.NewEncoder(t.out).Encode(speed); err != nil {
		return fmt.Errorf("write speed: %w", err)
	}
	return nil
}

// mochi says where it serves, serves until a signal, and says how much it counted.
func (c *benchFloorCmd) mochi(ctx context.Context, t *terminal) error {
	m, err := floor.StartMochi("127.0.0.1:0")
	if err != nil {
		return err
	}
	say := json.NewEncoder(t.err)
	if err := say.Encode(map[string]string{"mqtt": m.Addr()}); err != nil {
		return errors.Join(err, m.Close())
	}
	<-ctx.Done()
	if err := m.Close(); err != nil {
		return err
	}
	return say.Encode(map[string]int64{"published": m.Count()})
}
