package broker_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"

	"github.com/camrail/cidp/broker"
)

// acknowledgeInRooms takes messages in passes of any size, some of them ahead of their acknowledgement, and acknowledges them in lists that are used again, until the broker is drained.
func acknowledgeInRooms(t *testing.T, b *broker.Broker, rnd *rand.Rand) {
	var room []broker.Message
	var passes [][]broker.Ack
	answer := func(most int) {
		for ; len(passes) > most; passes = passes[1:] {
			b.Acknowledge(passes[0])
		}
	}
	for {
		clear(room)
		got, err := b.Receive(context.Background(), room[:0], 1+rnd.IntN(200))
		if errors.Is(err, broker.ErrDrained) {
			answer(0)
			return
		}
		if err != nil {
			t.Errorf("receive: %v", err)
			return
		}
		acks := b.Room(len(got))
		if spare := acks[:cap(acks)]; len(acks) > 0 || !isClear(spare) {
			t.Errorf("a list of %d, room for %d, keeps former messages", len(acks), cap(acks))
		}
		for i := range got {
			acks = append(acks, broker.Ack{Message: got[i], Outcome: broker.Accepted})
		}
		room = got
		passes = append(passes, acks)
		answer(rnd.IntN(3)) // at most two are held back, and nothing else comes then: the others' windows are open
		if b.Stats().Queued == 0 {
			answer(0)
		}
	}
}

func isClear(acks []broker.Ack) bool {
	for i := range acks {
		if acks[i].Message.Payload != nil || acks[i].Message.Topic != "" || acks[i].Message.Client != "" {
			return false
		}
	}
	return true
}

// TestListsUsedAgain: many passes in lists that go round. Every message is answered once, with its own packet id and in order; a subscriber gets each with its own payload; and what is retained stays
// what it was.
func TestListsUsedAgain(t *testing.T) {
	const publishers, rounds, window = 4, 40, 50
	b := mustStart(t, broker.Config{})
	rnd := rand.New(rand.NewPCG(1, 2))
	done := make(chan struct{})
	go func() {
		defer close(done)
		acknowledgeInRooms(t, b, rnd)
	}()
	defer func() {
		b.Drain()
		<-done
	}()
	text := func(publisher, n int) string {
		return fmt.Sprint(publisher, "/", n, " ", string(bytes.Repeat([]byte{byte('a' + n%26)}, n%97)))
	}
	viewer, _ := connect(t, b, session{id: "viewer"})
	viewer.subscribe("cidp/v1/telemetry/#", 0)
	var all []*rawClient
	for p := range publishers {
		c, _ := connect(t, b, session{id: fmt.Sprint("publisher", p)})
		all = append(all, c)
	}
	var wg sync.WaitGroup
	for p, c := range all {
		wg.Go(func() {
			c.publish(1, 1, 1, "cidp/v1/kept/"+fmt.Sprint(p), text(p, 96))
			c.expectAck(tPuback, 1, 0)
			for round := range rounds {
				var frames []byte
				for i := range window {
					n := round*window + i
					frames = append(frames, publishFrame(4, 0, 1, uint16(n+1), topicOf(p*100+n%100), 0, text(p, n))...)
				}
				c.write(frames)
				for i := range window {
					c.expectAck(tPuback, uint16(round*window+i+1), 0)
				}
			}
		})
	}
	var next [publishers]int
	for range publishers * rounds * window {
		topic, _, payload := viewer.expect(tPublish).delivered(4)
		var p int
		if _, err := fmt.Sscanf(string(payload), "%d/", &p); err != nil || p < 0 || p >= publishers {
			t.Fatalf("got %q", payload)
		}
		n := next[p]
		if next[p]++; topic != topicOf(p*100+n%100) || string(payload) != text(p, n) {
			t.Fatalf("got %s %q, want %s %q", topic, payload, topicOf(p*100+n%100), text(p, n))
		}
	}
	wg.Wait()
	for p := range publishers {
		late, _ := connect(t, b, session{id: fmt.Sprint("late", p)})
		late.subscribe("cidp/v1/kept/"+fmt.Sprint(p), 0)
		late.expectMessage("cidp/v1/kept/"+fmt.Sprint(p), text(p, 96))
	}
}

// A list that a rush needed is kept through a fleet's burst and pause, and goes when the rush is over.
func TestListsOfARushGo(t *testing.T) {
	for _, lists := range []int{1, 2} { // that are under way together
		b := mustStart(t, broker.Config{})
		size := func(messages int) (most int) {
			rooms := make([][]broker.Ack, lists)
			for i := range rooms {
				rooms[i] = b.Room(messages)
			}
			for _, room := range rooms {
				room = append(room, make([]broker.Ack, messages)...)
				for i := range room {
					room[i].Outcome = broker.PayloadInvalid
				}
				most = max(most, cap(room))
				b.Acknowledge(room)
			}
			if err := b.Flush(); err != nil {
				t.Fatal(err)
			}
			return most
		}
		size(5000)
		if got := size(4); got < 5000 {
			t.Errorf("%d lists: after a rush room for %d is kept, want 5000", lists, got)
		}
		for range 300 {
			size(4)
		}
		if got := size(4); got > 64 {
			t.Errorf("%d lists: room for %d messages is kept when 4 come", lists, got)
		}
	}
}

// Of several lists that go round none is kept for a rush that is over, though small ones come between the large ones; a need that comes back now and then keeps them.
func TestSpare(t *testing.T) {
	var s broker.Spare
	s.Keep(5000, 8000)
	for i := range broker.SpareUses {
		if !s.Keep(4, []int{8000, 10}[i%2]) {
			t.Fatalf("a list goes after %d uses", i+1)
		}
	}
	for i := range 4 {
		if room := []int{8000, 10}[i%2]; s.Keep(4, room) != (room == 10) {
			t.Errorf("room for %d: kept %v", room, room != 10)
		}
	}
	for i := range 3 * broker.SpareUses {
		used := 4
		if i%100 == 0 {
			used = 5000
		}
		if !s.Keep(used, 8000) {
			t.Fatalf("use %d: a list goes that is needed every hundred uses", i)
		}
	}
}
