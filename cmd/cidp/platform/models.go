package platform

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/camrail/cidp/cmd/cidp/console"
	"github.com/camrail/cidp/cmd/cidp/models"
	"github.com/camrail/cidp/model"
	"github.com/camrail/cidp/store"
)

// What is in force is what the table says. A change goes through feed as another sensor registry does: it waits for the end of a pass, and is committed with the windows that it scores
// first. So every window is scored once, by the model that was in force at its commit, and a crash leaves the one or the other.

// inUse is the forests that the line scores with. It never changes.
type inUse struct {
	live     *model.Forest // nil: the rules speak alone
	shadows  []*model.Forest
	problems map[string]string // of models that should be in force and cannot be read, by id
	lost     string            // the one of them that should be live, empty when none
}

// trouble says what should be in force and cannot be read, empty when nothing.
func (u *inUse) trouble() string {
	var parts []string
	if u.lost != "" {
		parts = append(parts, "the model that should be live cannot be read, and the rules of physics speak alone")
	}
	for _, id := range slices.Sorted(maps.Keys(u.problems)) {
		parts = append(parts, u.problems[id])
	}
	return strings.Join(parts, "; ")
}

// of gives a forest in use, nil when it is not.
func (u *inUse) of(id string) *model.Forest {
	if u.live != nil && u.live.ID() == id {
		return u.live
	}
	for _, f := range u.shadows {
		if f.ID() == id {
			return f
		}
	}
	return nil
}

// follow gives what is in use after an answer to a request of which the forest is f.
func (u *inUse) follow(a *models.Answer, f *model.Forest) *inUse {
	out := &inUse{live: u.live, lost: u.lost, problems: maps.Clone(u.problems)}
	delete(out.problems, a.ID)
	if a.State == store.ModelActive || u.lost == a.ID { // who was to be live is retired, or is asked for
		delete(out.problems, u.lost)
		out.lost = ""
	}
	if out.live != nil && out.live.ID() == a.ID {
		out.live = nil
	}
	for _, s := range u.shadows {
		if s.ID() != a.ID {
			out.shadows = append(out.shadows, s)
		}
	}
	switch a.State {
	case store.ModelActive:
		out.live = f
	case store.ModelShadow:
		out.shadows = append(out.shadows, f)
	}
	return out
}

// watched gives the forest whose windows are compared with its training: the live one, else the first in shadow; nil: none runs.
func (u *inUse) watched() *model.Forest {
	if u.live == nil && len(u.shadows) > 0 {
		return u.shadows[0]
	}
	return u.live
}

// liveID names what predictions are made by.
func (u *inUse) liveID() string {
	if u.live == nil {
		return model.RulesID
	}
	return u.live.ID()
}

// modelAsk is what a person asks of a model, on its way through the line.
type modelAsk struct {
	models.Ask
	answer models.Answer // feed's until done is closed
	err    error         // likewise: why nothing was done
	use    *inUse        // from its pass on
	done   chan struct{} // closed when it is on disk, or nothing was done
}

// exchange puts what is asked of a model in force, when nothing has gone into the filling pass yet: then all of it is scored so.
func (l *line) exchange() {
	a := l.asked
	if a == nil || !l.empty() || len(l.filling.asks) > 0 {
		return
	}
	l.asked = nil
	moves, answer, err := l.registry.Plan(&a.Ask)
	a.answer = answer
	now := l.using
	again := err == nil && len(moves) == 0 && answer.State != store.ModelRetired && now.of(a.ID) == nil // its file could not be read before
	if err != nil || len(moves) == 0 && !again {
		a.err = err
		close(a.done)
		return
	}
	if again {
		a.answer.Why = "its file can be read again"
	}
	a.use = now.follow(&answer, a.Forest)
	scorer, err := l.scorer.With(a.use.live, a.use.shadows)
	if err != nil {
		a.err = err
		close(a.done)
		return
	}
	l.registry.Apply(moves)
	l.scorer, l.using = scorer, a.use
	l.drift.exchange(a.use.watched(), l.filling.batch)
	l.filling.batch.Models = moves
	l.filling.asks = append(l.filling.asks, a)
}

// exchanged tells what is in force, once it is on disk.
func (l *line) exchanged(a *modelAsk) {
	l.use.Store(a.use)
	l.status.scoredBy(a.use)
	l.metrics.scoredBy(a.use)
	l.log.Info().Str("model", a.ID).Str("state", string(a.answer.State)).Str("actor", a.Actor).Str("why", a.answer.Why).Str("live", a.use.liveID()).Msg("a model was moved")
	close(a.done)
}

// move asks something of a model and waits until that is on disk.
func (p *Platform) move(ctx context.Context, ask models.Ask) (models.Answer, error) {
	if err := ask.Load(p.cfg.Data); err != nil {
		return models.Answer{}, refused(err)
	}
	a := &modelAsk{Ask: ask, done: make(chan struct{})}
	if err := handOver(ctx, p, p.line.asks, a, a.done); err != nil {
		return models.Answer{}, err
	}
	return a.answer, refused(a.err)
}

// refused marks why nothing was done for whoever asked.
func refused(err error) error {
	switch {
	case errors.Is(err, models.ErrUnknown):
		return errors.Join(console.ErrNotFound, err)
	case err != nil:
		return errors.Join(console.ErrRefused, err)
	}
	return nil
}

// Actors of what is asked of a model without a person's word at that time.
const (
	actorLine = model.ActorLine
	actorFlag = "--model" // whoever started the program with it
)

// preset gives the model that the program is started with.
func preset(cfg *Config) (*model.Forest, error) {
	if cfg.ModelFile != "" {
		return models.Read(cfg.ModelFile)
	}
	if cfg.embedded != nil {
		return cfg.embedded()
	}
	return model.Default()
}

// openModels brings the registry to what the program is started with, and gives the scorer of what is in force.
func (p *Platform) openModels(first *model.Forest) (*model.Scorer, error) {
	rows, err := p.db.Models()
	if err != nil {
		return nil, err
	}
	registry := models.NewRegistry(rows)
	moves, err := p.presetMoves(registry, first)
	if err != nil {
		return nil, err
	}
	if len(moves) > 0 {
		if err := p.db.MoveModels(moves); err != nil {
			return nil, err
		}
		registry.Apply(moves)
	}
	p.registry = registry
	use := p.inForce(registry, first)
	p.use.Store(use)
	p.status.scoredBy(use)
	p.metrics.scoredBy(use)
	rules := model.DefaultRules()
	if p.cfg.Rules != nil {
		rules = *p.cfg.Rules
	}
	scorer, err := model.NewScorer(nil, rules, model.DefaultAlertConfig())
	if err != nil {
		return nil, err
	}
	return scorer.With(use.live, use.shadows)
}

// presetMoves says what the model that the program is started with changes: one that --model names is entered when it is not known; the embedded one as long as nobody has ever said
// which is to be in force. Whatever is known stays as the table has it.
func (p *Platform) presetMoves(registry *models.Registry, first *model.Forest) ([]store.ModelMove, error) {
	chosen, err := p.db.Chosen()
	if err != nil {
		return nil, err
	}
	named, id := p.cfg.ModelFile != "", first.ID()
	row, known := registry.Of(id)
	switch {
	case chosen && known && named && row.State != store.ModelActive:
		p.cfg.Log.Warn().Str("model", id).Str("state", string(row.State)).Msg("the registry has the model of --model already, and what is in force is what that says: cidp model activate asks for another")
		return nil, nil
	case chosen && !known && !named:
		p.cfg.Log.Info().Str("model", id).Msg("another model comes with this program than the registry has: cidp model add lets it run in shadow")
		return nil, nil
	case chosen && (known || !named), known && !named && row.State != store.ModelShadow:
		return nil, nil
	}
	if err := models.Put(p.cfg.Data, first); err != nil {
		return nil, err
	}
	ask := models.Ask{Action: store.ActionStart, ID: id, Actor: actorLine, At: time.Now().UnixMilli(), Forest: first}
	if named {
		ask.Action, ask.Actor, ask.Note = store.ActionActivate, actorFlag, filepath.Base(p.cfg.ModelFile)
	}
	if ask.Verdict, err = models.Judge(p.cfg.Data, first); err != nil { // without a trial nothing goes live, and the line runs
		p.cfg.Log.Error().Err(err).Str("model", id).Msg("the trial of the model cannot be read")
		ask.Verdict = models.Verdict{Why: err.Error()}
	}
	if known && !ask.Verdict.Live {
		return nil, nil
	}
	moves, _, err := registry.Plan(&ask)
	if err != nil || named {
		return moves, err
	}
	return append(registry.Others(&ask), moves[len(moves)-1]), nil
}

// inForce reads the files of what the table has in force.
func (p *Platform) inForce(registry *models.Registry, first *model.Forest) *inUse {
	return loadAll(registry, func(id string) (*model.Forest, error) {
		f, err := models.Load(p.cfg.Data, id)
		if err != nil && id == first.ID() { // it is at hand
			f, err = first, models.Put(p.cfg.Data, first)
		}
		if err != nil {
			p.cfg.Log.Error().Err(err).Str("model", id).Msg("a model in force cannot be read")
		}
		return f, err
	})
}

// loadAll reads the models in force. One that cannot be read is not used: the rules go on without it.
func loadAll(registry *models.Registry, load func(id string) (*model.Forest, error)) *inUse {
	use := &inUse{problems: map[string]string{}}
	read := func(id string) *model.Forest {
		f, err := load(id)
		if err != nil {
			use.problems[id] = strings.ReplaceAll(err.Error(), "\n", "; ")
			return nil
		}
		return f
	}
	for _, id := range registry.In(store.ModelActive) {
		if use.live = read(id); use.live == nil {
			use.lost = id
		}
	}
	for _, id := range registry.In(store.ModelShadow) {
		if f := read(id); f != nil {
			use.shadows = append(use.shadows, f)
		}
	}
	return use
}

// say logs what is in force.
func (p *Platform) say(use *inUse) {
	for _, f := range use.shadows {
		if v, err := models.Judge(p.cfg.Data, f); err == nil {
			p.cfg.Log.Info().Str("model", f.ID()).Msg(models.Sentence(store.ModelShadow, v))
		}
	}
	if use.live == nil && use.lost == "" {
		p.cfg.Log.Info().Msg("no forest is live: the rules of physics speak alone")
	}
}

// errEnding says that nothing is done any more.
var errEnding = errors.New("the platform is stopping: nothing is done; ask again when it runs")

// handOver gives feed what a person asks for, and waits until that is on disk. When ctx ends before, it may still happen: asking again tells.
func handOver[T any](ctx context.Context, p *Platform, to chan<- T, what T, done <-chan struct{}) error {
	select {
	case to <- what:
	case <-p.ended:
		return errEnding
	case <-ctx.Done():
		return fmt.Errorf("hand over request: %w", ctx.Err())
	}
	select {
	case <-done:
		return nil
	case <-p.ended:
	case <-ctx.Done():
		return fmt.Errorf("wait for request: %w", ctx.Err())
	}
	select { // it may be on disk all the same
	case <-done:
		return nil
	default:
		return errEnding
	}
}
