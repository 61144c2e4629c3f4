package broker_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"

	"github.com/camrail/cidp/broker"
)

func message(payload string) *broker.Message {
	return &broker.Message{Topic: topicA, Payload: []byte(payload), Size: len(payload)}
}

func TestQueueKeepsOrderWithinItsBound(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const n = 1000
		q := broker.NewQueue(7, 1<<20)
		go func() {
			for i := range n {
				if !q.Put(message(fmt.Sprint(i)), nil) {
					t.Errorf("message %d is refused", i)
				}
			}
		}()
		var got []broker.Message
		for round := 0; len(got) < n; round++ {
			synctest.Wait() // the queue is full
			before := len(got)
			max := round%9 - 1 // all, none given, 1 to 7
			var err error
			if got, err = q.Take(context.Background(), got, max); err != nil {
				t.Fatal(err)
			}
			if taken := len(got) - before; taken > 7 || (max > 0 && taken > max) {
				t.Fatalf("took %d of at most %d", taken, max)
			}
		}
		for i := range got {
			if string(got[i].Payload) != fmt.Sprint(i) {
				t.Fatalf("message %d is %s", i, got[i].Payload)
			}
		}
	})
}

// Messages that are put together keep their order and the bound, and whoever takes them may give the room of those before.
func TestQueueTakesManyAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const n, bound = 3000, 7
		q := broker.NewQueue(bound, 1<<20)
		go func() {
			turn := 0
			for i := 0; i < n; {
				var together []broker.Message
				for range min(1+i%13, n-i) {
					together = append(together, *message(fmt.Sprint(i)))
					i++
				}
				if !q.PutAll(together, &turn) {
					t.Errorf("messages before %d are refused", i)
				}
			}
		}()
		var room []broker.Message
		for next, round := 0, 0; next < n; round++ {
			synctest.Wait() // the queue is full
			got, err := q.Take(context.Background(), room[:0], round%9)
			if err != nil {
				t.Fatal(err)
			}
			if len(got) == 0 || len(got) > bound || (round%9 > 0 && len(got) > round%9) {
				t.Fatalf("took %d of at most %d", len(got), round%9)
			}
			for i := range got {
				if string(got[i].Payload) != fmt.Sprint(next) {
					t.Fatalf("message %d is %s", next, got[i].Payload)
				}
				next++
			}
			room = got
		}
	})
}

// Of messages that are put together those that found room before a drain are received, and the putter knows that not all were.
func TestQueueDrainsInTheMiddle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := broker.NewQueue(2, 1<<20)
		result := make(chan bool, 1)
		go func() {
			result <- q.PutAll([]broker.Message{*message("0"), *message("1"), *message("2")}, new(int))
		}()
		synctest.Wait()
		q.Drain()
		if <-result {
			t.Error("a message is queued while draining")
		}
		if got, err := q.Take(context.Background(), nil, 0); err != nil || len(got) != 2 || string(got[1].Payload) != "1" {
			t.Errorf("got %d messages, %v", len(got), err)
		}
		if _, err := q.Take(context.Background(), nil, 0); !errors.Is(err, broker.ErrDrained) {
			t.Errorf("got %v", err)
		}
	})
}

func TestQueueBounds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := broker.NewQueue(100, 1000)
		gone := make(chan struct{})
		put := func(payload string) <-chan bool {
			result := make(chan bool, 1)
			go func() { result <- q.Put(message(payload), gone) }()
			synctest.Wait()
			return result
		}
		big := string(make([]byte, 5000))
		if first := put(big); !<-first {
			t.Fatal("a message above the bound does not go into an empty queue")
		}
		second := put("x")
		if len(second) != 0 {
			t.Fatal("a message goes into a full queue")
		}
		close(gone)
		if <-second {
			t.Fatal("a message of a closed connection is queued")
		}
		gone = nil
		third := put("y")
		q.Drain()
		if <-third {
			t.Fatal("a message is queued while draining")
		}
		if got, err := q.Take(context.Background(), nil, 0); err != nil || len(got) != 1 {
			t.Fatalf("got %d messages, %v", len(got), err)
		}
		if _, err := q.Take(context.Background(), nil, 0); !errors.Is(err, broker.ErrDrained) {
			t.Fatalf("got %v", err)
		}
	})
}

func TestDrainWakesTheReceiver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := broker.NewQueue(1, 1)
		result := make(chan error)
		go func() {
			_, err := q.Take(context.Background(), nil, 0)
			result <- err
		}()
		synctest.Wait()
		q.Drain()
		if err := <-result; !errors.Is(err, broker.ErrDrained) {
			t.Fatalf("got %v", err)
		}
	})
}
