package faulty

import (
	"fmt"
	"hash/maphash"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
)

// inode is one file's content. Disk.mu guards it.
type inode struct {
	stable  []byte   // on disk for sure
	pending []change // written since the last sync, in order
}

// change is a write, or a new size.
type change struct {
	off  int64
	data []byte // nil: the size becomes off
}

func (n *inode) write(p []byte, off int64) {
	n.pending = append(n.pending, change{off, append([]byte{}, p...)})
}

func (n *inode) resize(size int64) { n.pending = append(n.pending, change{off: size}) }

func (n *inode) sync() {
	for _, c := range n.pending {
		n.stable = apply(n.stable, c)
	}
	n.pending = nil
}

func (n *inode) drop() { n.pending = nil }

func apply(content []byte, c change) []byte {
	end := c.off + int64(len(c.data))
	switch size := int64(len(content)); {
	case c.data == nil && c.off < size:
		return content[:c.off:c.off]
	case end > size:
		content = append(content, make([]byte, end-size)...)
	}
	copy(content[c.off:], c.data)
	return content
}

// Loss says what a power cut takes of what was not synced.
type Loss uint8

// From the least luck to the most.
const (
	Everything Loss = iota // nothing that was not synced is on disk
	Some                   // any sectors of any writes, in any order; the last one may be torn
	Nothing                // all that was written is there, but that the last sector may be torn
	None                   // all of it is there, as after a kill: no power cut at all

	Losses = iota
)

// Image is what a disk holds after a power cut.
type Image map[string][]byte

// Crash gives what the disk may hold when the power fails now. The same seed gives the same image.
func (d *Disk) Crash(loss Loss, seed uint64) Image {
	d.mu.Lock()
	defer d.mu.Unlock()
	luck := rand.New(rand.NewPCG(seed, uint64(loss)))
	torn := d.torn(loss, luck)
	image := Image{}
	for _, path := range d.paths() {
		n := d.live[path]
		if kept := d.kept[path]; n != kept && (loss == Everything || loss == Some && luck.IntN(2) == 0) {
			n = kept
		}
		switch {
		case n == nil:
		case loss == None:
			if content, err := os.ReadFile(path); err == nil { // what the kernel shows, also of what it has forgotten to write
				image[path] = content
			}
		default:
			image[path] = n.survive(d.o, loss, luck, n == torn)
		}
	}
	return image
}

// torn chooses the file whose last write the power cut met.
func (d *Disk) torn(loss Loss, luck *rand.Rand) *inode {
	if loss != Some && loss != Nothing {
		return nil
	}
	var writing []*inode
	for _, path := range d.paths() {
		if n := d.live[path]; n != nil && len(n.pending) > 0 {
			writing = append(writing, n)
		}
	}
	if len(writing) == 0 {
		return nil
	}
	return writing[luck.IntN(len(writing))]
}

// survive gives a file's content after a power cut.
func (n *inode) survive(o Options, loss Loss, luck *rand.Rand, torn bool) []byte {
	content := append([]byte{}, n.stable...)
	if loss == Everything {
		return content
	}
	var pieces []change
	for _, c := range n.pending {
		pieces = append(pieces, c.sectors(int64(o.Sector))...)
	}
	if loss == Some {
		luck.Shuffle(len(pieces), func(i, j int) { pieces[i], pieces[j] = pieces[j], pieces[i] })
		pieces = pieces[:luck.IntN(len(pieces)+1)]
	}
	for i, c := range pieces {
		if torn && i == len(pieces)-1 {
			return tear(content, c, o, luck)
		}
		content = apply(content, c)
	}
	return content
}

// sectors cuts a write where a disk does.
func (c change) sectors(size int64) []change {
	if c.data == nil {
		return []change{c}
	}
	var out []change
	for off, rest := c.off, c.data; len(rest) > 0; {
		n := min(int64(len(rest)), size-off%size)
		out = append(out, change{off, rest[:n]})
		off, rest = off+n, rest[n:]
	}
	return out
}

// tear does a write that the power cut met: a part of it is there. Where the disk does not promise otherwise its whole sector is garbled.
func tear(content []byte, c change, o Options, luck *rand.Rand) []byte {
	if c.data == nil {
		return content
	}
	if o.Powersafe {
		return apply(content, change{c.off, c.data[:luck.IntN(len(c.data)+1)]})
	}
	content = apply(content, c)
	first := c.off - c.off%int64(o.Sector)
	for i := first; i < min(first+int64(o.Sector), int64(len(content))); i++ {
		content[i] = byte(luck.Uint32())
	}
	return content
}

// WriteTo lays the image out in a folder, which it makes: the files keep their names and lose their folders. Beside a log lies an index of nonsense, as a
// power cut may leave one: SQLite must not believe it.
func (m Image) WriteTo(dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("make folder of image: %w", err)
	}
	for path, content := range m {
		if err := os.WriteFile(filepath.Join(dir, filepath.Base(path)), content, 0o644); err != nil {
			return fmt.Errorf("write image: %w", err)
		}
		if kindOf(path) != WAL {
			continue
		}
		nonsense := make([]byte, 32<<10)
		for i := range nonsense {
			nonsense[i] = byte(i * 31)
		}
		name := filepath.Base(path[:len(path)-len("-wal")] + "-shm")
		if err := os.WriteFile(filepath.Join(dir, name), nonsense, 0o644); err != nil {
			return fmt.Errorf("write image: %w", err)
		}
	}
	return nil
}

// Sum tells images apart: two with the same sum under the same seed hold the same.
func (m Image) Sum(seed maphash.Seed) uint64 {
	var h maphash.Hash
	h.SetSeed(seed)
	var paths []string
	for path := range m {
		paths = append(paths, path)
	}
	slices.Sort(paths)
	for _, path := range paths {
		fmt.Fprintf(&h, "%s %d ", path, len(m[path]))
		_, _ = h.Write(m[path]) // a hash takes all
	}
	return h.Sum64()
}
