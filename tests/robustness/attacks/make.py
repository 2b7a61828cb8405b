"""Writes the files of this folder that are easier to read as code: `python tests/robustness/attacks/make.py`.

The files are checked in; this says how they came about.
"""

import io
import json
import pickle
import struct
import zipfile
from pathlib import Path

import torch

HERE = Path(__file__).parent


def write(name: str, content: bytes | str) -> None:
    path = HERE / name
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(content.encode("utf-8", "surrogatepass") if isinstance(content, str) else content)


def safetensors(name: str, header: object, data: bytes = b"", length: int | None = None) -> None:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    write(
        f"weights/{name}.safetensors",
        struct.pack("<Q", len(text) if length is None else length) + text + data,
    )


def weights() -> None:
    def tensor(shape: list[int], start: int, end: int, dtype: str = "F32") -> dict[str, object]:
        return {"dtype": dtype, "shape": shape, "data_offsets": [start, end]}

    safetensors("header-of-2-to-the-63", {}, length=2**63)
    safetensors("header-of-a-gigabyte", {}, length=10**9)
    safetensors("header-longer-than-file", {}, length=1000)
    safetensors("header-of-nothing", {}, length=0)
    safetensors("header-nests-deeply", b"[" * 3_000)
    safetensors("header-is-a-list", b"[1, 2]")
    safetensors("header-not-utf-8", b'{"\xff": 1}')
    safetensors("tensors-overlap", {"a": tensor([2], 0, 8), "b": tensor([2], 4, 12)}, bytes(12))
    safetensors("tensors-share-bytes", {"a": tensor([2], 0, 8), "b": tensor([2], 0, 8)}, bytes(8))
    safetensors("hole-between-tensors", {"a": tensor([1], 0, 4), "b": tensor([1], 8, 12)}, bytes(12))
    safetensors("bytes-after-the-last-tensor", {"a": tensor([1], 0, 4)}, bytes(4) + b"hidden program")
    safetensors("offsets-beyond-the-file", {"a": tensor([2**20], 0, 2**22)}, bytes(4))
    safetensors("offsets-backwards", {"a": tensor([1], 4, 0)}, bytes(4))
    safetensors("offsets-negative", {"a": tensor([1], -4, 0)}, bytes(4))
    safetensors("shape-overflows", {"a": tensor([2**32, 2**32], 0, 0)})
    safetensors("shape-of-a-terabyte", {"a": tensor([2**40], 0, 4)}, bytes(4))
    safetensors("shape-negative", {"a": tensor([-1], 0, 4)}, bytes(4))
    safetensors("dtype-unknown", {"a": tensor([1], 0, 4, "PICKLE")}, bytes(4))
    safetensors("metadata-not-text", {"__metadata__": {"a": [1]}, "a": tensor([1], 0, 4)}, bytes(4))
    again = (
        json.dumps({"a": tensor([1, 4], 0, 16)})[:-1] + ", " + json.dumps({"a": tensor([4, 1], 0, 16)})[1:]
    )
    safetensors("a-tensor-named-twice", again.encode(), bytes(16))


class Runs:
    """What pickle would run when it loads it."""

    def __reduce__(self) -> tuple[object, tuple[str]]:
        import os

        return os.system, ("touch hacked",)


def pickles() -> None:
    arguments = {"n_layer": 1, "n_head": 1, "n_embd": 1, "block_size": 1, "vocab_size": 1}

    def checkpoint(name: str, model: object, **more: object) -> bytes:
        saved = io.BytesIO()
        torch.save({"model": model, "model_args": {**arguments, **more}}, saved)
        write(f"nanogpt/{name}.pt", saved.getvalue())
        return saved.getvalue()

    checkpoint("runs-a-program", {"a": Runs()})
    write("nanogpt/runs-a-program-without-a-zip.pt", pickle.dumps({"model": Runs()}))
    # 2**40 values in a file of one: the stride is 0.
    checkpoint(
        "a-value-for-a-trillion",
        {"transformer.wte.weight": torch.zeros(1).expand(2**40, 1)},
        vocab_size=2**40,
    )
    checkpoint("a-tensor-without-values", {"transformer.wte.weight": torch.zeros(1, 1, device="meta")})
    checkpoint("a-sparse-tensor", {"transformer.wte.weight": torch.zeros(2, 2).to_sparse()})
    # Lists that stand for 10**12 values when they are printed.
    part: object = [1] * 10
    for _ in range(11):
        part = [part] * 10
    checkpoint("an-argument-that-is-a-bomb", {"transformer.wte.weight": torch.zeros(1, 1)}, extra=part)
    checkpoint("a-number-of-9000-digits", {"transformer.wte.weight": torch.zeros(1, 1)}, n_head=10**9000)
    checkpoint(
        "an-argument-with-escape-codes", {"transformer.wte.weight": torch.zeros(1, 1)}, n_head="\x1b[2J"
    )
    whole = checkpoint("cut-short", {"transformer.wte.weight": torch.zeros(64, 1)})
    write("nanogpt/cut-short.pt", whole[:700])
    bomb = io.BytesIO()
    with (
        zipfile.ZipFile(io.BytesIO(whole)) as old,
        zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as new,
    ):
        for info in old.infolist():
            content = b"\0" * 2**24 if info.filename.endswith("data/0") else old.read(info)
            new.writestr(
                zipfile.ZipInfo(info.filename, (2000, 1, 1, 0, 0, 0)),
                content,
                compress_type=zipfile.ZIP_DEFLATED,
            )
    write("nanogpt/zip-bomb.pt", bomb.getvalue())


def yaml_files() -> None:
    head = "name: {name}\ndescription: an attack\nruntime: onnxruntime\nbackend: onnx_cpu\n"

    def recipe(name: str, text: str) -> None:
        write(f"recipe/{name}.yaml", head.format(name=name) + text)

    laughs = "x0: &x0 [lol, lol, lol]\n" + "".join(
        f"x{i}: &x{i} [{', '.join([f'*x{i - 1}'] * 9)}]\n" for i in range(1, 30)
    )
    merges = "x0: &x0 {a: 1}\n" + "".join(
        f"x{i}: &x{i} {{<<: [{', '.join([f'*x{i - 1}'] * 9)}]}}\n" for i in range(1, 30)
    )
    recipe("billion-laughs", laughs)
    recipe("billion-merges", merges)
    recipe("alias-of-itself", "x: &x [*x]\n")
    recipe("nests-deeply", "x: " + "[" * 2_000 + "\n")
    recipe("runs-a-program", "x: !!python/object/apply:os.system ['touch hacked']\n")
    recipe("tag-without-a-value", "x: !!int ''\n")
    recipe("number-in-base-60", "x: " + ":".join(["1"] * 3_000) + "\n")
    recipe("number-in-base-16", "x: 0x" + "f" * 5_000 + "\n")
    recipe("a-month-that-is-none", "x: 2001-13-01\n")
    recipe("escape-codes-in-a-key", '"\\e[2J\\e[31m": 1\n')
    recipe("half-a-surrogate-pair", 'x: "\\ud800"\n')
    recipe("nul-in-a-text", 'x: "\\0"\n')
    recipe("two-documents", "---\nname: other\n")
    recipe("a-key-twice", "name: other\n")
    recipe(
        "not-a-number",
        "quantize: {weights: int8, granularity: per_channel, activations: none, embeddings: int8}\n"
        "limits: {max_drop: .nan}\n",
    )
    recipe("infinite-limit", "limits: {max_logit_error: .inf}\n")
    recipe("a-thousand-unknown-keys", "".join(f"k{i}: 1\n" for i in range(1_000)))
    write("recipe/utf-16.yaml", head.format(name="utf-16").encode("utf-16"))
    write("recipe/not-utf-8.yaml", head.format(name="not-utf-8").encode() + b"# caf\xe9\n")


def json_files() -> None:
    config = {
        "model_type": "noiseformer",
        "architectures": ["NoiseFormerForCausalLM"],
        "vocab_size": 19,
        "n_positions": 11,
        "n_embd": 12,
        "n_layer": 2,
        "n_head": 3,
    }

    def change(name: str, **changes: object) -> None:
        write(f"config/{name}.json", json.dumps({**config, **changes}))

    classifier = {"architectures": ["NoiseFormerForSequenceClassification"]}
    change("a-trillion-tokens", vocab_size=2**40)
    change("a-billion-layers", n_layer=10**9)
    change("ten-thousand-layers", n_layer=10_000)
    change("a-trillion-labels", **classifier, num_labels=2**40, id2label={"0": "no"})
    change("a-number-of-a-hundred-digits", n_embd=10**100)
    change("negative-width", n_embd=-12)
    change("half-a-surrogate-pair", **classifier, num_labels=1, id2label={"0": "\ud800"})
    write("config/a-key-twice.json", json.dumps(config)[:-1] + ', "n_layer": 1}')
    write("config/nests-deeply.json", '{"noise":' * 500)
    write("config/not-a-number.json", json.dumps(config)[:-1] + ', "layer_norm_epsilon": NaN}')
    write("config/infinite.json", json.dumps(config)[:-1] + ', "layer_norm_epsilon": 1e999}')
    write("config/utf-16.json", json.dumps(config).encode("utf-16"))
    write("config/two-hundred-wrong-layers.json", json.dumps({**config, "layers": [{"n_head": 0}] * 200}))


def devices() -> None:
    whole = """id: {name}
name: An attack
class: sbc
soc: {{value: none, source: made up, verified: false}}
memory:
  - name: RAM
    kind: dram
    size: {{value: {size}, source: made up, verified: false}}
    usable: {{value: {usable}, source: made up, verified: false}}
cpu:
  - core: Cortex-A53
    count: {{value: {count}, source: made up, verified: false}}
    mhz: {{value: 1000, source: made up, verified: false}}
    isa: {{value: [neon], source: made up, verified: false}}
backends: [xnnpack]
"""

    def device(name: str, **facts: object) -> None:
        given = {"size": "1 GiB", "usable": "1 GiB", "count": 1, **facts}
        write(f"device/{name}.yaml", whole.format(name=name, **given))

    device("more-usable-than-there-is", usable="2 GiB")
    device("a-memory-that-everything-fits", size="99999999999999999999 GB", usable="99999999999999999999 GB")
    device("a-size-of-5000-digits", size="9" * 5000 + " GB", usable="9" * 5000 + " GB")
    device("no-number-of-cores", count=".nan")
    device("a-truth-for-a-number", count="true")
    device("a-size-without-a-unit", size="1073741824")
    device("a-negative-size", usable="-1 GiB")


def training() -> None:
    whole = """name: {name}
description: an attack
data:
  train: {train}
  valid: digits:valid
  test: digits:test
  attribution: made up
model:
  architectures: [NoiseFormerForSequenceClassification]
  num_labels: 10
  causal: false
  vocab_size: {tokens}
  n_positions: 64
  n_embd: 8
  n_layer: 1
  n_head: 1
  n_inner: 8
training:
  steps: {steps}
  batch_size: 8
  validate_every: 5
  optimizer: {{learning_rate: {rate}, weight_decay: 0.0}}
  schedule: {{warmup_steps: 0}}
"""

    def recipe(name: str, **changes: object) -> None:
        given = {"train": "digits:train", "tokens": 17, "steps": 5, "rate": 0.001, **changes}
        write(f"training/{name}.yaml", whole.format(name=name, **given))

    recipe("a-learning-rate-that-is-not-a-number", rate=".nan")
    recipe("infinite-learning-rate", rate=".inf")
    recipe("a-trillion-tokens", tokens=2**40)
    recipe("reads-a-device", train="/dev/zero")
    recipe("reads-a-file-of-the-system", train="/etc/hostname")
    recipe("nul-in-a-path", train='"a\\0.tsv"')


def tokenizers() -> None:
    plain = {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [],
        "normalizer": None,
        "pre_tokenizer": None,
        "post_processor": None,
        "decoder": None,
        "model": {"type": "BPE", "vocab": {"a": 0, "b": 1}, "merges": []},
    }

    def change(name: str, **changes: object) -> None:
        write(f"tokenizer/{name}.json", json.dumps({**plain, **changes}))

    change("an-id-of-four-billion", model={"type": "BPE", "vocab": {"a": 0, "b": 2**32 - 1}, "merges": []})
    change(
        "a-template-of-unknown-tokens",
        post_processor={
            "type": "TemplateProcessing",
            "single": [{"SpecialToken": {"id": "x", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}],
            "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 0}}],
            "special_tokens": {},
        },
    )
    change("a-table-cut-short", normalizer={"type": "Precompiled", "precompiled_charsmap": "AAAA"})
    change("pieces-of-no-length", pre_tokenizer={"type": "FixedLength", "length": 0})
    change("merges-of-unknown-tokens", model={"type": "BPE", "vocab": {"a": 0}, "merges": ["a b"]})
    change(
        "a-regex-that-backtracks",
        pre_tokenizer={
            "type": "Split",
            "pattern": {"Regex": "(a+)+$"},
            "behavior": "Isolated",
            "invert": False,
        },
    )
    double = {"type": "Replace", "pattern": {"String": "q"}, "content": "qq"}
    untyped = {"pattern": {"Regex": "[^ ]"}, "content": "yy"}
    token = dict.fromkeys(("single_word", "lstrip", "rstrip", "special"), False) | {"normalized": True}
    change("doubles-forty-times", normalizer={"type": "Sequence", "normalizers": [double] * 40})
    change("doubles-a-text-that-it-decodes", decoder={"type": "Sequence", "decoders": [double] * 40})
    change(
        "doubles-an-added-token-while-it-loads",
        normalizer={"normalizers": [untyped] * 40},
        added_tokens=[{"id": 2, "content": "c", **token}],
    )
    write("tokenizer/nests-deeply.json", '{"model":' * 500)
    write(
        "tokenizer/half-a-surrogate-pair.json",
        json.dumps({**plain, "model": {"type": "BPE", "vocab": {"\ud800": 0}, "merges": []}}),
    )


def data() -> None:
    def jsonl(name: str, line: str) -> None:
        write(f"data/{name}.jsonl", line + "\n")

    jsonl("an-id-beyond-the-vocabulary", '{"input_ids": [1, 300], "label": 0}')
    jsonl("a-negative-id", '{"input_ids": [-1], "label": 0}')
    jsonl("an-id-of-a-hundred-digits", '{"input_ids": [' + "9" * 100 + '], "label": 0}')
    jsonl("an-id-that-is-not-a-number", '{"input_ids": [NaN], "label": 0}')
    jsonl("a-truth-for-a-label", '{"input_ids": [1], "label": true}')
    jsonl("a-label-beyond-the-last", '{"input_ids": [1], "label": 2}')
    jsonl("a-key-twice", '{"input_ids": [1], "label": 0, "label": 1}')
    jsonl("nests-deeply", '{"input_ids": ' + "[" * 3_000)
    jsonl("half-a-surrogate-pair", '{"text": "\\ud800", "label": 0}')
    jsonl("a-list-of-nothing", '{"input_ids": [], "label": 0}')
    write("data/not-utf-8.tsv", b"text\tlabel\ncaf\xe9\t0\n")
    write("data/a-column-twice.tsv", "text\tlabel\tlabel\na\t0\t1\n")
    write("data/a-row-with-a-column-more.csv", "text,label\na,b,0\n")
    write("data/a-quote-that-does-not-end.csv", 'text,label\n"a,0\n')
    write("data/only-a-header.csv", "text,label\n")
    write("data/ids-of-5000-digits.tsv", "input_ids\tlabel\n" + "9" * 5000 + "\t0\n")
    write("data/digits-that-are-no-digits.tsv", "input_ids\tlabel\n²\t0\n")


def others() -> None:
    def mark(name: str, **changes: object) -> None:
        whole = {
            "schema": "nf-edge/compression/1",
            "recipe": "half",
            "prune": None,
            "recover": None,
            "original": "x",
            "original_sha256": "0",
            "report": {},
        }
        write(f"mark/{name}.json", json.dumps({**whole, **changes}))

    mark("of-a-later-version", schema="nf-edge/compression/3")
    mark("with-an-unknown-key", unknown=1)
    mark("report-nests-deeply", report=eval('{"a":' * 90 + "1" + "}" * 90))
    index = {"metadata": {}}
    write(
        "index/a-file-outside.json",
        json.dumps({**index, "weight_map": {"wte.weight": "../../../etc/passwd"}}),
    )
    write(
        "index/a-file-by-its-whole-path.json",
        json.dumps({**index, "weight_map": {"wte.weight": "/etc/passwd"}}),
    )
    write(
        "index/a-file-that-is-not-there.json",
        json.dumps({**index, "weight_map": {"wte.weight": "c.safetensors"}}),
    )
    write("index/no-map.json", json.dumps({**index, "weight_map": ["a.safetensors"]}))
    write("vectors/another-width.txt", "the 1 2\nfilm 1\n")
    write("vectors/not-a-number.txt", "the nan 1\n")
    write("vectors/beyond-float32.txt", "the 1e300 1\n")
    write("vectors/square-beyond-float32.txt", "the 1e30 1\n")
    write("vectors/zeros.txt", "the 0 0\n")
    write("vectors/not-utf-8.txt", b"caf\xe9 1 2\n")
    write("vectors/words-of-another-language.txt", "le 1 2\n")


if __name__ == "__main__":
    for make in (weights, pickles, yaml_files, json_files, devices, training, tokenizers, data, others):
        make()
