"""Checks an ONNX file and scores rows from standard input by its TreeEnsembleClassifier, as the operator's specification says.

usage: score_onnx.py FOREST.onnx < ROWS (a row a line, values parted by blanks); prints the probabilities of class 1 as JSON
"""
import json
import sys

import numpy as np
import onnx

model = onnx.load(sys.argv[1])
onnx.checker.check_model(model, full_check=True)
(node,) = model.graph.node
a = {x.name: onnx.helper.get_attribute_value(x) for x in node.attribute}
assert node.op_type == "TreeEnsembleClassifier" and a["post_transform"] == b"NONE"

nodes = {}
roots = []
for i, key in enumerate(zip(a["nodes_treeids"], a["nodes_nodeids"])):
    if not roots or roots[-1][0] != key[0]:
        roots.append(key)
    nodes[key] = i
votes = {}
for t, n, c, w in zip(a["class_treeids"], a["class_nodeids"], a["class_ids"], a["class_weights"]):
    votes.setdefault((t, n), np.zeros(2))[c] += w


def score(x):
    total = np.zeros(2)
    for key in roots:
        while a["nodes_modes"][nodes[key]] != b"LEAF":
            i = nodes[key]
            assert a["nodes_modes"][i] == b"BRANCH_LEQ"
            left = x[a["nodes_featureids"][i]] <= np.float32(a["nodes_values"][i])
            key = (key[0], (a["nodes_truenodeids"] if left else a["nodes_falsenodeids"])[i])
        total += votes[key]
    return total[1]


print(json.dumps([score(np.array(line.split(), dtype=np.float32)) for line in sys.stdin]))
