package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/alecthomas/kong"
	"github.com/rs/zerolog"
	"golang.org/x/term"
)

// Exit codes (contract, section 1).
const (
	exitDone   = 0
	exitFailed = 1
	exitUsage  = 2
)

// commands is the whole command line. Each flag is also an environment variable (CIDP_ and its name) and a key of the config file.
type commands struct {
	Config   string           `help:"Strict TOML file: flag names as keys, and the tables [kinds.<kind>], [rules.<kind>.<rule>], [[sensors]], [users]." placeholder:"FILE" env:"CIDP_CONFIG"`
	LogLevel string           `help:"debug, info, warn or error." default:"info" enum:"debug,info,warn,error"`
	LogJSON  bool             `name:"log-json" help:"Log one JSON object a line."`
	Version  kong.VersionFlag `help:"Print the version and exit." env:"-"`

	Demo       demoCmd       `cmd:"" help:"The whole product with a simulated fleet, no set-up."`
	Run        runCmd        `cmd:"" help:"The platform: broker, stream, store, model, alerts, console."`
	Simulate   simulateCmd   `cmd:"" help:"The simulated fleet alone, against any MQTT broker."`
	Replay     replayCmd     `cmd:"" help:"Publish a file of past readings over MQTT."`
	Backtest   backtestCmd   `cmd:"" help:"The same pipeline on files, without a network."`
	Verify     verifyCmd     `cmd:"" help:"Prove a database: integrity, the ledger law, every invariant."`
	Quarantine quarantineCmd `cmd:"" help:"What was refused and why: list it, show the evidence, put it back after a fix."`
	Evaluate   evaluateCmd   `cmd:"" help:"How well a model and the rules foresee failures: figures and a report."`
	Train      trainCmd      `cmd:"" help:"Train the forest on the simulated fleet, or on a table."`
	Sensors    sensorsCmd    `cmd:"" help:"The sensor registry: check a file, list what is in force, print an example."`
	Passwd     passwdCmd     `cmd:"" help:"Hash a password for the [users] table."`
	Model      modelCmd      `cmd:"" help:"Models: files, and the registry that says which one is live."`
	Bench      benchCmd      `cmd:"" help:"Measure the platform on this machine: load, latency, cost, and floors to compare with."`
	BenchFloor benchFloorCmd `cmd:"" hidden:""`
}

// terminal is where a command talks to people and programs.
type terminal struct {
	out, err io.Writer
	log      zerolog.Logger
	tty      bool // err is a terminal: progress may be drawn
	settings *settings
}

// usageError is a fault in how the command was called.
type usageError struct{ error }

// Main runs one command line and gives the exit code.
func Main(ctx context.Context, args []string, out, errOut io.Writer) int {
	err := execute(ctx, args, out, errOut)
	var usage usageError
	var status exitStatus
	switch {
	case err == nil:
		return exitDone
	case errors.As(err, &status):
		return int(status)
	case errors.As(err, &usage):
		fmt.Fprintf(errOut, "cidp: %s\n", oneLine(err))
		return exitUsage
	}
	fmt.Fprintf(errOut, "cidp: %s\n", oneLine(err))
	return exitFailed
}

// exitStatus ends the process with a code after everything has been said.
type exitStatus int

func (e exitStatus) Error() string { return fmt.Sprintf("exit status %d", int(e)) }

// oneLine keeps an error on one line, whatever was joined into it.
func oneLine(err error) string {
	return strings.Join(strings.FieldsFunc(err.Error(), func(r rune) bool { return r == '\n' || r == '\r' }), "; ")
}

func execute(ctx context.Context, args []string, out, errOut io.Writer) error {
	var cli commands
	exited := -1
	parser, err := kong.New(&cli,
		kong.Name("cidp"),
		kong.Description("Camrail Industrial Data Platform: temperature sensors to alerts, in one binary. Decision support, not a certified safety function."),
		kong.DefaultEnvars("CIDP"),
		kong.Vars{"version": version},
		kong.Writers(out, errOut),
		kong.Exit(func(code int) { exited = code }),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true}),
	)
	if err != nil {
		return fmt.Errorf("build command line: %w", err)
	}
	set, err := loadSettings(configPath(args), parser.Model)
	if err != nil {
		return usageError{err}
	}
	if err := kong.Resolvers(set).Apply(parser); err != nil {
		return fmt.Errorf("build command line: %w", err)
	}
	if len(args) == 0 {
		args = []string{"--help"}
	}
	parsed, err := parser.Parse(args)
	if exited >= 0 {
		return exit(exited)
	}
	if err != nil {
		return usageError{err}
	}
	t := &terminal{out: out, err: errOut, tty: isTerminal(errOut), settings: set}
	t.log = newLogger(errOut, t.tty, cli.LogLevel, cli.LogJSON)
	parsed.BindTo(ctx, (*context.Context)(nil))
	return parsed.Run(t)
}

func exit(code int) error {
	if code == 0 {
		return nil
	}
	return exitStatus(code)
}

func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

func newLogger(w io.Writer, tty bool, level string, asJSON bool) zerolog.Logger {
	if !asJSON {
		w = zerolog.ConsoleWriter{Out: w, NoColor: !tty, TimeFormat: "15:04:05.000"}
	}
	l, err := zerolog.ParseLevel(level)
	if err != nil {
		l = zerolog.InfoLevel
	}
	return zerolog.New(w).Level(l).With().Timestamp().Logger()
}

// configPath finds the config file before the rest of the line is read, since it gives the rest its defaults.
func configPath(args []string) string {
	for i, a := range args {
		if v, ok := strings.CutPrefix(a, "--config="); ok {
			return v
		}
		if a == "--config" && i+1 < len(args) {
			return args[i+1]
		}
	}
	return os.Getenv("CIDP_CONFIG")
}
