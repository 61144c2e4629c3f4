package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"strings"
	"text/tabwriter"

	"github.com/camrail/cidp/cmd/cidp/platform"
	"github.com/camrail/cidp/cmd/cidp/sensors"
	"github.com/camrail/cidp/store"
	"github.com/camrail/cidp/stream"
)

// sensorsCmd is the sensor registry on the command line.
type sensorsCmd struct {
	Check   sensorsCheck   `cmd:"" help:"Say what is wrong with a file, or explain what it means."`
	List    sensorsList    `cmd:"" help:"Show every known sensor with what is in force for it, and which rule says so."`
	Example sensorsExample `cmd:"" help:"Print a file with every key in it, explained."`
}

func (sensorsCmd) Help() string {
	return `Example:
  cidp sensors example > database/sensors.toml
  cidp sensors check database/sensors.toml
  cidp sensors list --data database
A running cidp reads the file again within some seconds of a change; a file with a mistake changes nothing, and cidp/v1/status and the log say why.`
}

// sensorsPath is the file that is read, and whether it must be there.
func sensorsPath(named, data string) (path string, must bool) {
	return cmp.Or(named, filepath.Join(data, sensors.DefaultName)), named != ""
}

// readSensors reads a file and puts it over a configuration; file is nil when there is none and none must be.
func readSensors(path string, must bool, base stream.Config) (file *sensors.File, cfg stream.Config, err error) {
	text, err := sensors.Read(path)
	if errors.Is(err, fs.ErrNotExist) && !must {
		return nil, base, nil
	}
	if err != nil {
		return nil, base, err
	}
	if file, err = sensors.Parse(path, text); err != nil {
		return nil, base, err
	}
	cfg, err = file.Apply(base)
	return file, cfg, err
}

// baseConfig is the configuration without the sensors file: the defaults, and the tables of the config file.
func baseConfig(t *terminal) (stream.Config, error) {
	cfg := stream.DefaultConfig()
	if err := t.settings.apply(&cfg); err != nil {
		return cfg, usageError{err}
	}
	if err := cfg.Validate(); err != nil {
		return cfg, usageError{err}
	}
	return cfg, nil
}

type sensorsCheck struct {
	File string `arg:"" help:"The file, e.g. database/sensors.toml."`
}

func (sensorsCheck) Help() string {
	return `Example:
  cidp sensors check database/sensors.toml
Exit 0 and one line for each rule in the order in which they are asked; exit 1 and a sentence with the line for each mistake.`
}

func (c *sensorsCheck) Run(t *terminal) error {
	base, err := baseConfig(t)
	if err != nil {
		return err
	}
	file, _, err := readSensors(c.File, true, base)
	if err != nil {
		return err
	}
	kinds, rules := file.Size()
	fmt.Fprintf(t.out, "%s is right; kinds with limits: %d, rules for sensors: %d\n", c.File, kinds, rules)
	return file.Explain(t.out, base)
}

type sensorsExample struct{}

func (sensorsExample) Help() string {
	return `Example:
  cidp sensors example > database/sensors.toml`
}

func (sensorsExample) Run(t *terminal) error {
	_, err := io.WriteString(t.out, sensors.Example)
	return err
}

type sensorsList struct {
	Data    string `help:"Data folder. Its database may be live. Default ${default}." default:"database" placeholder:"DIR"`
	Sensors string `name:"sensors-file" aliases:"sensors" help:"Sensor registry; default sensors.toml in the data folder, when it is there." placeholder:"FILE"`
	JSON    bool   `name:"json" help:"Print one JSON document."`
}

func (sensorsList) Help() string {
	return `Example:
  cidp sensors list --data database
  cidp sensors list --data database --sensors-file new.toml --json
With --sensors-file (or --sensors) it shows what a file would mean for the sensors that are known, before it is put in force.`
}

// sensorRow is one known sensor.
type sensorRow struct {
	Site         string         `json:"site"`
	Asset        string         `json:"asset"`
	Sensor       string         `json:"sensor"`
	Kind         string         `json:"kind"`
	Position     string         `json:"position"`
	Axle         int            `json:"axle"`
	Side         string         `json:"side"`
	Mate         string         `json:"mate"`      // empty: none is known
	PeriodMs     int64          `json:"period_ms"` // configured or learned, 0 while not known
	Limits       map[string]any `json:"limits"`
	LimitsSource string         `json:"limits_source"`
	From         stream.Origins `json:"from"`
}

func (c *sensorsList) Run(ctx context.Context, t *terminal) error {
	base, err := baseConfig(t)
	if err != nil {
		return err
	}
	path, must := sensorsPath(c.Sensors, c.Data)
	_, cfg, err := readSensors(path, must, base)
	if err != nil {
		return err
	}
	known, err := store.Sensors(ctx, filepath.Join(c.Data, platform.DatabaseName))
	if err != nil {
		return err
	}
	rows := describeSensors(stream.NewRegistry(&cfg), known)
	if c.JSON {
		return json.NewEncoder(t.out).Encode(struct {
			Sensors []sensorRow `json:"sensors"`
		}{rows})
	}
	return printSensors(t.out, rows)
}

// describeSensors says what is in force for each, in the same order. The sensors of an asset follow each other.
func describeSensors(r *stream.Registry, known []store.KnownSensor) []sensorRow {
	rows := make([]sensorRow, len(known))
	in := make([]stream.Settings, len(known))
	for i, k := range known {
		s := r.Resolve(k.Site, k.Asset, k.Sensor)
		in[i] = s
		rows[i] = sensorRow{Site: k.Site, Asset: k.Asset, Sensor: k.Sensor, Kind: s.Kind.String(), Position: s.Position, Axle: s.Axle, Side: s.Side,
			PeriodMs: cmp.Or(s.Period.Milliseconds(), k.PeriodMs), Limits: s.Limits.Values(), LimitsSource: s.Limits.Source, From: s.From}
	}
	for first := 0; first < len(rows); {
		end := first
		for end < len(rows) && rows[end].Site == rows[first].Site && rows[end].Asset == rows[first].Asset {
			end++
		}
		for i := first; i < end; i++ {
			rows[i].Mate, rows[i].From.Mate = mateIn(rows[first:end], in[first:end], i-first)
		}
		first = end
	}
	return rows
}

// mateIn finds the mate of a sensor among those of its asset, by name order, and where that comes from.
func mateIn(rows []sensorRow, in []stream.Settings, i int) (mate, from string) {
	if in[i].Mate != nil {
		return *in[i].Mate, rows[i].From.Mate
	}
	for j := range rows {
		if j != i && in[i].MateOf(&in[j]) {
			return rows[j].Sensor, rows[i].From.Mate
		}
	}
	return "", ""
}

func printSensors(out io.Writer, rows []sensorRow) error {
	if len(rows) == 0 {
		_, err := fmt.Fprintln(out, "no sensor is known yet")
		return err
	}
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "SENSOR\tKIND\tPOSITION\tMATE\tPERIOD\tLIMITS degC (fail, suspect)\tRULES")
	for _, r := range rows {
		position := strings.TrimSpace(fmt.Sprintf("%s %s", cmp.Or(r.Position, "-"), r.Side))
		period := "not known"
		if r.PeriodMs > 0 {
			period = fmt.Sprintf("%gs", float64(r.PeriodMs)/1000)
		}
		l := r.Limits
		fmt.Fprintf(w, "%s/%s/%s\t%s\t%s\t%s\t%s\t%v (%v) to (%v) %v\t%s\n", r.Site, r.Asset, r.Sensor, r.Kind, position, cmp.Or(r.Mate, "-"), period,
			l["fail_low_c"], l["suspect_low_c"], l["suspect_high_c"], l["fail_high_c"], originText(r.From))
	}
	return w.Flush()
}

// originText names the rules once each, with what they gave.
func originText(o stream.Origins) string {
	var order []string
	gave := map[string][]string{}
	for _, v := range [][2]string{{"kind", o.Kind}, {"position", o.Position}, {"mate", o.Mate}, {"period", o.Period}, {"limits", o.Limits}} {
		if v[1] == "" {
			continue
		}
		if gave[v[1]] == nil {
			order = append(order, v[1])
		}
		gave[v[1]] = append(gave[v[1]], v[0])
	}
	out := make([]string, len(order))
	for i, from := range order {
		out[i] = strings.Join(gave[from], ", ") + ": " + from
	}
	return strings.Join(out, "; ")
}
