"""Commands read the rows of tasks and text pairs in one way, and refuse what they cannot score."""

import json
import shutil

import pytest
import yaml
from conftest import CLASSIFIER, save_text_model
from tokenizers import Tokenizer

import nf_edge
from nf_edge.core.errors import BadInput
from nf_edge.model import load_checkpoint
from nf_edge.model.data import load_rows
from nf_edge.model.data.numbers import numbers

TEXTS = [("The cat sat.", "A cat sat."), ('He said "no".', "He agreed."), ("It rains.", "It is\u00a0wet.")]
LABELS = ("entailment", "not_entailment")
RECIPE = "onnx-fp32"
FORMAT = nf_edge.RowFormat(task="rte")


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """The folder of a classifier of text pairs whose classes are in another order than RTE's."""
    shape = {"architectures": CLASSIFIER, "num_labels": 2, "n_positions": 64, "n_head": 2}
    names = {0: "Not_Entailment", 1: "Entailment"}
    texts = [text for pair in TEXTS for text in pair]
    return save_text_model(tmp_path_factory.mktemp("pairs"), texts, 260, id2label=names, **shape).path


@pytest.fixture(scope="module")
def glue(tmp_path_factory):
    """The GLUE folder, with RTE only."""
    folder = tmp_path_factory.mktemp("glue")
    (folder / "RTE").mkdir()
    for name, count in (("train", 60), ("dev", 12)):
        rows = ["\t".join([str(i), *TEXTS[i % 3], LABELS[i % 2]]) + "\n" for i in range(count)]
        (folder / f"RTE/{name}.tsv").write_text("index\tsentence1\tsentence2\tlabel\n" + "".join(rows))
    rows = ["\t".join([str(i), *TEXTS[i % 3]]) + "\n" for i in range(12)]
    (folder / "RTE/test.tsv").write_text("index\tsentence1\tsentence2\n" + "".join(rows))
    return folder


@pytest.fixture(scope="module")
def artifact(model, glue, tmp_path_factory):
    out = tmp_path_factory.mktemp("artifact") / "artifact"
    result = nf_edge.export(model, RECIPE, out, data=glue, row_format=FORMAT, notify=print)
    assert result.passed
    return out


def test_a_task_is_checked_by_its_name_from_the_folder_and_from_the_file(run, artifact, model, glue):
    reports = []
    for source in (glue, glue / "RTE", glue / "RTE/dev.tsv"):
        done = run("check", artifact, "--task", "rte", "--data", source, "--reference", model, "--json")
        assert done.code == 0, done.err
        reports.append(json.loads(done.out)["result"])
        assert "their token ids are concatenated" in done.err
    assert reports[0] == reports[1] == reports[2]
    api = nf_edge.check(artifact, glue, reference=model, row_format=FORMAT, notify=print)
    assert json.loads(json.dumps(api.to_json())) == reports[0]
    assert reports[0]["data"] == "dev.tsv"
    assert reports[0]["reference"]["total"] == 12


def test_a_report_says_how_its_rows_were_read(run, artifact, model, glue, tmp_path, monkeypatch):
    """A table of figures outlives the warnings that were printed with it."""
    summary = tmp_path / "summary.md"
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(summary))
    options = ["check", artifact, "--task", "rte", "--data", glue, "--reference", model]
    note = "the tokenizer does not separate the texts of a pair, so their token ids are concatenated"
    assert json.loads(run(*options, "--json").out)["result"]["notes"] == [note]
    text = " ".join(run(*options).out.split())
    assert f"note on the data: {note}" in text
    assert f"- note on the data: {note}" in summary.read_text()


def test_rows_that_were_loaded_for_another_checkpoint_are_refused(artifact, model, glue, tmp_path):
    relabelled = tmp_path / "relabelled"
    shutil.copytree(model, relabelled)
    config = json.loads((relabelled / "config.json").read_text())
    config["id2label"] = {"0": "entailment", "1": "not_entailment"}
    config.pop("label2id", None)
    (relabelled / "config.json").write_text(json.dumps(config))
    retokenized = tmp_path / "retokenized"
    shutil.copytree(model, retokenized)
    tokenizer = json.loads((retokenized / "tokenizer.json").read_text())
    vocabulary = tokenizer["model"]["vocab"]
    vocabulary["a"], vocabulary["b"] = vocabulary["b"], vocabulary["a"]
    (retokenized / "tokenizer.json").write_text(json.dumps(tokenizer))
    for other, difference in ((relabelled, "its labels are entailment"), (retokenized, "its tokenizer")):
        rows = nf_edge.load_rows(glue, other, row_format=FORMAT)
        with pytest.raises(BadInput, match=f"was loaded for another checkpoint: {difference}"):
            nf_edge.check(artifact, rows, reference=model)
    rows = nf_edge.load_rows(glue, model, row_format=FORMAT)
    loaded = nf_edge.check(artifact, rows, reference=model, notify=print)
    assert loaded == nf_edge.check(artifact, glue, reference=model, row_format=FORMAT, notify=print)
    # Rows without labels do not depend on the labels' order.
    rows = nf_edge.load_rows(glue / "RTE/test.tsv", relabelled, row_format=FORMAT)
    assert nf_edge.check(artifact, rows, reference=model, notify=print).passed


def test_run_md_says_how_an_application_encodes_a_pair(artifact, model, glue):
    text = (artifact / "RUN.md").read_text(encoding="utf-8")
    words = "`tokenizer.encode(first, second)` gives the ids; if there are more than 64, `enable_truncation`"
    assert words in text
    tokenizer = Tokenizer.from_file(str(artifact / "tokenizer.json"))
    tokenizer.enable_truncation(12, strategy="longest_first")
    rows = load_rows(str(glue), load_checkpoint(model), length=12, row_format=FORMAT).rows
    assert [tokenizer.encode(*TEXTS[i]).ids for i in range(3)] == [list(row.input_ids) for row in rows[:3]]


def test_pairs_by_columns_give_the_same_figures_as_the_task(run, artifact, model, glue):
    words = ["--text", "sentence1,sentence2", "--label", "label"]
    data = glue / "RTE/dev.tsv"
    figures = []
    for options in (["--task", "rte"], words):
        done = run("check", artifact, *options, "--data", data, "--reference", model, "--json")
        figures.append(json.loads(done.out)["result"])
    assert figures[0] == figures[1]


def test_labels_of_a_file_are_named_by_the_user(run, artifact, model, tmp_path):
    rows = [{"ask": "a", "reply": "b", "ok": i % 2} for i in range(8)]
    (tmp_path / "a.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    options = ["--data", tmp_path / "a.jsonl", "--reference", model, "--text", "ask,reply", "--label", "ok"]
    figures = []
    for labels in ("0=entailment,1=not_entailment", "0=not_entailment,1=entailment"):
        done = run("check", artifact, *options, "--labels", labels, "--json")
        assert done.code == 0, done.err
        figures.append(json.loads(done.out)["result"]["reference"]["right"])
    assert sum(figures) == 8
    refused = run("check", artifact, *options[:-2], "--label", "fine")
    assert refused.code == 3
    assert "has no column `fine`" in refused.err


@pytest.mark.parametrize(
    ("option", "message"),
    [
        (["--task", "glue"], "'glue' is not one of cola, sst2"),
        (["--text", "a,b,c"], "must be one column, or two different columns"),
        (["--text", "a,a"], "must be one column, or two different columns"),
        (["--labels", "0"], "is not a list of LABEL=CLASS"),
        (["--labels", "0=a,0=b"], "has a label twice"),
    ],
)
def test_a_wrong_option_is_wrong_usage(option, message, run):
    done = run("check", "artifact", "--data", "rows.tsv", *option)
    assert done.code == 2
    assert message in done.err


def test_options_of_rows_without_a_file_are_refused(model, artifact):
    with pytest.raises(BadInput, match="cannot be used without a file to read"):
        nf_edge.dry_run(model, RECIPE, row_format=FORMAT)
    with pytest.raises(BadInput, match="row_format must be a RowFormat"):
        nf_edge.check(artifact, "rows.tsv", reference=model, row_format="rte")


def test_rows_without_labels_never_keep_a_limit_on_accuracy(run, artifact, model, glue):
    data = glue / "RTE/test.tsv"
    options = ["--task", "rte", "--data", data, "--reference", model, "--max-drop", 50]
    done = run("check", artifact, *options)
    assert done.code != 0
    assert "PASSES" not in done.out
    assert "label" in done.err


def test_rows_without_labels_do_not_train_and_do_not_search(model, glue, tmp_path):
    unlabelled = glue / "RTE/test.tsv"
    recipe = tmp_path / "small.yaml"
    document = {"name": "small", "description": "", "runtime": "onnxruntime", "backend": "onnx_cpu"}
    recipe.write_text(yaml.safe_dump(document | {"prune": {"heads": 0.5}}))
    with pytest.raises(BadInput, match="has no labels"):
        nf_edge.compress(model, recipe, tmp_path / "out", train=glue, valid=unlabelled, row_format=FORMAT)
    target = {"max_drop": 1.0, "out": tmp_path / "mine.yaml", "notify": print}
    with pytest.raises(BadInput, match="has no labels"):
        nf_edge.sensitivity(model, "onnx-int8-dynamic", data=unlabelled, row_format=FORMAT, **target)
    assert not nf_edge.load_rows(unlabelled, model, row_format=FORMAT).labelled


def test_a_checkpoint_is_compressed_on_the_files_of_a_task(model, glue, tmp_path):
    recipe = tmp_path / "small.yaml"
    document = {"name": "small", "description": "", "runtime": "onnxruntime", "backend": "onnx_cpu"}
    recipe.write_text(yaml.safe_dump(document | {"prune": {"heads": 0.5}}))
    report = nf_edge.compress(
        model, recipe, tmp_path / "out", train=glue, valid=glue, row_format=FORMAT, notify=print
    )
    assert report.tested_on == str(glue / "RTE/dev.tsv")
    assert report.result.count == 12
    assert [note.partition(": ")[2] for note in report.notes] == [
        "the tokenizer does not separate the texts of a pair, so their token ids are concatenated"
    ] * 2  # of the rows for training and of those for validation


def test_numbers_compare_as_their_labels_say_and_splits_share_no_first_number(model):
    words = {}
    splits = {split: numbers(split) for split in ("train", "valid", "test")}
    for rows in splits.values():
        for row in rows:
            if row["label"] == "equal":
                words[row["text_pair"]] = int(row["text"])
    for rows in splits.values():
        for row in rows:
            if row["text_pair"] in words:
                first, second = int(row["text"]), words[row["text_pair"]]
                assert row["label"] == ("less", "equal", "greater")[(first > second) - (first < second) + 1]
        assert [row["label"] for row in rows[:3]] == ["less", "equal", "greater"]
    firsts = [{row["text"] for row in rows} for rows in splits.values()]
    assert [len(each) for each in firsts] == [3000, 500, 1000]
    assert len(set.union(*firsts)) == 4500


NUMBERS = {
    "name": "tiny-numbers",
    "description": "Compare numbers.",
    "data": {
        "train": {
            "file": "pairs.jsonl",
            "text": ["digits", "words"],
            "label": "order",
            "labels": {"<": "less"},
        },
        "valid": "numbers:valid",
        "test": "numbers:valid",
        "examples": "examples.jsonl",
        "tokenizer": {},
        "attribution": "Ours.",
    },
    "model": {
        "architectures": ["NoiseFormerForSequenceClassification"],
        "vocab_size": 300,
        "n_positions": 64,
        "n_embd": 8,
        "n_layer": 1,
        "n_head": 1,
        "num_labels": 3,
        "id2label": {0: "less", 1: "equal", 2: "greater"},
        "pad_token_id": 0,
        "eos_token_id": 0,
    },
    "training": {
        "steps": 2,
        "batch_size": 8,
        "validate_every": 2,
        "optimizer": {"learning_rate": 0.01, "weight_decay": 0.1},
        "schedule": {"warmup_steps": 1},
    },
}


def test_a_model_of_pairs_is_trained_with_a_separator_and_its_examples_are_pairs(run, tmp_path):
    names = {"less": "<"}
    rows = [
        {"digits": row["text"], "words": row["text_pair"], "order": names.get(row["label"], row["label"])}
        for row in numbers("train")[:90]
    ]
    (tmp_path / "pairs.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    example = {"premise": "12", "hypothesis": "twelve", "label": "equal"}
    (tmp_path / "examples.jsonl").write_text(json.dumps(example) + "\n")
    (tmp_path / "tiny.yaml").write_text(yaml.safe_dump(NUMBERS))
    done = run("train", tmp_path / "tiny.yaml", "--data-root", tmp_path, "-o", tmp_path / "out")
    assert done.code == 0, done.err
    checkpoint = load_checkpoint(tmp_path / "out")
    (row,) = load_rows(str(checkpoint.examples_file), checkpoint).rows
    assert row.label == 1
    assert row.input_ids.count(0) == 1  # <|endoftext|> between the texts
    assert 0 not in (row.input_ids[0], row.input_ids[-1])
    assert json.loads(checkpoint.examples_file.read_text()) == {
        "text": "12",
        "text_pair": "twelve",
        "label": "equal",
    }


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"task": "glue"}, "there is no task 'glue'"),
        ({"text": ["a", "b", "c"]}, "`text` must be a tuple of one or two columns"),
        ({"text": "a", "label": "a"}, "`a` cannot be both the text and the label"),
    ],
)
def test_a_wrong_key_of_a_source_is_refused_with_its_line(keys, message, run, tmp_path):
    train = NUMBERS["data"]["train"] | {"label": None, "labels": {}} | keys
    document = NUMBERS | {"data": NUMBERS["data"] | {"train": train}}
    (tmp_path / "tiny.yaml").write_text(yaml.safe_dump(document))
    done = run("train", tmp_path / "tiny.yaml", "-o", tmp_path / "out")
    assert done.code == 3
    assert message in done.err
