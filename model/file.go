package model

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"

	"github.com/camrail/cidp/stream"
)

// A model file, little endian:
//
//	magic "CIDPFRST"            8 bytes
//	version                     4
//	length of the content       8
//	content:
//	  length of the header      4
//	  header, JSON              names, units, order and distributions of the inputs, counts, distribution of the score, the training manifest
//	  roots                     4 a tree
//	  nodes                     8 a node
//	  values                    4 a node, float32
//	  covers                    4 a node, its training rows; only when the header says "covers":true
//	SHA-256 of all before it    32
//
// The same forest is always the same bytes: a file that decodes but would be encoded otherwise is refused.
const (
	fileMagic   = "CIDPFRST"
	fileVersion = 2
	fileHead    = 20
	fileTail    = sha256.Size
	maxHeader   = 1 << 20
	maxContent  = 4 + maxHeader + 4*maxTrees + 16*maxNodes
)

type fileHeader struct {
	Features []fileFeature      `json:"features"`
	Trees    int                `json:"trees"`
	Nodes    int                `json:"nodes"`
	Covers   bool               `json:"covers"` // the file says how many training rows each node had
	Scores   *ScoreDistribution `json:"scores"` // null: not known
	Manifest Manifest           `json:"manifest"`
}

type fileFeature struct {
	Name   string        `json:"name"`
	Unit   string        `json:"unit"`
	Spread *Distribution `json:"spread"` // over the training rows; null: not known
}

// Encode writes the forest as a model file.
func (f *Forest) Encode(w io.Writer) error {
	file, err := f.appendFile(nil)
	if err != nil {
		return err
	}
	if _, err := w.Write(file); err != nil {
		return fmt.Errorf("encode model: %w", err)
	}
	return nil
}

// header says all of a forest but its trees.
func (f *Forest) header() fileHeader {
	h := fileHeader{Trees: len(f.roots), Nodes: len(f.nodes), Covers: f.covers != nil, Scores: f.scores, Manifest: f.manifest}
	for i, s := range f.schema {
		h.Features = append(h.Features, fileFeature{Name: s.Name, Unit: s.Unit})
		if len(f.spreads) > 0 {
			h.Features[i].Spread = &f.spreads[i]
		}
	}
	return h
}

// parts gives back what header wrote: all of a forest but its trees.
func (h fileHeader) parts() parts {
	p := parts{manifest: h.Manifest, scores: h.Scores, schema: make([]stream.Feature, len(h.Features))}
	for i, f := range h.Features {
		p.schema[i] = stream.Feature{Name: f.Name, Unit: f.Unit}
		if f.Spread != nil {
			p.spreads = append(p.spreads, *f.Spread)
		}
	}
	return p
}

// size is how many bytes the trees take.
func (h fileHeader) size() int {
	if h.Covers {
		return 4*h.Trees + 16*h.Nodes
	}
	return 4*h.Trees + 12*h.Nodes
}

func (f *Forest) appendFile(dst []byte) ([]byte, error) {
	h := f.header()
	header, err := json.Marshal(h)
	if err != nil {
		return nil, fmt.Errorf("encode model header: %w", err)
	}
	if len(header) > maxHeader {
		return nil, fmt.Errorf("encode model header: %d bytes, at most %d are allowed", len(header), maxHeader)
	}
	start := len(dst)
	content := 4 + len(header) + h.size()
	dst = append(dst, fileMagic...)
	dst = binary.LittleEndian.AppendUint32(dst, fileVersion)
	dst = binary.LittleEndian.AppendUint64(dst, uint64(content))
	dst = binary.LittleEndian.AppendUint32(dst, uint32(len(header)))
	dst = append(dst, header...)
	for _, r := range f.roots {
		dst = binary.LittleEndian.AppendUint32(dst, r)
	}
	for _, n := range f.nodes {
		dst = binary.LittleEndian.AppendUint64(dst, n)
	}
	for _, v := range f.values {
		dst = binary.LittleEndian.AppendUint32(dst, math.Float32bits(v))
	}
	for _, n := range f.covers {
		dst = binary.LittleEndian.AppendUint32(dst, n)
	}
	sum := sha256.Sum256(dst[start:])
	return append(dst, sum[:]...), nil
}

// Decode reads a model file. Anything but exactly what Encode wrote is an error that says in a sentence what is wrong. It
// reads to the end of the file, and never asks for much more memory than the bytes that came.
func Decode(r io.Reader) (*Forest, error) {
	f, err := decode(r)
	if err != nil {
		return nil, fmt.Errorf("decode model: %w", err)
	}
	return f, nil
}

func decode(r io.Reader) (*Forest, error) {
	head := make([]byte, fileHead)
	n, err := io.ReadFull(r, head)
	if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
		return nil, err
	}
	if m := min(n, len(fileMagic)); n == 0 || string(head[:m]) != fileMagic[:m] {
		return nil, fmt.Errorf("not a CIDP model file: it starts with %q", head[:m])
	}
	if n < fileHead {
		return nil, fmt.Errorf("the file is cut short: %d bytes, not even its head of %d", n, fileHead)
	}
	if v := binary.LittleEndian.Uint32(head[8:]); v != fileVersion {
		return nil, fmt.Errorf("the file has version %d, this build reads version %d: train or import the model again", v, fileVersion)
	}
	size := binary.LittleEndian.Uint64(head[12:])
	if size > maxContent {
		return nil, fmt.Errorf("the file claims %d bytes of content, at most %d are allowed", size, maxContent)
	}
	rest, err := io.ReadAll(io.LimitReader(r, int64(size)+fileTail+1))
	if err != nil {
		return nil, err
	}
	if want := int(size) + fileTail; len(rest) < want {
		return nil, fmt.Errorf("the file is cut short: %d of %d bytes", fileHead+len(rest), fileHead+want)
	} else if len(rest) > want {
		return nil, fmt.Errorf("the file goes on after its end at %d bytes", fileHead+want)
	}
	content := rest[:size]
	sum := sha256.New()
	sum.Write(head)
	sum.Write(content)
	if !bytes.Equal(sum.Sum(nil), rest[size:]) {
		return nil, errors.New("the file is damaged: its checksum does not match its content")
	}
	f, err := decodeContent(content)
	if err != nil {
		return nil, err
	}
	if !bytes.Equal(f.sum[:], rest[size:]) {
		return nil, errors.New("the file was not written by this program: its header is spelled otherwise")
	}
	return f, nil
}

func decodeContent(content []byte) (*Forest, error) {
	if len(content) < 4 {
		return nil, fmt.Errorf("the content of %d bytes has no header", len(content))
	}
	size := uint64(binary.LittleEndian.Uint32(content))
	rest := content[4:]
	if size > maxHeader || size > uint64(len(rest)) {
		return nil, fmt.Errorf("the header claims %d bytes", size)
	}
	var h fileHeader
	if err := json.Unmarshal(rest[:size], &h); err != nil {
		return nil, fmt.Errorf("the header is not what it should be: %w", err)
	}
	rest = rest[size:]
	if h.Trees < 1 || h.Trees > maxTrees || h.Nodes < h.Trees || h.Nodes > maxNodes {
		return nil, fmt.Errorf("%d trees of %d nodes in all cannot be", h.Trees, h.Nodes)
	}
	if want := h.size(); len(rest) != want {
		return nil, fmt.Errorf("%d trees of %d nodes in all take %d bytes, the file has %d", h.Trees, h.Nodes, want, len(rest))
	}
	p := h.parts()
	p.roots = readUint32s(&rest, h.Trees)
	p.nodes = make([]uint64, h.Nodes)
	for i := range p.nodes {
		p.nodes[i] = binary.LittleEndian.Uint64(rest[8*i:])
	}
	rest = rest[8*h.Nodes:]
	p.values = make([]float32, h.Nodes)
	for i := range p.values {
		p.values[i] = math.Float32frombits(binary.LittleEndian.Uint32(rest[4*i:]))
	}
	rest = rest[4*h.Nodes:]
	if h.Covers {
		p.covers = readUint32s(&rest, h.Nodes)
	}
	return newForest(p)
}

// readUint32s takes n numbers off the front.
func readUint32s(from *[]byte, n int) []uint32 {
	out := make([]uint32, n)
	for i := range out {
		out[i] = binary.LittleEndian.Uint32((*from)[4*i:])
	}
	*from = (*from)[4*n:]
	return out
}
