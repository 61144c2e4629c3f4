#!/usr/bin/python3
"""Trains scikit-learn's random forest and ours on the same data, machine and thread count, and prints how they compare.

usage: /usr/bin/python3 model/testdata/compare_sklearn.py [--rows 200000] [--features 32] [--trees 100] [--depth 12] [--threads 2] [--cidp FILE]
Needs Debian's python3-sklearn, and Go to build the program unless --cidp names one. Exit 1 when ours is less than 15 times as fast at the default size, ranks
worse by more than 0.005 in ROC-AUC, or does not give scikit-learn's own forest its probabilities to 1e-6.

Time is training alone, for ours with binning, out-of-bag figures and the digest of the data; reading files counts for neither. Leaves of 5 rows, Gini, square root of
the features at a node, a bootstrap of all rows: the same for both.
"""
import argparse
import json
import os
import subprocess
import sys
import tempfile
import time

import numpy as np
from sklearn.ensemble import RandomForestClassifier
from sklearn.metrics import average_precision_score, roc_auc_score

a = argparse.ArgumentParser()
a.add_argument("--rows", type=int, default=200_000)
a.add_argument("--features", type=int, default=32)
a.add_argument("--trees", type=int, default=100)
a.add_argument("--depth", type=int, default=12)
a.add_argument("--threads", type=int, default=2)
a.add_argument("--seed", type=int, default=1)
a.add_argument("--cidp", help="the program; built from the repository when left out")
a = a.parse_args()


def data(rows, seed):
    """Ten of the features carry a signal that leans on products and a wave; every value is a float32."""
    g = np.random.default_rng(seed)
    x = g.standard_normal((rows, a.features)).astype(np.float32)
    score = x[:, 0] + x[:, 1] * x[:, 2] + x[:, 3] * x[:, 4] + np.sin(2 * x[:, 5]) + 0.7 * x[:, 6] * x[:, 7] * x[:, 8] + 0.5 * x[:, 9]
    return x, (score + 1.5 * g.standard_normal(rows) > 2.8).astype(int)


def write(path, x, y=None):
    names = ["f%d" % i for i in range(x.shape[1])]
    table = x
    if y is not None:
        names += ["asset", "y"]
        table = np.column_stack([x.astype(np.float64), np.arange(len(x)) // 20, y])
    np.savetxt(path, table, delimiter=",", fmt="%.9g", header=",".join(names), comments="")


def arrays(forest):
    """scikit-learn's own arrays, as `cidp model import` reads them."""
    import sklearn

    def tree(t):
        t = t.tree_
        return {"children_left": t.children_left.tolist(), "children_right": t.children_right.tolist(), "feature": t.feature.tolist(),
                "threshold": t.threshold.tolist(), "value": t.value[:, 0, :].tolist()}

    return {"format": "sklearn-rf-dump-1", "sklearn": sklearn.__version__, "n_features": forest.n_features_in_, "classes": [0, 1],
            "n_trees": len(forest.estimators_), "trees": [tree(t) for t in forest.estimators_]}


def run(*args):
    done = subprocess.run([cidp, *args], capture_output=True, text=True)
    if done.returncode:
        sys.exit("cidp %s: %s" % (" ".join(args), done.stderr))
    return done.stdout


with tempfile.TemporaryDirectory() as folder:
    at = lambda name: os.path.join(folder, name)
    cidp = a.cidp or at("cidp")
    if not a.cidp:
        subprocess.run(["go", "build", "-o", cidp, "./cmd/cidp"], check=True, cwd=os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", ".."))
    x, y = data(a.rows, a.seed)
    test_x, test_y = data(50_000, a.seed + 1000)
    write(at("train.csv"), x, y)
    write(at("test.csv"), test_x)

    ours = json.loads(run("train", "--csv", at("train.csv"), "--label", "y", "--group", "asset", "--folds", "0", "--trees", str(a.trees), "--depth", str(a.depth),
                          "--min-leaf", "5", "--threads", str(a.threads), "--seed", str(a.seed), "--json", "--out", at("ours.cidpmodel")))
    p_ours = np.array(json.loads(run("model", "predict", "--model", at("ours.cidpmodel"), "--rows", at("test.csv"), "--json"))["p"])

    forest = RandomForestClassifier(a.trees, max_depth=a.depth, min_samples_leaf=5, max_features="sqrt", n_jobs=a.threads, random_state=a.seed)
    start = time.perf_counter()
    forest.fit(x, y)
    theirs = time.perf_counter() - start
    p_theirs = forest.predict_proba(test_x)[:, 1]

    with open(at("forest.json"), "w") as f:
        json.dump(arrays(forest), f)
    run("model", "import", at("forest.json"), "--out", at("theirs.cidpmodel"))
    p_same = np.array(json.loads(run("model", "predict", "--model", at("theirs.cidpmodel"), "--rows", at("test.csv"), "--json"))["p"])

roc_ours, roc_theirs = roc_auc_score(test_y, p_ours), roc_auc_score(test_y, p_theirs)
ratio, difference, parity = theirs / ours["train_seconds"], roc_ours - roc_theirs, float(np.abs(p_same - p_theirs).max())
print("%d rows, %d features, %d trees of depth %d, %d threads" % (a.rows, a.features, a.trees, a.depth, a.threads))
print("scikit-learn  %8.2f s  ROC-AUC %.4f  PR-AUC %.4f" % (theirs, roc_theirs, average_precision_score(test_y, p_theirs)))
print("ours          %8.2f s  ROC-AUC %.4f  PR-AUC %.4f" % (ours["train_seconds"], roc_ours, average_precision_score(test_y, p_ours)))
print("ratio %.1f (target 15), ROC-AUC difference %+.4f (limit 0.005)" % (ratio, difference))
print("scikit-learn's forest imported: largest difference of %d probabilities %.2g (limit 1e-6)" % (len(p_same), parity))
failed = difference < -0.005 or parity > 1e-6 or ratio < 15 and a.rows >= 200_000
sys.exit(1 if failed else 0)
