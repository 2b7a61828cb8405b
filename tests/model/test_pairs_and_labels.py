"""Both texts of a pair reach the model, and every label is the class that it means."""

import json

import pytest
from tokenizers import Tokenizer, models, pre_tokenizers, processors

from nf_edge.core.errors import BadInput
from nf_edge.model import Checkpoint, ModelConfig
from nf_edge.model.data import Row, load_rows
from nf_edge.model.data.parts import Part
from nf_edge.model.data.row_format import RowFormat
from nf_edge.model.data.rows import read_rows

WORDS = {"[SEP]": 0, **{letter: number for number, letter in enumerate("abcdefghijklmnop", start=1)}}
SEPARATED = processors.TemplateProcessing(
    single="$A [SEP]", pair="$A [SEP] $B [SEP]", special_tokens=[("[SEP]", 0)]
)
BERT = processors.BertProcessing(("[SEP]", 0), ("[SEP]", 0))
ROBERTA = processors.RobertaProcessing(("[SEP]", 0), ("[SEP]", 0))


@pytest.fixture
def checkpoint(tmp_path):
    """A checkpoint, as far as reading data needs one."""

    def make(post_processor=SEPARATED, **changes):
        words = Tokenizer(models.WordLevel(WORDS, unk_token="[SEP]"))
        words.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
        if post_processor is not None:
            words.post_processor = post_processor
        (tmp_path / "checkpoint").mkdir(exist_ok=True)
        words.save(str(tmp_path / "checkpoint/tokenizer.json"))
        shape = {"vocab_size": 20, "n_positions": 32, "n_embd": 8, "n_layer": 1, "n_head": 1}
        shape |= {"architectures": ("NoiseFormerForSequenceClassification",), "num_labels": 2}
        return Checkpoint(tmp_path / "checkpoint", ModelConfig(**shape | changes), {})

    return make


@pytest.fixture
def write(tmp_path):
    def to(*rows, name="rows.jsonl"):
        (tmp_path / name).write_text(
            "".join(json.dumps(row) + "\n" if isinstance(row, dict) else row for row in rows)
        )
        return str(tmp_path / name)

    return to


def ids(rows):
    return [row.input_ids for row in rows.rows]


def labels(rows):
    return [row.label for row in rows.rows]


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("sentence1", "sentence2"),
        ("premise", "hypothesis"),
        ("question1", "question2"),
        ("question", "sentence"),
        ("text_a", "text_b"),
        ("text", "text_pair"),
    ],
)
def test_both_texts_of_a_well_known_pair_are_read_and_the_user_is_told(first, second, checkpoint, write):
    source = write({"idx": 3, second: "c d", "label": 1, first: "a b"})
    rows = load_rows(source, checkpoint())
    assert rows.rows == (Row((1, 2, 0, 3, 4, 0), 1),)
    if first != "text":
        assert rows.warnings == [f"{source}: each row is a pair of texts: `{first}` and `{second}`"]


def test_an_empty_second_column_makes_no_pairs_but_a_missing_second_text_is_refused(checkpoint, write):
    for second in ("", None):
        source = write({"text": "a", "text_pair": second, "label": 1}, {"text": "b", "label": 0})
        assert ids(load_rows(source, checkpoint())) == [(1, 0), (2, 0)]
    source = write({"premise": "a", "hypothesis": "b", "label": 1}, {"premise": "b", "label": 0})
    with pytest.raises(BadInput, match="line 2: has no `hypothesis`, but other rows are pairs"):
        load_rows(source, checkpoint())


def test_columns_of_ones_own_are_read_by_their_names(checkpoint, write):
    source = write({"ask": "a b", "reply": "c", "why": "a b c d e", "stars": "1", "label": 7})
    read = RowFormat(text=("ask", "reply"), label="stars")
    assert load_rows(source, checkpoint(), row_format=read).rows == (Row((1, 2, 0, 3, 0), 1),)
    alone = RowFormat(text=("reply",), label="stars")
    assert load_rows(source, checkpoint(), row_format=alone).rows == (Row((3, 0), 1),)
    with pytest.raises(BadInput, match="has no column `answer`\n  the columns are: ask, reply, why"):
        load_rows(source, checkpoint(), row_format=RowFormat(text=("ask", "answer")))


def test_a_language_model_reads_no_pairs(checkpoint, write):
    model = checkpoint(architectures=("NoiseFormerForCausalLM",), num_labels=None)
    source = write({"premise": "a", "hypothesis": "b"})
    with pytest.raises(BadInput, match="a language model reads one text per row"):
        load_rows(source, model)
    assert ids(load_rows(source, model, row_format=RowFormat(text=("premise",)))) == [(1, 0)]
    with pytest.raises(BadInput, match="a language model reads only text"):
        load_rows(source, model, row_format=RowFormat(task="mnli"))


@pytest.mark.parametrize("empty", ["", " "])
@pytest.mark.parametrize("post_processor", [SEPARATED, None], ids=str)
def test_a_row_with_an_empty_text_is_refused_with_its_line(empty, post_processor, checkpoint, write):
    """Special tokens alone, or half a pair, are not what the model is asked about."""
    whole = {"question1": "a", "question2": "b", "label": 0}
    for column in ("question1", "question2"):
        with pytest.raises(BadInput, match=f"line 2: `{column}` is empty; give a text in every row"):
            load_rows(write(whole, whole | {column: empty}), checkpoint(post_processor))
    with pytest.raises(BadInput, match="line 1: `text` is empty; give a text in every row"):
        load_rows(write({"text": empty, "label": 0}), checkpoint(post_processor))
    model = checkpoint(post_processor, architectures=("NoiseFormerForCausalLM",), num_labels=None)
    if post_processor is not None:
        assert ids(load_rows(write({"text": empty}), model)) == [(0,)]


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"sentence1": None}, "`sentence1` must be text, not None"),
        ({"sentence2": 5}, "`sentence2` must be text, not 5"),
        ({"sentence1": ...}, "has no `sentence1`"),
        ({"sentence2": ...}, "has no `sentence2`, but other rows are pairs"),
    ],
    ids=str,
)
@pytest.mark.parametrize("row_format", [RowFormat(), RowFormat(text=("sentence1", "sentence2"))], ids=str)
def test_a_problem_names_the_columns_of_the_file(change, problem, row_format, checkpoint, write):
    row = {"sentence1": "a", "sentence2": "b", "label": 0}
    changed = {name: value for name, value in (row | change).items() if value is not ...}
    with pytest.raises(BadInput) as caught:
        load_rows(write(row, changed), checkpoint(), row_format=row_format)
    assert problem in str(caught.value)
    assert "text_pair" not in str(caught.value)


@pytest.mark.parametrize("second", [None, 5, ["c"]])
def test_a_second_text_that_is_not_text_is_refused(second, checkpoint, write):
    source = write(
        {"text": "a", "text_pair": "b", "label": 0}, {"text": "a", "text_pair": second, "label": 0}
    )
    with pytest.raises(BadInput, match="line 2: `text_pair` must be text, not"):
        load_rows(source, checkpoint())


@pytest.mark.parametrize("post_processor", [SEPARATED, BERT, ROBERTA, None], ids=str)
@pytest.mark.parametrize("length", range(5, 12))
def test_a_pair_that_is_too_long_loses_tokens_of_its_longer_side(post_processor, length, checkpoint, write):
    """As `tokenizers` truncates by `longest_first`."""
    model = checkpoint(post_processor)
    texts = [
        ("a b c d e f g", "h i"),
        ("h i", "a b c d e f g"),
        ("a b c d", "e f g h"),
        ("a", "b c d e f g h i"),
    ]
    source = write(*({"text": first, "text_pair": second, "label": 0} for first, second in texts))
    tokenizer = Tokenizer.from_file(str(model.tokenizer_file))
    lengths = [len(tokenizer.encode(*pair).ids) for pair in texts]
    tokenizer.enable_truncation(length, strategy="longest_first")
    rows = load_rows(source, model, length=length)
    assert [list(each) for each in ids(rows)] == [tokenizer.encode(*pair).ids for pair in texts]
    assert rows.truncated == sum(each > length for each in lengths)


def test_special_tokens_of_a_pair_need_room(checkpoint, write):
    source = write({"text": "a", "text_pair": "b", "label": 0})
    with pytest.raises(BadInput, match="adds 4 special tokens to every pair, but a text may have only 4"):
        load_rows(source, checkpoint(ROBERTA), length=4)


def test_a_tokenizer_that_separates_nothing_concatenates_and_the_user_is_told(checkpoint, write):
    rows = load_rows(write({"text": "a b", "text_pair": "c", "label": 0}), checkpoint(None))
    assert ids(rows) == [(1, 2, 3)]
    assert "their token ids are concatenated" in rows.notes[0]
    assert load_rows(write({"text": "a b", "label": 0}), checkpoint(None)).notes == ()


def test_pairs_that_share_one_text_may_be_in_different_parts(checkpoint, write):
    letters = "abcdefghijklmnop"
    source = write(*({"text": "a", "text_pair": f"{x} {y}", "label": 0} for x in letters for y in letters))
    model = checkpoint()
    parts = [
        read_rows(source, model.config, model.tokenizer_file, part=Part(*share))
        for share in ((0, 0.5), (0.5, 1))
    ]
    counts = [len(part.rows) for part in parts]
    assert sum(counts) == 256
    assert min(counts) > 80
    assert not set(ids(parts[0])) & set(ids(parts[1]))


# The order of many published models of MNLI; the task's own is entailment, neutral, contradiction.
REVERSED = {0: "CONTRADICTION", 1: "Neutral", 2: "entailment"}
ENTAILMENT = {0: "not_entailment", 1: "Entailment"}


def test_a_task_matches_its_labels_with_the_models_by_name(checkpoint, write):
    model = checkpoint(num_labels=3, id2label=REVERSED)
    rows = [
        {"premise": "a", "hypothesis": "b", "label": label}
        for label in (0, 1, 2, "entailment", "NEUTRAL", "contradiction", "2")
    ]
    read = load_rows(write(*rows), model, row_format=RowFormat(task="mnli"))
    assert labels(read) == [2, 1, 0, 2, 1, 0, 0]
    assert read.task.name == "mnli"
    assert read.task_classes == (2, 1, 0)
    assert read.notes == ()


@pytest.mark.parametrize("names", [None, {0: "LABEL_0", 1: "LABEL_1"}, {0: "0", 1: "1"}])
def test_a_model_without_names_has_the_tasks_order_and_the_user_is_told(names, checkpoint, write):
    text = "index\tsentence1\tsentence2\tlabel\n0\ta\tb\tentailment\n1\ta\tb\tnot_entailment\n"
    read = load_rows(
        write(text, name="dev.tsv"), checkpoint(id2label=names), row_format=RowFormat(task="rte")
    )
    assert labels(read) == [0, 1]
    assert read.notes == (
        "the checkpoint does not name its labels, so they have task rte's order: 0 entailment, "
        "1 not_entailment",
    )


@pytest.mark.parametrize(
    ("model", "task", "message"),
    [
        (
            {"id2label": {0: "no", 1: "yes"}},
            "rte",
            "no class is named entailment or not_entailment\n.*--labels",
        ),
        ({"id2label": {0: "no", 1: "entailment"}}, "rte", "no class is named not_entailment\n.*--labels"),
        (
            {"num_labels": 3},
            "rte",
            "task rte needs a classifier of 2 labels, but the model is a class.* of 3",
        ),
        ({}, "stsb", "task stsb needs a regression of one number, but"),
        ({"num_labels": 1}, "rte", "needs a classifier of 2 labels, but the model is a regression"),
        (
            {"problem_type": "multi_label_classification"},
            "rte",
            "needs a classifier of 2 labels, but the model is a multi-label",
        ),
    ],
)
def test_a_model_of_another_task_is_refused(model, task, message, checkpoint, write):
    source = write({"sentence1": "a", "sentence2": "b", "label": 1})
    with pytest.raises(BadInput, match=message):
        load_rows(source, checkpoint(**model), row_format=RowFormat(task=task))


def test_a_label_that_names_a_class_and_gets_another_is_told(checkpoint, write):
    model = checkpoint(id2label=ENTAILMENT)
    source = write({"text": "a", "label": "entailment"}, {"text": "b", "label": "yes"})
    read = load_rows(
        source, model, row_format=RowFormat(labels={"entailment": "not_entailment", "yes": "ENTAILMENT"})
    )
    assert labels(read) == [0, 1]
    assert read.notes == (
        "--labels gives 'entailment' the class 'not_entailment', although the model has a class 'Entailment'",
    )


@pytest.mark.parametrize(("classes", "end"), [(20, "class19"), (21, "class19, …")])
def test_a_list_of_classes_that_is_cut_says_so(classes, end, checkpoint, write):
    model = checkpoint(num_labels=classes, id2label={index: f"class{index}" for index in range(classes)})
    with pytest.raises(BadInput) as refused:
        load_rows(write({"text": "a", "label": 0}), model, row_format=RowFormat(labels={"0": "none"}))
    assert str(refused.value).endswith(f"class18, {end}")


def test_names_that_differ_are_given_by_the_user(checkpoint, write):
    model = checkpoint(id2label={0: "no", 1: "yes"})
    rows = [{"sentence1": "a", "sentence2": "b", "label": label} for label in (0, "not_entailment")]
    read = RowFormat(task="rte", labels={"entailment": "yes", "not_entailment": "NO"})
    assert labels(load_rows(write(*rows), model, row_format=read)) == [1, 0]
    own = write({"text": "a", "label": "good"}, {"text": "a", "label": 5}, {"text": "a", "label": "no"})
    assert labels(load_rows(own, model, row_format=RowFormat(labels={"Good": "yes", "5": "0"}))) == [1, 0, 0]
    with pytest.raises(BadInput, match=r"line 1: label 'good' is unknown.*--labels"):
        load_rows(own, model)
    with pytest.raises(BadInput, match=r"--labels names the class 'maybe', which the model does not have"):
        load_rows(own, model, row_format=RowFormat(labels={"good": "maybe"}))
    # An id that is not named could give two labels one class.
    with pytest.raises(BadInput, match="line 2: label 5 is unknown"):
        load_rows(own, model, row_format=RowFormat(labels={"good": "yes"}))
    both = RowFormat(task="rte", labels={"entailment": "yes", "not_entailment": "yes"})
    with pytest.raises(BadInput, match="two labels have the same class"):
        load_rows(write(*rows), model, row_format=both)


def test_names_are_matched_in_any_case_unless_two_differ_only_in_case(checkpoint, write):
    source = write({"text": "a", "label": "ENTAILMENT"}, {"text": "a", "label": " entailment "})
    assert labels(load_rows(source, checkpoint(id2label=ENTAILMENT))) == [1, 1]
    source = write({"text": "a", "label": "Yes"}, {"text": "a", "label": "yes"})
    assert labels(load_rows(source, checkpoint(id2label={0: "yes", 1: "Yes"}))) == [1, 0]
    with pytest.raises(BadInput, match="label 'YES' is unknown"):
        load_rows(write({"text": "a", "label": "YES"}), checkpoint(id2label={0: "yes", 1: "Yes"}))


def test_a_class_that_is_named_minus_one_is_a_class(checkpoint, write):
    model = checkpoint(num_labels=3, id2label={0: "-1", 1: "0", 2: "1"})
    rows = [{"text": "a", "label": label} for label in ("-1", "0", "1")]
    assert labels(load_rows(write(*rows), model)) == [0, 1, 2]
    with pytest.raises(BadInput, match="a regression has no classes"):
        load_rows(write(*rows), checkpoint(num_labels=1), row_format=RowFormat(labels={"0": "0"}))
    with pytest.raises(BadInput, match="label -1 is out of range"):
        load_rows(write({"text": "a", "label": -1}), model)


def test_scores_of_stsb_are_numbers(checkpoint, write):
    text = "index\tsentence1\tsentence2\tscore\n0\ta\tb\t3.800\n1\ta\tb\t0\n"
    read = load_rows(write(text, name="dev.tsv"), checkpoint(num_labels=1), row_format=RowFormat(task="stsb"))
    assert labels(read) == [3.8, 0.0]
    test = write({"sentence1": "a", "sentence2": "b", "label": -1.0})
    assert not load_rows(test, checkpoint(num_labels=1), row_format=RowFormat(task="stsb")).labelled


@pytest.mark.parametrize("nothing", [{}, {"label": None}, {"label": -1}, {"label": ""}], ids=str)
def test_rows_without_labels_are_read_and_the_user_is_told(nothing, checkpoint, write):
    rows = load_rows(write({"text": "a", "score": 1} | nothing), checkpoint())
    assert labels(rows) == [None]
    assert not rows.labelled
    assert "the rows have no labels; the columns are: text, score" in rows.warnings[0]
    with pytest.raises(BadInput, match=r"has no labels, but every row needs one\n.*--label"):
        rows.require_labels(checkpoint().config)


def test_a_file_with_labels_in_some_rows_only_is_refused(checkpoint, write):
    source = write({"text": "a", "label": 1}, {"text": "b", "label": -1}, {"text": "c"})
    with pytest.raises(BadInput) as caught:
        load_rows(source, checkpoint())
    assert "line 2: has no label, but other rows have one" in str(caught.value)
    assert "line 3: has no label, but other rows have one" in str(caught.value)


TOXIC = {"num_labels": 3, "id2label": {0: "rude", 1: "threat", 2: "spam"}}
MULTI_LABEL = {"problem_type": "multi_label_classification"}


@pytest.mark.parametrize(
    ("value", "label"),
    [
        (["rude", "SPAM"], (1, 0, 1)),
        ([2], (0, 0, 1)),
        ([1, "rude"], (1, 1, 0)),
        ([], (0, 0, 0)),
        ([0, 1, 1], (0, 1, 1)),
        ([0.0, 1.0, 0.0], (0, 1, 0)),
        ("rude,threat", (1, 1, 0)),
        ("[]", (0, 0, 0)),
        ("1,0,1", (1, 0, 1)),
        ("2", (0, 0, 1)),
        ("spam", (0, 0, 1)),
        (1, (0, 1, 0)),
    ],
)
def test_several_labels_of_a_row_are_zeros_and_ones(value, label, checkpoint, write):
    model = checkpoint(**TOXIC, **MULTI_LABEL)
    rows = load_rows(write({"text": "a", "label": value}), model)
    assert labels(rows) == [label]
    assert rows.labelled
    if isinstance(value, str):
        assert labels(load_rows(write(f"text\tlabel\na\t{value}\n", name="a.tsv"), model)) == [label]


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (["rude", "kind"], "label 'kind' is unknown"),
        ([3], "label 3 is out of range"),
        ([0.5, 0.0, 1.0], "must be 3 zeros and ones"),
        ([0.0, 1.0], "must be 3 zeros and ones"),
        ([True, False, True], "must be a list of names, ids, or zeros and ones"),
        ({"rude": 1}, "must be a list of names, ids, or zeros and ones"),
    ],
)
def test_several_labels_that_mean_nothing_are_refused(value, message, checkpoint, write):
    with pytest.raises(BadInput, match=message):
        load_rows(write({"text": "a", "label": value}), checkpoint(**TOXIC, **MULTI_LABEL))


def test_two_labels_that_can_be_ids_or_zeros_and_ones_are_refused(checkpoint, write):
    model = checkpoint(num_labels=2, **MULTI_LABEL)
    with pytest.raises(BadInput, match="can mean classes, or zeros and ones"):
        load_rows(write({"text": "a", "label": [0, 1]}), model)
    assert labels(load_rows(write({"text": "a", "label": [0.0, 1.0]}), model)) == [(0, 1)]
    assert labels(load_rows(write({"text": "a", "label": [1, 1]}), model)) == [(1, 1)]


@pytest.mark.parametrize(
    "values",
    [
        {"task": "glue"}, {"text": "review"}, {"text": ("a", "b", "c")}, {"text": ("a", "a")},
        {"text": ("",)}, {"text": ("input_ids",)}, {"label": ""}, {"text": ("a",), "label": "a"},
        {"labels": ["a"]}, {"labels": {"0": 1}},
    ],
    ids=str,
)  # fmt: skip
def test_a_row_format_that_means_nothing_is_refused(values):
    with pytest.raises(BadInput):
        RowFormat(**values)
