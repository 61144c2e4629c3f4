package broker_test

import (
	"context"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/camrail/cidp/broker"
)

// TestFullQueueIsFair: of clients that all have more to send than is taken, none gets much more than another, whoever runs first.
func TestFullQueueIsFair(t *testing.T) { synctest.Test(t, fullQueueIsFair) }

func fullQueueIsFair(t *testing.T) {
	const clients, most, rounds = 50, 256, 8000
	q := broker.NewQueue(most, 1<<20)
	var senders sync.WaitGroup
	for k := range clients {
		senders.Go(func() {
			m, turn := message(strconv.Itoa(k)), 0
			for q.PutAs(m, &turn) {
				continue
			}
		})
	}
	synctest.Wait() // all of them wait, but for who filled the queue
	var got [clients]int
	for round := range rounds {
		if round%16 == 0 {
			synctest.Wait() // on one core the taker and a sender that wake each other would keep it from the others for all of this test
		}
		batch, err := q.Take(context.Background(), nil, most/2)
		if err != nil {
			t.Fatal(err)
		}
		for i := range batch {
			k, err := strconv.Atoi(string(batch[i].Payload))
			if err != nil {
				t.Fatal(err)
			}
			got[k]++
		}
	}
	q.Drain()
	senders.Wait()
	least, greatest := got[0], got[0]
	for _, n := range got {
		least, greatest = min(least, n), max(greatest, n)
	}
	if greatest > least*3/2 {
		t.Errorf("the clients got between %d and %d of %d messages", least, greatest, rounds*most/2)
	}
}
