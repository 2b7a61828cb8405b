"""Write this folder's cases: random checkpoints and the logits that the specification's reference gives.

    python make.py CONFORMANCE [OUT]

CONFORMANCE is the folder of the specification's `reference.py` and `make_cases.py`, which are not part
of this repository.
"""

import json
import sys
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file

SEED = 20260117
SIZES = {"n_embd": 12, "n_head": 3, "n_layer": 2, "vocab": 19, "positions": 10, "length": 10}
CASES = {
    "lm-none": {"noise": "none"},
    "lm-lowrank": {"noise": "lowrank", "rank": 2},
    "lm-lowrank-full-rank-untied-gelu": {"noise": "lowrank", "rank": 4, "tied": False, "act": "gelu"},
    "lm-pairwise-relu": {"noise": "pairwise", "act": "relu"},
    "lm-relative": {"noise": "relative"},
    "lm-relative-pruned-unevenly": {
        "noise": "relative",
        "layers": [{"n_head": 1, "n_inner": 20}, {"n_inner": 9}],
    },
    "lm-standard": {"attention": "standard"},
    "cls-lowrank-last-padded": {"noise": "lowrank", "rank": 1, "labels": 3, "pad": 4},
    "cls-pairwise-mean-padded": {"noise": "pairwise", "labels": 3, "pooling": "mean", "pad": 3},
    "cls-pairwise-bidirectional-padded": {"noise": "pairwise", "labels": 2, "causal": False, "pad": 2},
    "cls-relative-bidirectional-last-padded": {
        "noise": "relative",
        "labels": 2,
        "causal": False,
        "pooling": "last",
        "pad": 5,
    },
    "cls-causal-first": {"noise": "none", "labels": 4, "pooling": "first"},
    "cls-regression-padded": {"noise": "lowrank", "rank": 2, "labels": 1, "pad": 1},
    "cls-standard-padded": {"attention": "standard", "labels": 2, "pad": 6},
    "cls-standard-bidirectional-mean": {
        "attention": "standard",
        "labels": 5,
        "causal": False,
        "pooling": "mean",
    },
    "cls-last-not-pad": {
        "attention": "standard",
        "labels": 3,
        "pooling": "last_not_pad",
        "pad": 2,
        "pad_token": 5,
    },
    "cls-last-not-pad-bidirectional": {
        "noise": "pairwise",
        "labels": 3,
        "causal": False,
        "pooling": "last_not_pad",
        "pad": 1,
        "pad_token": 5,
    },
    "cls-multi-label": {"noise": "none", "labels": 4, "problem_type": "multi_label_classification"},
    "cls-regression-of-three": {"noise": "none", "labels": 3, "problem_type": "regression"},
}
# Pad tokens that end a text.
PAD_TOKENS = 3


def main(conformance: Path, out: Path) -> None:
    sys.path.insert(0, str(conformance))
    from make_cases import build
    from reference import forward

    for number, (name, options) in enumerate(CASES.items()):
        problem, pad_token = options.pop("problem_type", None), options.pop("pad_token", None)
        # A stream a case, so that adding one leaves the others as they are.
        config, weights, ids, mask = build(np.random.default_rng([SEED, number]), **SIZES, **options)
        if problem is not None:
            config["problem_type"] = problem
        if pad_token is not None:
            config["pad_token_id"] = pad_token
            ids[mask.sum() - PAD_TOKENS : mask.sum()] = pad_token
        folder = out / name
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "config.json").write_text(json.dumps(config, indent=2) + "\n")
        save_file(weights, folder / "model.safetensors")
        logits = forward(folder, ids, mask).astype(np.float32)
        np.savez_compressed(folder / "expected.npz", ids=ids, attention_mask=mask, logits=logits)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]) if len(sys.argv) > 2 else Path(__file__).parent)
