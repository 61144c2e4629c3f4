package platform

import (
	"context"
	"errors"
	"time"

	"github.com/camrail/cidp/broker"
)

// Source gives messages that are at hand: a file's, another warehouse's. Next gives one after another, and an error when there are no more; the payload is the line's to keep. It is
// called from one goroutine.
type Source interface {
	Next() (topic string, payload []byte, err error)
}

// messages is where the line takes messages from, whom it answers, and whom it tells: the broker, or a Source.
type messages interface {
	Receive(ctx context.Context, dst []broker.Message, max int) ([]broker.Message, error)
	Acknowledge(acks []broker.Ack)
	Room(n int) []broker.Ack
	Publish(topic string, payload []byte, retain bool) error
	lasting
}

// lasting is what outlives a restart of those who are told.
type lasting interface {
	SessionsChanged() <-chan struct{}
	SessionChanges() broker.SessionChanges
}

// atHandClient is who sent what a Source gives, where evidence names its sender.
const atHandClient = "cidp-backtest"

// atHand is a Source in the place of the broker. Nobody waits for an answer, and nobody is told anything.
type atHand struct{ Source }

// Receive gives the next messages, received now.
func (a atHand) Receive(ctx context.Context, dst []broker.Message, max int) ([]broker.Message, error) {
	if err := ctx.Err(); err != nil {
		return dst, err
	}
	now := time.Now().UnixMilli()
	for len(dst) < max {
		topic, payload, err := a.Next()
		if err != nil && len(dst) == 0 {
			return dst, err
		}
		if err != nil { // it says so again
			return dst, nil
		}
		dst = append(dst, broker.Message{Topic: topic, Payload: payload, Client: atHandClient, Size: len(payload), Received: now})
	}
	return dst, nil
}

func (atHand) Acknowledge([]broker.Ack) {}

func (atHand) Room(n int) []broker.Ack { return make([]broker.Ack, 0, n) }

func (atHand) Publish(string, []byte, bool) error {
	return errors.New("nothing is published of what is at hand")
}

func (atHand) SessionsChanged() <-chan struct{}      { return nil }
func (atHand) SessionChanges() broker.SessionChanges { return broker.SessionChanges{} }
