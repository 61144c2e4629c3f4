package platform

import (
	"context"
	"time"

	"github.com/camrail/cidp/broker"
)

// intake brings messages from the broker to feed. A goroutine waits for the next one while nothing else is to be done. As long as nothing can be committed anyway, feed looks for itself from
// time to time what has gathered, and once more before a pass is sealed: two wakes for each message would cost more than its reading. But for receive, it is feed's.
type intake struct {
	broker  messages
	asks    chan []broker.Message // receive waits for messages, and puts them here
	comes   chan []broker.Message // what came; closed when the broker is drained
	asked   bool                  // receive waits, or has something
	drained bool                  // nothing comes any more
	look    *time.Timer
	looking bool             // look runs
	found   int              // messages that came last
	room    []broker.Message // where the next ones go; receive's while asked
	spare   broker.Spare     // of the rooms that go round between the queue and here
}

const (
	receiveMax = 4096                 // messages taken from the broker at once
	gatherFor  = 2 * time.Millisecond // how long messages may gather
	findMany   = 512                  // who finds so many looks again at once
)

func newIntake(b messages) intake {
	return intake{broker: b, asks: make(chan []broker.Message, 1), comes: make(chan []broker.Message, 1), look: time.NewTimer(gatherFor), looking: true}
}

// receive waits for messages when it is asked to, until asks is closed, ctx ends or the broker is drained.
func (in *intake) receive(ctx context.Context) {
	defer close(in.comes)
	for room := range in.asks {
		messages, err := in.broker.Receive(ctx, room, receiveMax)
		if err != nil {
			return
		}
		in.comes <- messages
	}
}

// next sees that the next messages are told of, unless some are held back: by the channel that it gives, or by look while the line is busy and there is a flow of messages.
func (in *intake) next(held, busy bool) (from <-chan []broker.Message) {
	switch {
	case held, in.drained:
		return nil
	case in.asked:
	case busy && in.found > 0:
		if !in.looking {
			in.looking = true
			in.look.Reset(in.rest())
		}
		return nil
	default:
		in.ask()
	}
	return in.comes
}

// rest is how long to wait before feed looks again.
func (in *intake) rest() time.Duration {
	if in.found >= findMany {
		return 0
	}
	return gatherFor
}

func (in *intake) ask() {
	if !in.asked {
		in.asked = true
		in.asks <- in.room
		in.room = nil
	}
}

// came takes over what receive got; when it is closed the broker is drained.
func (in *intake) came(messages []broker.Message, open bool) []broker.Message {
	if !open {
		in.drained = true
		return nil
	}
	in.asked, in.found, in.room = false, len(messages), messages
	return messages
}

// atOnce is a context that lets nobody wait.
var atOnce = func() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return ctx
}()

// now gives what is at hand, unless receive is at it.
func (in *intake) now() []broker.Message {
	if in.asked || in.drained {
		return nil
	}
	messages, err := in.broker.Receive(atOnce, in.room, receiveMax)
	if err != nil { // nothing is there
		in.found = 0
		return nil
	}
	in.found, in.room = len(messages), messages
	return messages
}

// taken takes the room back: everything in it is in a pass. What a rush needed goes back when that is over.
func (in *intake) taken() {
	if in.asked || len(in.room) == 0 {
		return
	}
	clear(in.room)
	if !in.spare.Keep(len(in.room), cap(in.room)) {
		in.room = nil
	}
	in.room = in.room[:0]
}

// leave forgets everything, what came already included, until the broker is drained, and says how many messages came until then.
func (in *intake) leave() (left int) {
	in.taken()
	for !in.drained {
		in.ask()
		messages, open := <-in.comes
		left += len(in.came(messages, open))
		in.taken()
	}
	return left
}
