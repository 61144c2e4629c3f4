package model

import (
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math"
)

// What an exported file says beside the standard: our header, every node's value as it is, and its training rows. A vote, a leaf's probability divided by the number of trees, is
// rounded to float32, as are the rows (nodes_hitrates), and the inner nodes have no votes: without these, what comes back would differ in the last bits.
const (
	metaHeader = "cidp.header"
	metaValues = "cidp.values"
	metaCovers = "cidp.covers"
)

// restore takes from the metadata what WriteONNX put there: the header of the model file, and the values and training rows of all nodes without rounding. A file whose
// trees were changed since is refused.
func (e *ensemble) restore(metadata map[string]string) (h fileHeader, err error) {
	header := metadata[metaHeader]
	if len(header) > maxHeader {
		return h, fmt.Errorf("the metadata %s has %d bytes, at most %d are allowed", metaHeader, len(header), maxHeader)
	}
	if err := json.Unmarshal([]byte(header), &h); err != nil {
		return h, fmt.Errorf("the metadata %s is not what it should be: %w", metaHeader, err)
	}
	raw, err := base64.StdEncoding.DecodeString(metadata[metaValues])
	if err != nil {
		return h, fmt.Errorf("the metadata %s is not what it should be: %w", metaValues, err)
	}
	rows, err := base64.StdEncoding.DecodeString(metadata[metaCovers])
	if err != nil {
		return h, fmt.Errorf("the metadata %s is not what it should be: %w", metaCovers, err)
	}
	total := 0
	for i := range e.trees {
		total += len(e.trees[i].left)
	}
	if len(raw) != 4*total || h.Covers && len(rows) != 4*total || len(e.trees) != h.Trees || e.widest >= len(h.Features) {
		return h, fmt.Errorf("the metadata %s is of another forest: remove it to read the trees as they are", metaHeader)
	}
	for i := range e.trees {
		t := &e.trees[i]
		t.leavesOnly, t.cover = false, nil
		if h.Covers {
			t.cover = readUint32s(&rows, len(t.value))
		}
		for k := range t.value {
			v := math.Float32frombits(binary.LittleEndian.Uint32(raw))
			raw = raw[4:]
			if t.left[k] < 0 && !(math.Abs(float64(v-t.value[k])) <= 1e-6) {
				return h, fmt.Errorf("the metadata %s is of another forest: remove it to read the trees as they are", metaValues)
			}
			t.value[k] = v
		}
	}
	return h, nil
}
