package platform

import "testing"

// TestBySensor: values are where they were set, nowhere else, and stay there.
func TestBySensor(t *testing.T) {
	var b bySensor[int64]
	ids := []int64{1, partLength - 1, partLength, 5*partLength + 3, 1<<20 - 1}
	places := map[int64]*int64{}
	for _, id := range ids {
		if v, ok := b.get(id); ok || v != 0 || b.at(id) != nil {
			t.Errorf("sensor %d has %d before it is set", id, v)
		}
		places[id] = b.set(id, 7*id)
	}
	for _, id := range ids {
		if v, ok := b.get(id); !ok || v != 7*id || b.at(id) != places[id] {
			t.Errorf("sensor %d has %d", id, v)
		}
		b.set(id, -id)
		if v, _ := b.get(id); v != -id || *places[id] != -id {
			t.Errorf("sensor %d has %d after it was set again", id, v)
		}
		if _, ok := b.get(id + 1); ok && id+1 != partLength {
			t.Errorf("sensor %d has a value that nobody set", id+1)
		}
	}
	if _, ok := b.get(1 << 21); ok {
		t.Error("a sensor beyond all has a value")
	}
}
