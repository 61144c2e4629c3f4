package model

import (
	"errors"
	"fmt"
)

// The part of onnx.proto (ONNX 1.x) that a forest is made of, by field number.
const (
	modelIR              = 1
	modelProducer        = 2
	modelProducerVersion = 3
	modelGraph           = 7
	modelOpset           = 8
	modelMetadata        = 14

	opsetDomain  = 1
	opsetVersion = 2

	entryKey   = 1
	entryValue = 2

	graphNode   = 1
	graphName   = 2
	graphInput  = 11
	graphOutput = 12

	nodeInput     = 1
	nodeOutput    = 2
	nodeName      = 3
	nodeOp        = 4
	nodeAttribute = 5
	nodeDomain    = 7

	attrName    = 1
	attrI       = 3
	attrS       = 4
	attrTensor  = 5
	attrFloats  = 7
	attrInts    = 8
	attrStrings = 9
	attrType    = 20

	infoName, infoType                     = 1, 2
	typeTensor                             = 1
	tensorTypeElem, tensorTypeShape        = 1, 2
	shapeDim, dimValue, dimParam           = 1, 1, 2
	tensorType, tensorFloats, tensorRaw    = 2, 4, 9
	tensorDoubles                          = 10
	elemFloat, elemInt64, elemDouble       = 1, 7, 11
	attrIsString, attrIsFloats, attrIsInts = 3, 6, 7
	attrIsStrings                          = 8
)

const onnxML = "ai.onnx.ml"

// onnxModel is what a file says, unjudged.
type onnxModel struct {
	producer string
	opsets   map[string]uint64 // version by domain
	metadata map[string]string
	nodes    []onnxNode
	inputs   map[string]int // width by name, 0 when not said
}

type onnxNode struct {
	op, domain    string
	input, output []string
	attributes    map[string]*onnxAttribute
}

type onnxAttribute struct {
	number  int64
	text    string
	ints    []int64
	floats  []float64
	strings []string
}

// Limits of what a graph of one forest may hold.
const (
	maxOnnxNodes   = 64
	maxOnnxEntries = 256
)

func parseONNX(file []byte) (*onnxModel, error) {
	m := &onnxModel{opsets: map[string]uint64{}, metadata: map[string]string{}, inputs: map[string]int{}}
	version := ""
	err := fields(file, func(f field) (err error) {
		switch f.id {
		case modelProducer:
			m.producer, err = f.text()
		case modelProducerVersion:
			version, err = f.text()
		case modelGraph:
			err = m.graph(f)
		case modelOpset:
			err = m.opset(f)
		case modelMetadata:
			err = m.entry(f)
		}
		return err
	})
	if version != "" {
		m.producer += " " + version
	}
	return m, err
}

func (m *onnxModel) opset(f field) error {
	b, err := f.message()
	if err != nil {
		return err
	}
	domain, version := "", uint64(0)
	err = fields(b, func(f field) (err error) {
		switch f.id {
		case opsetDomain:
			domain, err = f.text()
		case opsetVersion:
			version = f.number
		}
		return err
	})
	if m.opsets[domain] = version; len(m.opsets) > maxOnnxEntries {
		return errors.New("too many opsets")
	}
	return err
}

func (m *onnxModel) entry(f field) error {
	b, err := f.message()
	if err != nil {
		return err
	}
	key, value := "", ""
	err = fields(b, func(f field) (err error) {
		switch f.id {
		case entryKey:
			key, err = f.text()
		case entryValue:
			value, err = f.text()
		}
		return err
	})
	if m.metadata[key] = value; len(m.metadata) > maxOnnxEntries {
		return errors.New("too much metadata")
	}
	return err
}

func (m *onnxModel) graph(f field) error {
	b, err := f.message()
	if err != nil {
		return err
	}
	return fields(b, func(f field) error {
		switch f.id {
		case graphNode:
			n, err := parseNode(f)
			if m.nodes = append(m.nodes, n); len(m.nodes) > maxOnnxNodes {
				return fmt.Errorf("the graph has more than %d nodes", maxOnnxNodes)
			}
			return err
		case graphInput:
			name, width, err := parseInput(f)
			if m.inputs[name] = width; len(m.inputs) > maxOnnxEntries {
				return errors.New("the graph has too many inputs")
			}
			return err
		}
		return nil
	})
}

func parseNode(f field) (n onnxNode, err error) {
	n.attributes = map[string]*onnxAttribute{}
	b, err := f.message()
	if err != nil {
		return n, err
	}
	err = fields(b, func(f field) error {
		switch f.id {
		case nodeInput, nodeOutput:
			name, err := f.text()
			if len(n.input)+len(n.output) > maxOnnxEntries {
				return errors.New("a node has too many inputs")
			}
			if f.id == nodeInput {
				n.input = append(n.input, name)
			} else {
				n.output = append(n.output, name)
			}
			return err
		case nodeOp:
			n.op, err = f.text()
		case nodeDomain:
			n.domain, err = f.text()
		case nodeAttribute:
			return n.attribute(f)
		}
		return err
	})
	return n, err
}

func (n *onnxNode) attribute(f field) error {
	b, err := f.message()
	if err != nil {
		return err
	}
	a, name := &onnxAttribute{}, ""
	var floats []float32
	known := map[string]string{} // the few texts of a long list are kept once
	err = fields(b, func(f field) (err error) {
		switch f.id {
		case attrName:
			name, err = f.text()
		case attrI:
			a.number = int64(f.number)
		case attrS:
			a.text, err = f.text()
		case attrTensor:
			a.floats, err = parseTensor(f)
		case attrInts:
			a.ints, err = f.appendInts(a.ints)
		case attrFloats:
			floats, err = f.appendFloats(floats)
		case attrStrings:
			b, err := f.message()
			if err != nil {
				return err
			}
			s, ok := known[string(b)]
			if !ok {
				s = string(b)
				if len(known) < maxOnnxEntries {
					known[s] = s
				}
			}
			a.strings = append(a.strings, s)
			return tooLong(len(a.strings))
		}
		return err
	})
	for _, v := range floats {
		a.floats = append(a.floats, float64(v))
	}
	if n.attributes[name] = a; len(n.attributes) > maxOnnxEntries {
		return errors.New("a node has too many attributes")
	}
	return err
}

// parseTensor reads a tensor of floats.
func parseTensor(f field) ([]float64, error) {
	b, err := f.message()
	if err != nil {
		return nil, err
	}
	var kind uint64
	var raw []byte
	var floats []float32
	var doubles []float64
	err = fields(b, func(f field) (err error) {
		switch f.id {
		case tensorType:
			kind = f.number
		case tensorFloats:
			floats, err = f.appendFloats(floats)
		case tensorDoubles:
			doubles, err = f.appendDoubles(doubles)
		case tensorRaw:
			raw, err = f.message()
		}
		return err
	})
	switch {
	case err != nil:
		return nil, err
	case kind == elemDouble && raw != nil:
		return field{kind: wireBytes, bytes: raw}.appendDoubles(doubles)
	case kind == elemFloat && raw != nil:
		if floats, err = (field{kind: wireBytes, bytes: raw}).appendFloats(floats); err != nil {
			return nil, err
		}
	}
	for _, v := range floats {
		doubles = append(doubles, float64(v))
	}
	return doubles, nil
}

// parseInput gives the name and the last dimension of a graph's input.
func parseInput(f field) (name string, width int, err error) {
	b, err := f.message()
	if err != nil {
		return "", 0, err
	}
	path := []int{infoType, typeTensor, tensorTypeShape, shapeDim}
	var down func(b []byte, depth int) error
	down = func(b []byte, depth int) error {
		return fields(b, func(f field) (err error) {
			switch {
			case depth == 0 && f.id == infoName:
				name, err = f.text()
			case depth < len(path) && f.id == path[depth]:
				if depth == len(path)-1 {
					width = 0 // of this dimension nothing is known yet
				}
				if b, err = f.message(); err == nil {
					err = down(b, depth+1)
				}
			case depth == len(path) && f.id == dimValue && f.number <= 1<<31:
				width = int(f.number)
			}
			return err
		})
	}
	return name, width, down(b, 0)
}
