"""The files of GLUE's tasks, as their authors and `datasets` publish them, are read to the cell."""

import csv
import io
import json
import sys

import pytest
from conftest import SHARED
from hypothesis import given
from hypothesis import strategies as st

from nf_edge.core.errors import BadInput, MissingTool
from nf_edge.model.data.glue import TASKS
from nf_edge.model.data.row_format import RowFormat
from nf_edge.model.data.sources import read_table

GLUE = SHARED / "data/glue"
# fmt: off
MNLI_TRAIN = [
    "index", "promptID", "pairID", "genre", "sentence1_binary_parse", "sentence2_binary_parse",
    "sentence1_parse", "sentence2_parse", "sentence1", "sentence2", "label1", "gold_label",
]
MNLI_DEV = [*MNLI_TRAIN[:-1], "label2", "label3", "label4", "label5", "gold_label"]
STSB = [
    "index", "genre", "filename", "year", "old_index", "source1", "source2", "sentence1", "sentence2",
    "score",
]
# fmt: on
# Task, file → header, and a row with {first}, {second} and {label} where they belong; CoLA has no header.
OFFICIAL = {
    ("cola", "train.tsv"): (None, "gj04 {label} * {first}"),
    ("cola", "test.tsv"): ("index sentence", "0 {first}"),
    ("sst2", "dev.tsv"): ("sentence label", "{first} {label}"),
    ("sst2", "test.tsv"): ("index sentence", "0 {first}"),
    ("mrpc", "train.tsv"): (
        ["\ufeffQuality", "#1 ID", "#2 ID", "#1 String", "#2 String"],
        "{label} 7 8 {first} {second}",
    ),
    ("mrpc", "msr_paraphrase_test.txt"): (
        ["\ufeffQuality", "#1 ID", "#2 ID", "#1 String", "#2 String"],
        "{label} 7 8 {first} {second}",
    ),
    ("mrpc", "test.tsv"): (
        ["\ufeffindex", "#1 ID", "#2 ID", "#1 String", "#2 String"],
        "0 7 8 {first} {second}",
    ),
    ("stsb", "dev.tsv"): (STSB, "0 news MSR 2012 4 none none {first} {second} {label}"),
    ("stsb", "test.tsv"): (STSB[:-1], "0 news MSR 2012 4 none none {first} {second}"),
    ("qqp", "train.tsv"): ("id qid1 qid2 question1 question2 is_duplicate", "1 2 3 {first} {second} {label}"),
    ("qqp", "test.tsv"): ("id question1 question2", "1 {first} {second}"),
    ("mnli", "train.tsv"): (MNLI_TRAIN, "0 1n 1n fiction (a) (b) (A) (B) {first} {second} neutral {label}"),
    ("mnli-mm", "dev_mismatched.tsv"): (
        MNLI_DEV,
        "0 1n 1n fiction (a) (b) (A) (B) {first} {second} neutral neutral neutral neutral neutral {label}",
    ),
    ("mnli", "test_matched.tsv"): (MNLI_TRAIN[:-2], "0 1n 1n fiction (a) (b) (A) (B) {first} {second}"),
    ("qnli", "dev.tsv"): ("index question sentence label", "0 {first} {second} {label}"),
    ("qnli", "test.tsv"): ("index question sentence", "0 {first} {second}"),
    ("rte", "train.tsv"): ("index sentence1 sentence2 label", "0 {first} {second} {label}"),
    ("wnli", "dev.tsv"): ("index sentence1 sentence2 label", "0 {first} {second} {label}"),
}
# Characters that end no line and no cell.
CELL = st.text(st.characters(blacklist_categories=("Cs",), blacklist_characters="\0\t\n\r"))
ROWS = st.lists(st.tuples(CELL, CELL), min_size=1, max_size=4)


def fields_of(path, task):
    return [record.fields for record in read_table(str(path), RowFormat(task=task)).table.records]


def cells(words):
    return words.split(" ") if isinstance(words, str) else words


def expected(first, second, template, label, single="text"):
    fields = {single: first}
    fields |= {"text_pair": second} if "{second}" in template else {}
    return fields | ({"label": label} if "{label}" in template else {})


@pytest.mark.parametrize(("task", "name"), OFFICIAL, ids=lambda value: value)
@given(rows=ROWS, crlf=st.booleans(), last=st.booleans())
def test_an_official_file_is_read_to_the_cell(task, name, rows, crlf, last, tmp_path_factory):
    header, template = OFFICIAL[task, name]
    label = "4.250" if task == "stsb" else "1"
    values = [{"first": first, "second": second, "label": label} for first, second in rows]
    lines = [
        [word.format(**each) if "{" in word else word for word in template.split(" ")] for each in values
    ]
    if header is not None:
        lines.insert(0, cells(header))
    end = "\r\n" if crlf else "\n"
    text = end.join("\t".join(line) for line in lines) + (end if last else "")
    path = tmp_path_factory.mktemp("glue") / name
    path.write_bytes(text.encode())
    single = "sentence" if "{second}" not in template else "text"
    assert fields_of(path, task) == [
        expected(first, second, template, label, single) for first, second in rows
    ]


HUB = {
    "sst2": ("sentence",),
    "mrpc": ("sentence1", "sentence2"),
    "qqp": ("question1", "question2"),
    "mnli": ("premise", "hypothesis"),
    "qnli": ("question", "sentence"),
    "stsb": ("sentence1", "sentence2"),
}


@pytest.mark.parametrize("task", HUB)
@given(rows=ROWS)
def test_a_file_that_datasets_writes_is_read_to_the_cell(task, rows, tmp_path_factory):
    columns, folder = HUB[task], tmp_path_factory.mktemp("hub")
    documents = [
        dict(zip(columns, texts, strict=False)) | {"label": 1, "idx": i} for i, texts in enumerate(rows)
    ]
    (folder / "a.jsonl").write_text("".join(json.dumps(each) + "\n" for each in documents), "utf-8")
    file = io.StringIO(newline="")
    writer = csv.DictWriter(file, documents[0].keys())
    writer.writeheader()
    writer.writerows(documents)
    (folder / "a.csv").write_text(file.getvalue(), "utf-8", newline="")
    names = ("text", "text_pair") if len(columns) == 2 else ("sentence",)
    texts = [dict(zip(names, each, strict=False)) for each in rows]
    assert fields_of(folder / "a.jsonl", task) == [each | {"label": 1} for each in texts]
    assert fields_of(folder / "a.csv", task) == [each | {"label": "1"} for each in texts]


@pytest.mark.parametrize("split", ["train", "dev"])
@pytest.mark.parametrize("task", ["sst2", "rte", "wnli"])
@pytest.mark.skipif(not GLUE.is_dir(), reason="needs the files of GLUE in ../shared/data/glue")
def test_the_files_of_glue_are_read_as_a_reader_without_quotes_reads_them(task, split):
    path = GLUE / TASKS[task].folder / f"{split}.tsv"
    with path.open(encoding="utf-8", newline="") as file:
        theirs = list(csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE))
    names = {"sentence": "sentence", "sentence1": "text", "sentence2": "text_pair", "label": "label"}
    read = read_table(str(GLUE), RowFormat(task=task), split)
    assert read.source == str(path)
    assert [record.fields for record in read.table.records] == [
        {names[column]: value for column, value in row.items() if column in names} for row in theirs
    ]


def test_a_folder_has_a_file_for_each_task_and_split(tmp_path):
    pair = "sentence1\tsentence2\tgold_label\na {0}\tb\tneutral\n"
    for name in ("MNLI/train", "MNLI/dev_matched", "MNLI/dev_mismatched"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).with_suffix(".tsv").write_text(pair.format(name))
    (tmp_path / "qqp").mkdir()
    (tmp_path / "qqp/validation.jsonl").write_text('{"question1": "a", "question2": "b", "label": 0}\n')
    (tmp_path / "MRPC").mkdir()
    (tmp_path / "MRPC/msr_paraphrase_train.txt").write_text("Quality\t#1 String\t#2 String\n1\ta\tb\n")

    def first(task, split, folder=tmp_path):
        return read_table(str(folder), RowFormat(task=task), split).table.records[0].fields["text"]

    assert first("mnli", "dev") == first("mnli", "dev", tmp_path / "MNLI") == "a MNLI/dev_matched"
    assert first("mnli-mm", "dev") == "a MNLI/dev_mismatched"
    assert first("mnli", "train") == first("mnli-mm", "train") == "a MNLI/train"
    assert first("qqp", "dev", tmp_path / "qqp") == first("mrpc", "train") == "a"
    with pytest.raises(BadInput, match=r"has no dev\.tsv of task mrpc"):
        first("mrpc", "dev")
    with pytest.raises(BadInput, match=r"is a folder, not a regular file\n.*--task"):
        read_table(str(tmp_path))


def test_broken_rows_of_qqp_are_left_out_and_counted(tmp_path):
    path = tmp_path / "train.tsv"
    header, row = "question1\tquestion2\tis_duplicate\n", "a\tb\t1\n"

    def read(*broken):
        path.write_text(header + row * (200 - len(broken)) + "".join(broken))
        table = read_table(str(path), RowFormat(task="qqp")).table
        return len(table.records), table.notes

    note = "rows left out, because a column or a question is missing: {} of 200"
    assert read("broken\n") == (199, (note.format(1),))
    assert read("broken\n", "a\t \t1\n") == (198, (note.format(2),))
    # More broken rows mean a damaged file, so none is left out.
    assert read("broken\n", "a\tb\n", "\tb\t0\n") == (200, ())
    assert read() == (200, ())


@pytest.mark.parametrize("name", ["WNLI", "wnli"])
def test_a_task_is_not_read_from_the_folder_of_another_task(name, tmp_path, monkeypatch):
    """RTE and WNLI have the same columns, so only the folder tells them apart."""
    (tmp_path / name).mkdir()
    path = tmp_path / name / "dev.tsv"
    path.write_text("index\tsentence1\tsentence2\tlabel\n0\ta\tb\t1\n")
    for source in (path, path.parent):
        assert len(read_table(str(source), RowFormat(task="wnli")).table.records) == 1
        with pytest.raises(BadInput, match=f"is in the folder {name}, so it is not a file of task rte"):
            read_table(str(source), RowFormat(task="rte"))
    monkeypatch.chdir(path.parent)
    with pytest.raises(BadInput, match="not a file of task rte"):
        read_table("dev.tsv", RowFormat(task="rte"))
    assert read_table("dev.tsv", RowFormat(text=("sentence1", "sentence2"))).table.records


def test_a_file_of_cola_without_labels_has_no_header_either(tmp_path):
    path = tmp_path / "test.tsv"
    path.write_text("gj04\t\t\tIt rains .\ngj04\t\t*\tIt rain .\n")
    assert fields_of(path, "cola") == [
        {"sentence": "It rains .", "label": ""},
        {"sentence": "It rain .", "label": ""},
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("gj04\t1\tIt rains .\n", "no header: line 1 has 3 columns"),
        ("index\tsentence1\tsentence2\tlabel\n0\ta\tb\t1\n", "it has the columns index, sentence1"),
    ],
)
def test_a_file_that_is_not_colas_is_refused_for_what_it_has(text, message, tmp_path):
    path = tmp_path / "train.tsv"
    path.write_text(text)
    with pytest.raises(BadInput, match=message):
        read_table(str(path), RowFormat(task="cola"))


def test_a_file_of_another_task_is_refused_with_the_columns_that_it_should_have(tmp_path):
    path = tmp_path / "dev.tsv"
    path.write_text("index\tsentence1\tsentence2\tlabel\n0\ta\tb\t1\n")
    with pytest.raises(
        BadInput, match=r"is not a file of task qnli: it has the columns .* text is in `question` with `sent"
    ):
        read_table(str(path), RowFormat(task="qnli"))


@pytest.fixture
def dataset_folder(tmp_path):
    """A folder of two splits that the package wrote; it has pairs with a class, and without one."""
    datasets = pytest.importorskip("datasets", reason="pip install 'nf-edge[datasets]'")
    kinds = {
        "sentence1": datasets.Value("string"),
        "sentence2": datasets.Value("string"),
        "label": datasets.ClassLabel(names=["entailment", "not_entailment"]),
        "idx": datasets.Value("int32"),
    }
    columns = {"sentence1": ["a", "d"], "sentence2": ['b "c"', "e"], "label": [1, -1], "idx": [0, 1]}
    split = datasets.Dataset.from_dict(columns, features=datasets.Features(kinds))
    datasets.DatasetDict(validation=split, test=split.select([1])).save_to_disk(str(tmp_path / "rte"))
    return tmp_path / "rte"


def test_a_folder_of_datasets_gives_names_of_classes(dataset_folder):
    records = read_table(str(dataset_folder), RowFormat(task="rte")).table.records
    assert [record.fields for record in records] == [
        {"text": "a", "text_pair": 'b "c"', "label": "not_entailment"},
        {"text": "d", "text_pair": "e", "label": None},
    ]
    (record,) = read_table(str(dataset_folder / "test"), RowFormat(task="rte")).table.records
    assert record.fields["text"] == "d"
    with pytest.raises(BadInput, match="has no split train"):
        read_table(str(dataset_folder), RowFormat(task="rte"), "train")


def test_a_folder_of_datasets_without_the_package_names_the_extra(tmp_path, monkeypatch):
    (tmp_path / "state.json").write_text("{}")
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(MissingTool, match=r"pip install 'nf-edge\[datasets\]'"):
        read_table(str(tmp_path), RowFormat(task="rte"))


def test_a_file_with_a_text_that_the_task_does_not_have_is_refused(tmp_path):
    """QNLI's answers without its questions."""
    path = tmp_path / "dev.tsv"
    path.write_text("index\tquestion\tsentence\tlabel\n0\tis it so ?\tit is so .\t1\n")
    with pytest.raises(BadInput, match="is not a file of task sst2: it also has text in `question`"):
        read_table(str(path), RowFormat(task="sst2"))
