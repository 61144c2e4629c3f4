package store

import (
	"github.com/camrail/cidp/model"
	"github.com/camrail/cidp/stream"
)

// Batch is one commit: what a pass over some messages accepted, refused and closed, what the model said of it, and what is
// to be told to the world once it is on disk.
type Batch struct {
	*stream.Batch
	Predictions []model.Prediction       // one for every valid window, none for another
	Shadows     []model.ShadowPrediction // one for every valid window and model in shadow
	Alerts      []model.Alert            // newest state of every alert that moved
	Transitions []model.Transition       // in order
	Outbox      []Publication            // to be published after the commit
	Sent        []int64                  // outbox ids published since the last commit
	Sessions    *SessionChanges          // of MQTT clients, since the last commit; nil: none. Writing them twice changes nothing.
	Withhold    int64                    // of the fail-safe for all: 1 publication is withheld, 2 it is not, 0 as before
	Config      *ConfigChange            // put in force before anything of this batch; nil: none was
	Drift       *DriftChange             // of the model's windows; nil: none was counted
	Releases    []Release                // what people asked to have put back, in order
	Models      []ModelMove              // what was asked of models, in order: the windows of this batch are scored so
	Committed   int64                    // wall clock of this commit, ms
	ID          int64                    // commit id: set by the caller, one more than the last; a repeat of the last is recognised
}

// Publication is one message to be published once what it tells is committed. Delivery is at least once.
type Publication struct {
	ID      int64 // set by Commit
	Topic   string
	Payload []byte // empty with Retain: clears the retained message
	Retain  bool

	WindowID int64 // of the prediction in the batch that it tells of, whose explanation is not stored twice; 0: of none
	Revision int
}
