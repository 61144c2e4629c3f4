package console

import (
	"context"
	"encoding/json"
	"errors"
)

// Registrar keeps the registry of models. Its methods are called from several goroutines at once.
type Registrar interface {
	// Models gives every model that is known, what is live first.
	Models(ctx context.Context) (ModelPage, error)
	// Model gives one with its manifest, or ErrNotFound.
	Model(ctx context.Context, id string) (Model, error)
	// Move answers when what came of it is on disk. With ErrNotFound, ErrNotReady and ErrRefused nothing happened; after another error it may yet happen, and asking again tells.
	Move(ctx context.Context, r ModelRequest) (ModelResult, error)
}

// ErrRefused is what Registrar.Move returns, joined with a sentence, for what cannot be done.
var ErrRefused = errors.New("refused")

// ModelPage is the registry.
type ModelPage struct {
	Live   string  `json:"live"` // the id of the model that predictions are made by; "rules": the rules of physics speak alone
	Why    string  `json:"why"`  // one sentence
	Models []Model `json:"models"`
}

// Model is one model of the registry.
type Model struct {
	ID       string           `json:"model_id"`
	Name     string           `json:"name"`
	State    string           `json:"state"`             // "active", "shadow", "retired"
	InForce  bool             `json:"in_force"`          // it scores: one whose file cannot be read does not
	Why      string           `json:"why"`               // one sentence on its state
	Trial    json.RawMessage  `json:"trial,omitempty"`   // the one that counts, as model.Trial; nothing: none was held
	Problem  string           `json:"problem,omitempty"` // why it is not in force though it should be
	Compared *ModelComparison `json:"compared,omitempty"`
	Audit    []AuditEntry     `json:"audit"` // the newest first

	Features json.RawMessage `json:"features,omitempty"` // names and units in order; in a list they are left out
	Manifest json.RawMessage `json:"manifest,omitempty"` // of its training, likewise
}

// List leaves out of a page what is told of a single model only.
func (p *ModelPage) List() {
	p.Models = orEmpty(p.Models)
	for i := range p.Models {
		m := &p.Models[i]
		m.Audit, m.Features, m.Manifest = orEmpty(m.Audit), nil, nil
	}
}

// ModelComparison is how a model in shadow differs from what was live in the same windows, over the last day of event time; of a large fleet over the newest windows of it.
type ModelComparison struct {
	Windows        int64  `json:"windows"`
	Differ         int64  `json:"differ"`       // where the two probabilities fall into different levels
	DifferShare    Figure `json:"differ_share"` // of the windows
	MeanDifference Figure `json:"mean_difference"`
}

// ModelRequest asks something of a model.
type ModelRequest struct {
	Action string // "activate", "shadow", "retire"
	ID     string
	Actor  string
	Note   string
}

// ModelResult is what became of it.
type ModelResult struct {
	ID      string `json:"model_id"`
	State   string `json:"state"`   // from now on: "shadow" after an activation that its trial does not allow
	Changed bool   `json:"changed"` // it was in another state before
	Why     string `json:"why"`     // one sentence
}
