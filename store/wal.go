package store

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
)

// checkLog looks for damage in a write-ahead log that a stopped process left. SQLite reads a log up to the first frame whose checksum is
// wrong, and takes what follows for never finished. That is right for the last commit, which a power cut may have met; a commit before it
// was on disk when it was acknowledged. So two and more finished commits in a row behind a wrong frame are commits that went missing: ErrDamaged.
//
// In a row: each frame's checksum carries on the one before. A commit whose sync failed is written over from its first frame on, and what was
// longer of it stays behind the next one. Several of them leave several ends of commits there, of which none carries another on.
//
// A wrong header or a wrong frame of the last commit cannot be told from a power cut.
func checkLog(path string) error {
	good, lost, err := scanLog(path)
	if err != nil {
		return err
	}
	if lost > 1 {
		return fmt.Errorf("open database %s: %w: its write-ahead log is wrong from frame %d on, and %d commits that lie behind it cannot be read; "+
			"to go on without them move the -wal file away", path, ErrDamaged, good+1, lost)
	}
	return nil
}

// scanLog counts the frames up to the first wrong one, and the most commits that were finished one after another behind it.
func scanLog(path string) (good, lost int, err error) {
	f, err := os.Open(path + "-wal")
	if errors.Is(err, os.ErrNotExist) {
		return 0, 0, nil
	}
	if err != nil {
		return 0, 0, fmt.Errorf("open write-ahead log: %w", err)
	}
	defer f.Close()
	r := bufio.NewReaderSize(f, 1<<20)
	log, err := readLogHeader(r)
	if err != nil || log == nil {
		return 0, 0, err
	}
	row := 0
	for page, wrong := uint32(0), false; ; {
		frame, err := log.next(r)
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			return good, lost, nil
		}
		if err != nil {
			return 0, 0, fmt.Errorf("read write-ahead log: %w", err)
		}
		switch {
		case !wrong && frame.whole:
			good++
		default:
			wrong = true
		}
		if !frame.follows {
			row, page = 0, 0
		}
		if wrong && frame.ours && frame.ends && frame.page != page { // the same page again fills a sector up
			row++
			lost = max(lost, row)
		}
		page = frame.page
	}
}

// logReader reads a write-ahead log (https://sqlite.org/fileformat2.html, section 4).
type logReader struct {
	order  binary.ByteOrder // of the words that are summed
	salt   [8]byte
	sum    [2]uint32 // as the last frame, or the header, has it
	broken bool      // a frame was wrong
	buf    []byte
}

type logFrame struct {
	page    uint32
	ends    bool // a commit
	ours    bool // written since the log was last begun
	follows bool // its checksum carries on the one before
	whole   bool // and so do all before it
}

const (
	logHeader   = 32
	frameHeader = 24
	logMagic    = 0x377f0682 // the last bit: words are summed as big-endian
)

// readLogHeader gives nil when there is no log, or none with a whole header.
func readLogHeader(r io.Reader) (*logReader, error) {
	var head [logHeader]byte
	if _, err := io.ReadFull(r, head[:]); errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return nil, nil
	} else if err != nil {
		return nil, fmt.Errorf("read write-ahead log: %w", err)
	}
	word := func(i int) uint32 { return binary.BigEndian.Uint32(head[4*i:]) }
	size := word(2)
	if word(0)&^1 != logMagic || size < 512 || size > 65536 || size&(size-1) != 0 {
		return nil, nil
	}
	l := &logReader{order: binary.LittleEndian, buf: make([]byte, frameHeader+size)}
	if word(0)&1 != 0 {
		l.order = binary.BigEndian
	}
	copy(l.salt[:], head[16:24])
	if l.sum = l.add(l.sum, head[:24]); l.sum != [2]uint32{word(6), word(7)} {
		return nil, nil
	}
	return l, nil
}

// add carries a sum on over words, two at a time.
func (l *logReader) add(sum [2]uint32, p []byte) [2]uint32 {
	a, b := sum[0], sum[1]
	for ; len(p) >= 8; p = p[8:] {
		a += l.order.Uint32(p) + b
		b += l.order.Uint32(p[4:]) + a
	}
	return [2]uint32{a, b}
}

func (l *logReader) next(r io.Reader) (f logFrame, err error) {
	if _, err := io.ReadFull(r, l.buf); err != nil {
		return f, err
	}
	word := func(i int) uint32 { return binary.BigEndian.Uint32(l.buf[4*i:]) }
	f.page, f.ends, f.ours = word(0), word(1) != 0, [8]byte(l.buf[8:16]) == l.salt
	sum := l.add(l.add(l.sum, l.buf[:8]), l.buf[frameHeader:])
	l.sum = [2]uint32{word(4), word(5)}
	f.follows = f.ours && sum == l.sum
	f.whole = f.follows && !l.broken
	l.broken = !f.whole
	return f, nil
}
