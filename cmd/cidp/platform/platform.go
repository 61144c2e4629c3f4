// Package platform wires the stations into one line and runs it: broker, windower, model, store, console. It promises the order of one
// pass (design: decode, window, score, commit, acknowledge, publish), a start that goes on where the last commit ended, and a stop that commits,
// acknowledges and publishes everything it took.
package platform

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/rs/zerolog"
	"golang.org/x/crypto/bcrypt"

	"github.com/camrail/cidp/broker"
	"github.com/camrail/cidp/cmd/cidp/console"
	"github.com/camrail/cidp/cmd/cidp/models"
	"github.com/camrail/cidp/model"
	"github.com/camrail/cidp/store"
	"github.com/camrail/cidp/stream"
)

// DatabaseName is the live warehouse within the data folder.
const DatabaseName = "industrial_dwh.sqlite"

// Config is what a platform is started with.
type Config struct {
	Data           string        // folder of the warehouse
	MQTT, HTTP     string        // addresses to listen on
	Stream         stream.Config // without the sensors file
	SensorsFile    string        // the sensor registry's file, read again whenever it changes; empty: none
	SensorsMust    bool          // it must be there at the start
	CommitEvery    time.Duration
	MaxPayload     int
	ModelFile      string            // a model that is to be live; empty: the embedded one. It is by its trial, and the registry in the data folder says what is in force
	Rules          *model.Rules      // of physics; nil: the default profile
	Users          map[string]string // name to bcrypt hash; empty: no authentication
	AllowAnonymous bool              // serve beyond loopback without authentication
	Version        string
	Log            zerolog.Logger

	From Source // messages come from here and from nowhere else: no broker, no console, nothing is published; Ended is closed when it has no more and all is committed

	DriftOver time.Duration // event time over which drift is counted; 0: a week

	Keep              store.Keep // for how long what is kept; the zero value: all for ever
	DiskLow, DiskStop int64      // bytes of room below which old readings go, and below which nothing is taken any more; 0: by the size of the file system, below 0: never

	embedded     func() (*model.Forest, error) // the model that comes with the program, default model.Default; tests bring another
	sensorsEvery time.Duration                 // how often the sensors file is looked at, default 2 s; tests hurry

	fileSystem func(path string) (free, size int64, known bool, err error) // default store.FileSystem; tests fill the disk with it

	VFS  string            // SQLite VFS of the warehouse; default the operating system's. Tests break disks with it.
	Step func(step string) // called at each step of a pass, and of the start: see the constants. Tests kill the process there.
}

// Steps of a pass and of the start at which Config.Step is called, beside the store's "migrate", "commit" and "expire".
const (
	StepRecover      = "recover"      // at every reading that recovery gives back
	StepCommitted    = "committed"    // a batch is on disk, and nobody was acknowledged
	StepAcknowledged = "acknowledged" // its publishers were answered, and nothing was published
	StepPublished    = "published"    // what it tells was published, and not marked as sent
)

// Platform is a running line with its console.
type Platform struct {
	cfg      Config
	held     *store.Reservation // nil once db is open
	db       *store.DB
	past     *store.Past
	pages    atomic.Pointer[store.Console] // nil while the platform starts
	keeper   *keeper
	sensors  *sensorsFile
	registry *models.Registry // the line's once it is made
	config   inForce
	use      atomic.Pointer[inUse]
	broker   *broker.Broker
	line     *line
	board    *board
	status   *status
	metrics  *metrics
	clocks   clocks
	drift    *drift
	http     net.Listener

	stranger string // hash that no password has, compared where a user is not known

	ctx     context.Context    // ends with cut
	cut     context.CancelFunc // ends the line at once
	endHTTP context.CancelFunc
	workers sync.WaitGroup
	ended   chan struct{} // closed when the line has ended
	lineErr error         // set before ended closes
}

const defaultDriftOver = 7 * 24 * time.Hour

// Start takes the data folder, opens the warehouse, recovers and begins to work; the console says meanwhile why it is not ready. Clients that connect
// while readings are being recovered wait: what they publish is queued and not acknowledged before it is committed.
func Start(cfg Config) (p *Platform, err error) {
	if cfg.Step == nil {
		cfg.Step = func(string) {}
	}
	p = &Platform{cfg: cfg, metrics: newMetrics(), board: newBoard(), ended: make(chan struct{})}
	p.ctx, p.cut = context.WithCancel(context.Background())
	defer func() {
		if err != nil {
			err = errors.Join(err, p.release(context.Background()))
		}
	}()
	first, err := preset(&cfg)
	if err != nil {
		return p, err
	}
	p.drift = newDrift(cmp.Or(cfg.DriftOver, defaultDriftOver), p.metrics.registry, cfg.Log)
	p.drift.pages = p.Warehouse
	p.status = &status{version: cfg.Version, reasons: map[string]string{}, since: time.Now().UTC().Truncate(time.Millisecond)}
	p.status.degrade(reasonStarting, "the warehouse is being recovered")
	if err := p.readSensors(); err != nil {
		return p, err
	}
	if p.held, err = store.Reserve(filepath.Join(cfg.Data, DatabaseName)); err != nil {
		return p, err
	}
	if cfg.From == nil {
		err = p.serveConsole()
	}
	if err != nil {
		return p, err
	}
	if err := p.openStore(); err != nil {
		return p, err
	}
	scorer, err := p.openModels(first)
	if err != nil {
		return p, err
	}
	again, err := p.restore(scorer)
	if err != nil {
		return p, err
	}
	p.say(p.use.Load())
	p.run(again)
	return p, nil
}

// readSensors reads the sensor registry's file and puts it in force.
func (p *Platform) readSensors() error {
	p.sensors = &sensorsFile{path: p.cfg.SensorsFile, must: p.cfg.SensorsMust, base: p.cfg.Stream, every: cmp.Or(p.cfg.sensorsEvery, sensorsEvery),
		status: p.status, log: p.cfg.Log}
	c, err := p.sensors.start()
	if err != nil {
		return err
	}
	p.config.Store(c)
	return nil
}

// restore makes the line, gives it back what the warehouse knows, and starts the broker as soon as it can greet its clients.
func (p *Platform) restore(scorer *model.Scorer) (again []store.Publication, err error) {
	file, err := newDatabaseFile(p.db.Path())
	if err != nil {
		return nil, err
	}
	p.line = &line{
		db: p.db, file: file, admit: p.keeper.admit, scorer: scorer, status: p.status, metrics: p.metrics, board: p.board, clocks: &p.clocks, drift: p.drift, log: p.cfg.Log, step: p.cfg.Step,
		cadence: cadence{every: p.cfg.CommitEvery}, enough: make(chan struct{}), filling: newPass(),
		shown: map[string][]shown{}, standing: map[standingKey]model.Alert{}, pages: p.Warehouse,
		hold:   withholding{limit: p.cfg.Stream.FailShare, assets: map[int64]evidence{}, free: make(chan struct{}, 1), newest: map[string]int64{}, waiting: p.metrics.withheld},
		config: &p.config, configs: make(chan *configuration), releases: make(chan *release), registry: p.registry, using: p.use.Load(), use: &p.use, asks: make(chan *modelAsk), released: map[int64]store.Outcome{},
	}
	rec, err := p.db.Recover(p.contextSpan)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, rec.Close()) }()
	p.line.recallAll(rec)
	if err := p.drift.resume(p.use.Load().watched(), rec); err != nil {
		return nil, err
	}
	standing, err := p.standing(rec)
	if err != nil {
		return nil, err
	}
	if p.cfg.From != nil {
		p.line.broker, p.line.atHand = atHand{p.cfg.From}, true
		return nil, p.recover(rec)
	}
	if err := p.startBroker(standing); err != nil {
		return nil, err
	}
	return rec.Unsent, p.recover(rec)
}

// queueBytes is half of what may wait for a pass: as much again is in the line's hands. A larger queue takes memory and gives nothing: a pass holds half of it.
const queueBytes = 16 << 20

// busyTimeout is how long a commit waits for another writer. It is tried again after that, and a stop must not wait longer.
const busyTimeout = time.Second

func (p *Platform) openStore() (err error) {
	path := filepath.Join(p.cfg.Data, DatabaseName)
	p.db, err = store.Open(path, store.Options{Window: p.cfg.Stream.Window, Disorder: p.cfg.Stream.Disorder, BusyTimeout: busyTimeout, Reserved: p.held, VFS: p.cfg.VFS, Step: p.cfg.Step, Log: p.cfg.Log})
	if err != nil {
		return err
	}
	if p.past, err = p.db.Past(); err != nil {
		return err
	}
	pages, err := p.db.Console()
	if err != nil {
		return err
	}
	p.pages.Store(pages)
	keep := p.cfg.Keep
	keep.ContextSpan = p.contextSpan
	p.keeper, err = newKeeper(p.db, keeperConfig{keep: keep, low: p.cfg.DiskLow, stop: p.cfg.DiskStop, status: p.status, registry: p.metrics.registry, log: p.cfg.Log, fileSystem: p.cfg.fileSystem})
	return err
}

// contextSpan is how far before an asset's first open reading its contexts still matter.
func (p *Platform) contextSpan(period time.Duration) time.Duration {
	return stream.ContextSpan(stream.Longest(p.cfg.Stream, period))
}

// listenHTTP opens the console's address.
func (p *Platform) listenHTTP() error {
	at, err := net.ResolveTCPAddr("tcp", p.cfg.HTTP)
	if err != nil {
		return fmt.Errorf("resolve HTTP address %q: %w", p.cfg.HTTP, err)
	}
	if !at.IP.IsLoopback() && len(p.cfg.Users) == 0 && !p.cfg.AllowAnonymous {
		return fmt.Errorf("listen for HTTP on %s: %w; %s", p.cfg.HTTP, broker.ErrExposed, howToAllow)
	}
	l, err := net.ListenTCP("tcp", at)
	if err != nil {
		return taken(fmt.Errorf("listen for HTTP on %s: %w", p.cfg.HTTP, err), "--http")
	}
	p.http = l
	return nil
}

// startBroker opens the MQTT address. From here on messages are taken, and queued until the line runs.
func (p *Platform) startBroker(standing []store.Publication) error {
	sessions, err := p.lastingSessions()
	if err != nil {
		return err
	}
	bc := broker.Config{Addr: p.cfg.MQTT, MaxPayload: p.cfg.MaxPayload, QueueBytes: queueBytes, AllowAnonymous: p.cfg.AllowAnonymous, Restore: sessions, Phrases: model.RiskPhrases(), Log: p.cfg.Log}
	for _, s := range standing {
		bc.Standing = append(bc.Standing, broker.Retained{Topic: s.Topic, Payload: s.Payload})
	}
	if len(p.cfg.Users) > 0 {
		bc.Authenticate = p.authenticate
	}
	p.broker, err = broker.Start(bc)
	if errors.Is(err, broker.ErrExposed) {
		return fmt.Errorf("%w; %s", err, howToAllow)
	}
	if err != nil {
		return taken(err, "--mqtt")
	}
	p.line.broker = p.broker
	p.metrics.watch(p.broker)
	p.status.announce(func(payload []byte) {
		if err := p.broker.Publish(statusTopic, payload, true); err != nil {
			p.cfg.Log.Warn().Err(err).Msg("publish status")
		}
	})
	return nil
}

const howToAllow = "add users to the [users] table of the config file (cidp passwd makes a line), or pass --allow-anonymous on a network you trust"

// taken adds what to do when a port is in use.
func taken(err error, flag string) error {
	if errors.Is(err, syscall.EADDRINUSE) {
		return fmt.Errorf("%w: another program has that port; stop it or choose another address with %s", err, flag)
	}
	return err
}

// authenticate checks a user against the configured hashes. An unknown user takes as long as a wrong password.
func (p *Platform) authenticate(user string, password []byte) bool {
	hash, known := p.cfg.Users[user]
	if !known {
		hash = p.stranger
	}
	return bcrypt.CompareHashAndPassword([]byte(hash), password) == nil && known
}

// run starts the line, which tells the world what stands.
func (p *Platform) run(again []store.Publication) {
	p.workers.Go(func() {
		p.lineErr = p.line.run(p.ctx, again)
		if p.lineErr != nil {
			p.status.degrade(reasonLine, p.lineErr.Error())
		}
		close(p.ended)
	})
	p.workers.Go(func() { p.keeper.run(p.ctx) })
	if p.cfg.From == nil { // what is at hand follows one configuration from end to end, and nobody looks at it meanwhile
		p.workers.Go(func() { p.drift.run(p.ctx) })
		p.sensors.into = p.line.configs
		p.workers.Go(func() { p.sensors.watch(p.ctx) })
	}
	p.status.heal(reasonStarting)
}

// serveConsole starts the console, before there is a warehouse: it says that and why the platform is not ready.
func (p *Platform) serveConsole() error {
	if err := p.drawStranger(); err != nil {
		return err
	}
	if err := p.listenHTTP(); err != nil {
		return err
	}
	p.metrics.observe(p.status)
	p.clocks.observe(p.metrics.registry)
	httpCtx, endHTTP := context.WithCancel(context.Background())
	p.endHTTP = endHTTP
	cfg := console.Config{Source: &view{p}, Releaser: &view{p}, Registrar: &view{p}, Drifter: &view{p}, Health: p.status, Gatherer: p.metrics.registry, Version: p.cfg.Version, Log: p.cfg.Log}
	if len(p.cfg.Users) > 0 {
		cfg.Users = func(user, pass string) bool { return p.authenticate(user, []byte(pass)) }
	}
	p.workers.Go(func() {
		if err := console.Serve(httpCtx, p.http, console.New(cfg)); err != nil {
			p.cfg.Log.Error().Err(err).Msg("serve console")
		}
	})
	return nil
}

// drawStranger makes a hash that no password has.
func (p *Platform) drawStranger() error {
	if len(p.cfg.Users) == 0 {
		return nil
	}
	secret := make([]byte, 32)
	if _, err := rand.Read(secret); err != nil {
		return fmt.Errorf("draw secret: %w", err)
	}
	hash, err := bcrypt.GenerateFromPassword(secret, bcrypt.DefaultCost)
	if err != nil {
		return fmt.Errorf("hash secret: %w", err)
	}
	p.stranger = string(hash)
	return nil
}

// MQTTAddr is the broker's address.
func (p *Platform) MQTTAddr() string { return p.broker.Addr() }

// HTTPAddr is the console's.
func (p *Platform) HTTPAddr() string { return p.http.Addr().String() }

// Ended is closed when the line has ended, by Stop or by an error.
func (p *Platform) Ended() <-chan struct{} { return p.ended }

// Stop takes no more, commits, acknowledges and publishes what it took, and closes. After half of the time that ctx gives it leaves what no
// pass has taken yet, and after three quarters what cannot be committed: that is neither acknowledged nor kept, and its senders will send it again.
// Only the latter is an error.
func (p *Platform) Stop(ctx context.Context) error {
	p.status.degrade(reasonStopping, "the platform is being stopped")
	if p.broker != nil {
		p.broker.Drain()
	}
	err := p.drained(ctx)
	p.status.end()
	return errors.Join(err, p.release(ctx))
}

// drained waits until the line has ended, and says what went wrong with it.
func (p *Platform) drained(ctx context.Context) error {
	soft, stopSoft := part(ctx, 0.5)
	defer stopSoft()
	hard, stopHard := part(ctx, 0.75)
	defer stopHard()
	select {
	case <-p.ended:
		return p.lineErr
	case <-soft.Done():
		close(p.line.enough)
	}
	select {
	case <-p.ended:
		return p.lineErr
	case <-hard.Done():
	}
	why := cmp.Or(p.status.detail(reasonStore), p.status.detail(reasonRoom))
	p.cut()
	<-p.ended
	if p.lineErr == nil { // it came to its end meanwhile
		return nil
	}
	return fmt.Errorf("stop in time: the last readings could not be committed (%s); they are not acknowledged, and their senders will send them again",
		cmp.Or(why, "the database takes too long"))
}

// part ends after a share of the time that ctx has left, or with it.
func part(ctx context.Context, share float64) (context.Context, context.CancelFunc) {
	end, ok := ctx.Deadline()
	if !ok {
		return context.WithCancel(ctx)
	}
	return context.WithTimeout(ctx, time.Duration(share*float64(time.Until(end))))
}

// release closes whatever is open, in the order that lets each part finish.
func (p *Platform) release(ctx context.Context) error {
	var errs []error
	if p.endHTTP != nil {
		p.endHTTP()
	}
	if p.broker != nil {
		errs = append(errs, p.broker.Close(ctx))
	}
	if p.endHTTP == nil && p.http != nil {
		errs = append(errs, p.http.Close())
	}
	p.cut()
	p.workers.Wait()
	if pages := p.pages.Load(); pages != nil {
		errs = append(errs, pages.Close())
	}
	if p.keeper != nil {
		errs = append(errs, p.keeper.close())
	}
	if p.past != nil {
		errs = append(errs, p.past.Close())
	}
	if p.db != nil {
		errs = append(errs, p.db.Close())
	}
	if p.held != nil {
		errs = append(errs, p.held.Release())
	}
	return errors.Join(errs...)
}

// Warehouse gives the pages that the console reads; they may be read until Stop.
func (p *Platform) Warehouse() *store.Console { return p.pages.Load() }
