package model

import (
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"math"
)

// WriteONNX writes the forest as a TreeEnsembleClassifier of ai.onnx.ml 1: input X, float [N, features]; outputs label and probabilities [N, 2]. Any runtime gives our
// probabilities to about 1e-7; ReadONNX gives the same model back, to the bit.
func (f *Forest) WriteONNX(w io.Writer) error {
	text, err := json.Marshal(f.header())
	if err != nil {
		return fmt.Errorf("write ONNX: %w", err)
	}
	values := make([]byte, 0, 4*len(f.values))
	for _, v := range f.values {
		values = binary.LittleEndian.AppendUint32(values, math.Float32bits(v))
	}
	var file []byte
	file = appendVarint(file, modelIR, 7)
	file = appendBytes(file, modelProducer, "cidp")
	file = appendBytes(file, modelGraph, f.onnxGraph())
	file = appendBytes(file, modelOpset, appendVarint(appendBytes(nil, opsetDomain, ""), opsetVersion, 13))
	file = appendBytes(file, modelOpset, appendVarint(appendBytes(nil, opsetDomain, onnxML), opsetVersion, 1))
	file = appendBytes(file, modelMetadata, appendBytes(appendBytes(nil, entryKey, metaHeader), entryValue, text))
	file = appendBytes(file, modelMetadata, appendBytes(appendBytes(nil, entryKey, metaValues), entryValue, base64.StdEncoding.EncodeToString(values)))
	if f.covers != nil {
		rows := make([]byte, 0, 4*len(f.covers))
		for _, n := range f.covers {
			rows = binary.LittleEndian.AppendUint32(rows, n)
		}
		file = appendBytes(file, modelMetadata, appendBytes(appendBytes(nil, entryKey, metaCovers), entryValue, base64.StdEncoding.EncodeToString(rows)))
	}
	if _, err := w.Write(file); err != nil {
		return fmt.Errorf("write ONNX: %w", err)
	}
	return nil
}

func (f *Forest) onnxGraph() []byte {
	node := appendBytes(nil, nodeInput, "X")
	node = appendBytes(node, nodeOutput, "label")
	node = appendBytes(node, nodeOutput, "probabilities")
	node = appendBytes(node, nodeName, "forest")
	node = appendBytes(node, nodeOp, "TreeEnsembleClassifier")
	node = appendBytes(node, nodeDomain, onnxML)
	node = f.onnxNodes(node)
	node = f.onnxLeaves(node)
	graph := appendBytes(nil, graphNode, node)
	graph = appendBytes(graph, graphName, "cidp_forest")
	graph = appendBytes(graph, graphInput, valueInfo("X", elemFloat, len(f.schema)))
	graph = appendBytes(graph, graphOutput, valueInfo("label", elemInt64, 0))
	return appendBytes(graph, graphOutput, valueInfo("probabilities", elemFloat, 2))
}

// onnxNodes appends the lists of nodes.
func (f *Forest) onnxNodes(dst []byte) []byte {
	var trees, ids, features, yes, no, missing, hits, values, modes []byte
	leaf, branch := attrText("LEAF"), attrText("BRANCH_LEQ")
	for t := range f.roots {
		root := int(f.roots[t])
		for i := root; i < f.treeEnd(t); i++ {
			n := f.nodes[i]
			left, right, feature, cut, mode := 0, 0, 0, float32(0), leaf
			if !isLeaf(n) {
				left, right, feature, cut, mode = leftOf(n)-root, leftOf(n)+1-root, featureOf(n), threshold(keyOf(n)), branch
			}
			trees = appendVarint(trees, attrInts, uint64(t))
			ids = appendVarint(ids, attrInts, uint64(i-root))
			features = appendVarint(features, attrInts, uint64(feature))
			yes = appendVarint(yes, attrInts, uint64(left))
			no = appendVarint(no, attrInts, uint64(right))
			missing = appendVarint(missing, attrInts, 0)
			rows := float32(1)
			if f.covers != nil {
				rows = float32(f.covers[i])
			}
			hits = appendFloat(hits, attrFloats, rows)
			values = appendFloat(values, attrFloats, cut)
			modes = append(modes, mode...)
		}
	}
	for _, a := range []struct {
		name string
		kind uint64
		list []byte
	}{
		{"nodes_treeids", attrIsInts, trees}, {"nodes_nodeids", attrIsInts, ids}, {"nodes_featureids", attrIsInts, features},
		{"nodes_modes", attrIsStrings, modes}, {"nodes_values", attrIsFloats, values}, {"nodes_hitrates", attrIsFloats, hits},
		{"nodes_truenodeids", attrIsInts, yes}, {"nodes_falsenodeids", attrIsInts, no}, {"nodes_missing_value_tracks_true", attrIsInts, missing},
	} {
		dst = appendAttribute(dst, a.name, a.kind, a.list)
	}
	return dst
}

// onnxLeaves appends the votes of the leaves.
func (f *Forest) onnxLeaves(dst []byte) []byte {
	var trees, ids, classes, weights []byte
	n := float64(len(f.roots))
	for t := range f.roots {
		root := int(f.roots[t])
		for i := root; i < f.treeEnd(t); i++ {
			if !isLeaf(f.nodes[i]) {
				continue
			}
			p := float64(f.values[i])
			for class, vote := range [2]float64{(1 - p) / n, p / n} {
				trees = appendVarint(trees, attrInts, uint64(t))
				ids = appendVarint(ids, attrInts, uint64(i-root))
				classes = appendVarint(classes, attrInts, uint64(class))
				weights = appendFloat(weights, attrFloats, float32(vote))
			}
		}
	}
	dst = appendAttribute(dst, "class_treeids", attrIsInts, trees)
	dst = appendAttribute(dst, "class_nodeids", attrIsInts, ids)
	dst = appendAttribute(dst, "class_ids", attrIsInts, classes)
	dst = appendAttribute(dst, "class_weights", attrIsFloats, weights)
	dst = appendAttribute(dst, "classlabels_int64s", attrIsInts, appendVarint(appendVarint(nil, attrInts, 0), attrInts, 1))
	return appendAttribute(dst, "post_transform", attrIsString, appendBytes(nil, attrS, "NONE"))
}

func attrText(s string) []byte { return appendBytes(nil, attrStrings, s) }

func appendAttribute(dst []byte, name string, kind uint64, list []byte) []byte {
	a := appendBytes(nil, attrName, name)
	a = append(a, list...)
	return appendBytes(dst, nodeAttribute, appendVarint(a, attrType, kind))
}

// valueInfo describes an input or output of N rows; width 0 is a single column without an axis of its own.
func valueInfo(name string, elem uint64, width int) []byte {
	shape := appendBytes(nil, shapeDim, appendBytes(nil, dimParam, "N"))
	if width > 0 {
		shape = appendBytes(shape, shapeDim, appendVarint(nil, dimValue, uint64(width)))
	}
	tensor := appendBytes(appendVarint(nil, tensorTypeElem, elem), tensorTypeShape, shape)
	return appendBytes(appendBytes(nil, infoName, name), infoType, appendBytes(nil, typeTensor, tensor))
}
