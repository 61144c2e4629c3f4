package broker_test

import (
	"math/rand/v2"
	"testing"

	"github.com/camrail/cidp/broker"
)

// The packet ids under way are those of a plain map.
func TestPacketIDs(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	var ids broker.PacketIDs
	want := map[uint16]byte{}
	near := uint16(0) // clients count, and some begin again or jump
	for range 200_000 {
		if near++; rng.IntN(500) == 0 {
			near = uint16(rng.Uint32())
		}
		id := near - uint16(rng.IntN(40))
		switch rng.IntN(4) {
		case 0:
			qos := 1 + byte(rng.IntN(2))
			known, taken := want[id]
			if !taken {
				want[id] = qos
			}
			n, other, got := ids.Add(id, qos)
			if got != taken || other != known || n != len(want) {
				t.Fatalf("add %d: got %d, %d, %v; want %d, %d, %v", id, n, other, got, len(want), known, taken)
			}
		case 1:
			most, free := len(want)+rng.IntN(4), 0
			for _, next := range []uint16{id, id + 1, id + 2} {
				if _, taken := want[next]; taken || len(want) >= most {
					break
				}
				want[next] = 1
				free++
			}
			if got := ids.AddAll(most, id, id+1, id+2); got != free {
				t.Fatalf("add %d and two more: got %d, want %d", id, got, free)
			}
		default:
			ids.Remove(id, id+7)
			delete(want, id)
			delete(want, id+7)
		}
	}
}
