"""Rows: read from the files that people have, and everything wrong with them said at once, by line."""

import contextlib
import csv
import hashlib
import io
import json

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, models, pre_tokenizers, processors

from nf_edge.core.errors import BadInput
from nf_edge.model import Checkpoint, ModelConfig
from nf_edge.model.data import Row, batches, collate, load_rows
from nf_edge.model.data.blocks import read_blocks
from nf_edge.model.data.digits import digits
from nf_edge.model.data.drawings import drawings
from nf_edge.model.data.parts import Part
from nf_edge.model.data.rows import read_rows
from nf_edge.model.data.tables import parse_table

WORDS = {"[UNK]": 0, "a": 1, "bad": 2, "good": 3, "film": 4, "it's": 5, '"': 6}


def config(**changes):
    shape = {"vocab_size": 20, "n_positions": 4, "n_embd": 8, "n_layer": 1, "n_head": 1}
    if "num_labels" not in changes and "architectures" not in changes:
        changes |= {"num_labels": 2, "id2label": {0: "negative", 1: "positive"}}
    changes.setdefault("architectures", ("NoiseFormerForSequenceClassification",))
    return ModelConfig(**shape | changes)


LANGUAGE_MODEL = {"architectures": ("NoiseFormerForCausalLM",)}


@pytest.fixture
def checkpoint(tmp_path):
    """A checkpoint, as far as reading data needs one: a folder with a tokenizer, and a config."""

    def make(tokenizer=True, **changes):
        folder = tmp_path / "checkpoint"
        folder.mkdir(exist_ok=True)
        if tokenizer:
            words = Tokenizer(models.WordLevel(WORDS, unk_token="[UNK]"))
            words.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
            # What a tokenizer was trained with must not reach the rows.
            words.enable_padding(length=9)
            words.enable_truncation(2)
            words.save(str(folder / "tokenizer.json"))
        return Checkpoint(folder, config(**changes), {})

    return make


@pytest.fixture
def write(tmp_path):
    def to(name, text):
        path = tmp_path / name
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return str(path)

    return to


GOOD_FILM, BAD = Row((1, 3, 4), 1), Row((2,), 0)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("tab.tsv", "sentence\tlabel\na good film\t1\nbad\t0\n"),
        ("names.tsv", "text\tlabel\na good film\tpositive\nbad\tnegative\n"),
        ("windows.tsv", "\ufeffsentence\tlabel\r\na good film\t1\r\nbad\t0\r\n"),
        ("more.tsv", "index\tlabel\tsentence\n0\t1\ta good film\n\n1\t0\tbad\n\n"),
        ("comma.csv", 'label,text\n1,"a good\nfilm"\n0,bad\n'),
        ("UPPER.CSV", "text,label\na good film,1\nbad,0"),
        ("json.jsonl", '{"text": "a good film", "label": 1}\n\n{"text": "bad", "label": "negative"}\n'),
        ("ids.jsonl", '{"input_ids": [1, 3, 4], "label": "1"}\n{"input_ids": [2], "label": 0}\n'),
        ("ids.tsv", "input_ids\tlabel\n1 3 4\t1\n2\t0\n"),
        ("ids.csv", 'input_ids,label\n"[1, 3, 4]",1\n[2],0\n'),
    ],
)
def test_the_same_rows_come_from_every_kind_of_file(checkpoint, write, name, text):
    rows = load_rows(write(name, text), checkpoint())
    assert rows.rows == (GOOD_FILM, BAD)
    assert rows.truncated == 0


def test_quotes_in_a_tsv_are_plain_characters_as_in_glue(checkpoint, write):
    rows = load_rows(write("glue.tsv", "sentence\tlabel\n\" it's good\t1\nbad\t0\n"), checkpoint())
    assert rows.rows == (Row((6, 5, 3), 1), BAD)
    assert "quotes are read as part of the cells' text" in rows.warnings[0]


def texts_of(content):
    table = parse_table(content.encode(), ".tsv", "a.tsv")
    return [record.fields["text"] for record in table.records], table.notes


@pytest.mark.parametrize(
    ("cells", "texts"),
    [
        # As pandas and Python write them: quoted where they have quotes, tabs or line breaks.
        (['"he said ""good"" twice"', "bad"], ['he said "good" twice', "bad"]),
        (['"a\tgood film"', "bad"], ["a\tgood film", "bad"]),
        (['"a ""good""\r\nfilm"', "bad"], ['a "good"\r\nfilm', "bad"]),
        (['"""good"""', "bad"], ['"good"', "bad"]),
        # As spreadsheets do: with commas too.
        (['"good, and bad"', "bad"], ["good, and bad", "bad"]),
        # As programs do that quote all text.
        (['"good"', '"bad"'], ["good", "bad"]),
    ],
)
def test_cells_of_a_tsv_that_were_quoted_as_in_csv_are_read_without_quotes(cells, texts):
    rows = "".join(f"{cell}\t1\n" for cell in cells)
    assert texts_of(f"text\tlabel\n{rows}") == (texts, ("quotes around cells are removed, as in CSV",))


@pytest.mark.parametrize(
    "cells",
    [
        ['"good" film', "bad"],
        ['"good', "bad"],
        ['"', '"'],
        # A quote opens in one row and closes in another, as by chance.
        ['" good', 'bad "'],
        # One cell is quoted and needs it not, so that the quotes are the sentence's own.
        ['"good"', "bad"],
        ['"he said ""good"""', '"good" film'],
    ],
)
def test_quotes_of_a_tsv_are_its_texts_where_they_cannot_all_be_those_of_csv(cells):
    rows = "".join(f"{cell}\t1\n" for cell in cells)
    texts, (note,) = texts_of(f"text\tlabel\n{rows}")
    assert texts == cells
    assert "as part of the cells' text" in note


def test_a_hash_says_what_was_read_as_sha256sum_would(checkpoint, write):
    source = write("a.tsv", "text\tlabel\nbad\t0\n")
    rows = load_rows(source, checkpoint())
    assert rows.source == source
    assert rows.sha256 == hashlib.sha256(b"text\tlabel\nbad\t0\n").hexdigest()


def test_rows_longer_than_the_model_are_cut_and_counted(checkpoint, write):
    text = '{"input_ids": [1, 2, 3, 4, 5], "label": 0}\n{"input_ids": [1, 2, 3, 4], "label": 0}\n'
    rows = load_rows(write("long.jsonl", text), checkpoint())
    assert [row.input_ids for row in rows.rows] == [(1, 2, 3, 4), (1, 2, 3, 4)]
    assert (rows.truncated, rows.length) == (1, 4)
    assert rows.warnings == [f"{rows.source}: rows cut to 4 tokens: 1"]


def test_rows_are_cut_to_the_length_that_is_asked_for(checkpoint, write):
    source = write("a.tsv", "text\tlabel\na good film\t1\nbad\t0\n")
    rows = load_rows(source, checkpoint(), length=2)
    assert rows.rows == (Row((1, 3), 1), BAD)
    assert rows.truncated == 1


def test_what_a_tokenizer_puts_around_a_text_is_not_cut_off(checkpoint, write):
    """As transformers truncates; BERT's [SEP] and an end of text are read from the last place."""
    model = checkpoint()
    tokenizer = Tokenizer.from_file(str(model.tokenizer_file))
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[UNK] $A it's", special_tokens=[("[UNK]", 0), ("it's", 5)]
    )
    tokenizer.no_padding()
    tokenizer.save(str(model.tokenizer_file))
    source = write("a.tsv", "text\tlabel\na good bad film\t1\na bad\t0\n")
    rows = load_rows(source, model)
    assert [row.input_ids for row in rows.rows] == [(0, 1, 3, 5), (0, 1, 2, 5)]
    assert rows.truncated == 1
    for length in (3, 4):
        tokenizer.enable_truncation(length)
        texts = ["a good bad film", "it's a bad it's it's it's", "[UNK] it's"]
        lines = "".join(json.dumps({"text": text, "label": 0}) + "\n" for text in texts)
        own = load_rows(write("a.jsonl", lines), model, length=length).rows
        assert [list(row.input_ids) for row in own] == [tokenizer.encode(text).ids for text in texts]
    with pytest.raises(
        BadInput, match="adds 2 special tokens to every text, but a text may have only 2 tokens"
    ):
        load_rows(source, model, length=2)


SECOND_TEXTS = [
    ("a.tsv", "sentence\tcontext\tlabel\ngood\tbad\t1\n"),
    ("a.csv", "text,premise,hypothesis,label\nbad,good,bad,1\n"),
    ("a.jsonl", '{"question": "is it?", "answer": "bad", "text": "good", "label": 1}\n'),
    ("a.csv", "text,review,label\ngood,a bad bad film,1\nbad,a good good film,0\n"),
    ("a.csv", "text,review,label\ngood,这部电影一点也不好看,1\nbad,とてもおもしろい映画でした,0\n"),
]


@pytest.mark.parametrize("language_model", [False, True])
@pytest.mark.parametrize(("name", "text"), SECOND_TEXTS)
def test_a_second_text_is_not_left_out_in_silence(name, text, language_model, checkpoint, write):
    with pytest.raises(BadInput, match="--text FIRST,SECOND") as caught:
        load_rows(write(name, text), checkpoint(**(LANGUAGE_MODEL if language_model else {})))
    message = str(caught.value)
    named = [each for each in ("question", "context", "hypothesis", "review") if each in text]
    assert f"`{named[0]}`" in message


@pytest.mark.parametrize(
    "extra",
    [
        {"idx": 7}, {"index": "7"}, {"id": "train-00 7"}, {"source": "imdb"}, {"source": "New York"},
        {"source": "科技新闻"}, {"source": "긍정적인 리뷰"},
        {"url": "https://a.org/b c"}, {"date": "2026-11-30 10:00:00"}, {"tags": ["a b c d"]},
        {"meta": {"by": "a b c d"}}, {"title": ""}, {"answer": None}, {"stars": 4.5},
    ],
)  # fmt: skip
def test_other_columns_that_hold_no_text_do_no_harm(extra, checkpoint, write):
    source = write("a.jsonl", json.dumps({"text": "bad", "label": 0, **extra}) + "\n")
    assert load_rows(source, checkpoint()).rows == (BAD,)


def test_a_cell_of_any_length_is_read_and_cut_and_the_limit_is_as_before(checkpoint, write):
    before = csv.field_size_limit()
    source = write("big.csv", 'text,label\n"' + "good " * 40_000 + '",1\nbad,0\n')
    rows = load_rows(source, checkpoint())
    assert rows.rows == (Row((3, 3, 3, 3), 1), BAD)
    assert rows.truncated == 1
    assert csv.field_size_limit() == before


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("mac.tsv", "text\tlabel\ra good film\t1\rbad\t0"),
        ("mac.csv", "text,label\ra good film,1\rbad,0"),
        ("mac.jsonl", '{"text": "a good film", "label": 1}\r{"text": "bad", "label": 0}\r'),
        ("marked.csv", "\ufefftext,label\na good film,1\nbad,0\n"),
        ("spaces.csv", "text, label\na good film,1\nbad, 0\n"),
        ("index.csv", ",text,label\n0,a good film,1\n1,bad,0\n"),
    ],
)
def test_what_other_programs_write_is_read_as_they_meant_it(name, text, checkpoint, write):
    assert load_rows(write(name, text), checkpoint()).rows == (GOOD_FILM, BAD)


def test_a_limit_takes_the_first_rows_and_does_not_look_at_the_others(checkpoint, write):
    source = write("some.tsv", "text\tlabel\na good film\t1\nbad\t0\nbad\tnonsense\n")
    assert load_rows(source, checkpoint(), limit=2).rows == (GOOD_FILM, BAD)


def test_regression_reads_numbers(checkpoint, write):
    source = write("sts.tsv", "text\tlabel\nbad\t0.25\nbad\t-3e1\nbad\t5\n")
    rows = load_rows(source, checkpoint(num_labels=1)).rows
    assert [row.label for row in rows] == [0.25, -30.0, 5.0]
    assert all(type(row.label) is float for row in rows)


def test_a_language_model_needs_no_label_and_reads_none(checkpoint, write):
    model = checkpoint(**LANGUAGE_MODEL)
    assert load_rows(write("a.tsv", "text\nbad\n"), model).rows == (Row((2,), None),)
    assert load_rows(write("b.tsv", "text\tlabel\nbad\t7\n"), model).rows == (Row((2,), None),)


def test_a_name_wins_over_an_id(checkpoint, write):
    model = checkpoint(num_labels=2, id2label={0: "1", 1: "0"})
    rows = load_rows(write("a.jsonl", '{"text":"bad","label":"1"}\n{"text":"bad","label":1}\n'), model)
    assert [row.label for row in rows.rows] == [0, 1]


def test_all_bad_rows_are_told_at_once_by_their_lines(checkpoint, write):
    lines = [
        {"text": "bad", "label": 0},
        {"text": "bad", "label": "awful"},
        {"text": "bad", "label": 2},
        {"text": "", "label": 0},
        {"text": "bad"},
        {"label": 1},
        {"text": 5, "label": 1},
        {"text": "bad", "input_ids": [1], "label": 1},
        {"input_ids": [1, 20], "label": 1},
        {"input_ids": [1.5], "label": 1},
        {"text": "\ud800", "label": 1},
    ]
    source = write("bad.jsonl", "".join(json.dumps(line) + "\n" for line in lines) + "{oops\n")
    with pytest.raises(BadInput) as caught:
        load_rows(source, checkpoint())
    first, *problems = str(caught.value).splitlines()
    assert first == f"{source}: 11 bad rows"
    expected = [
        "line 2: label 'awful' is unknown; it must be an id from 0 to 1 or one of: negative, positive; give "
        "its class with --labels LABEL=CLASS",
        "line 3: label 2 is out of range; it must be from 0 to 1",
        "line 4: `text` is empty; give a text in every row",
        "line 5: has no label, but other rows have one",
        "line 6: has neither `text` nor `input_ids`; give exactly one",
        "line 7: `text` must be text, not 5",
        "line 8: has `text` and `input_ids`; give exactly one",
        "line 9: token id 20 is outside the model's vocabulary, 0 to 19",
        "line 10: `input_ids` must be a list of whole numbers, not [1.5]",
        r"line 11: the text has an unpaired surrogate (a \ud800 to \udfff escape); remove it",
    ]
    assert problems == [*(f"  - {problem}" for problem in expected), "  and 1 more"]


def test_a_line_that_is_not_json_is_one_bad_row(checkpoint, write):
    with pytest.raises(BadInput, match=r"line 2: is not valid JSON \(Expecting"):
        load_rows(write("bad.jsonl", '{"text": "bad", "label": 0}\n{oops\n'), checkpoint())


def test_ragged_rows_of_a_csv_are_told_by_the_line_on_which_they_start(checkpoint, write):
    source = write("ragged.csv", 'text,label\n"two\nlines",0,1\nbad\nbad,0\n')
    with pytest.raises(BadInput) as caught:
        load_rows(source, checkpoint())
    assert "line 2: has 3 columns, but the header has 2" in str(caught.value)
    assert "line 4: has 1 columns, but the header has 2" in str(caught.value)


@pytest.mark.parametrize("label", ["nan", "inf", "high", "1e999"])
def test_regression_refuses_what_is_no_finite_number(checkpoint, write, label):
    with pytest.raises(BadInput, match=r"line 2: the label must be a finite number"):
        load_rows(write("a.tsv", f"text\tlabel\nbad\t{label}\n"), checkpoint(num_labels=1))


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        (
            "a.tsv",
            "premise\tlabel\nbad\t1\n",
            r"no column `text`, `sentence` or `input_ids`\n  the columns are: premise, label\n"
            r"  there is text in `premise`; name the column of the text with --text COLUMN",
        ),
        ("a.tsv", "idx\n1\n", r"no column `text`, `sentence` or `input_ids`"),
        ("a.tsv", "text\ttext\tlabel\nbad\tbad\t1\n", r"the header in line 1 has text twice"),
        ("a.tsv", "text\tlabel\n", r"has no rows"),
        ("a.tsv", "", r"has no rows"),
        ("a.jsonl", "[1, 2]\n", r"line 1: must be a JSON object"),
        ("a.csv", 'text,label\nbad,1\n"bad', r"is not valid CSV in line 3"),
        ("a.tsv", b"text\tlabel\nb\xe4d\t1\n", r"is not UTF-8 text \(line 2, byte 12 of the file\)"),
        ("a.tsv", "text\tlabel\nbad\t1\n".encode("utf-16"), r"is UTF-16 text, not UTF-8\n  save it as UTF-8"),
        ("a.tsv", b"text\tlabel\nbad\t1\nb\0d\t1\n", r"has a NUL character in line 3"),
        ("a.csv", b"text,label\nb\0d,1\n", r"has a NUL character in line 2"),
        ("a.csv", "text,label,,\nbad,1,,\n", r"the header in line 1 has a column without a name twice"),
        ("a.tsv", "text\tlabel\n \t1\n", r"line 2: `text` is empty"),
        ("a.tsv", "text\tlabel\n\t\n", r"line 2: `text` is empty"),
        ("a.jsonl", '{"text": "bad", "label": NaN}\n', r"line 1: is not valid JSON \(NaN"),
        ("a.jsonl", '{"text": "bad", "text": "good", "label": 1}\n', r"line 1: .*'text' occurs twice"),
        ("a.jsonl", '{"text": {"a": 1}, "label": 1}\n', r"line 1: `text` must be text, not \{'a': 1\}"),
        (
            "a.jsonl",
            '{"input_ids": [1, 18446744073709551617], "label": 1}\n',
            r"line 1: .*does not fit in 64 bits",
        ),
        ("a.jsonl", '{"input_ids": [true], "label": 1}\n', r"line 1: `input_ids` must be a list of whole"),
        ("a.jsonl", '{"input_ids": [-1], "label": 1}\n', r"line 1: token id -1 is outside"),
        ("a.jsonl", '{"input_ids": [1], "label": true}\n', r"line 1: label True is unknown"),
        (
            "a.jsonl",
            '{"text": "bad",\n "label": 1}\n',
            r"line 1: is not valid JSON \(Expecting .*, column 16\)",
        ),
        ("a.csv", "input_ids,label\n" + "9" * 5000 + ",1\n", r"line 2: "),
        ("a.xml", "bad", r"name ends in one of: .tsv, .csv, .jsonl"),
        ("a.txt", "bad", r"is a text, but rows are needed here.*\n.*use one of: .tsv, .csv, .jsonl"),
    ],
)
def test_a_file_that_is_wrong_as_a_whole_is_refused_with_its_reason(checkpoint, write, name, text, message):
    with pytest.raises(BadInput, match=message):
        load_rows(write(name, text), checkpoint())


def test_missing_data_names_what_there_is(checkpoint, tmp_path):
    with pytest.raises(
        BadInput, match=r"no such data file or data set\n.*digits:train, digits:valid, digits:test"
    ):
        load_rows("digits:tset", checkpoint())
    with pytest.raises(BadInput, match="is a folder, not a regular file"):
        load_rows(str(tmp_path), checkpoint())


def test_text_without_a_tokenizer_is_refused_and_ids_are_not(checkpoint, write):
    bare = checkpoint(tokenizer=False)
    with pytest.raises(BadInput, match=r"the model has no tokenizer\.json"):
        load_rows(write("a.tsv", "text\tlabel\nbad\t0\n"), bare)
    assert load_rows(write("b.tsv", "input_ids\tlabel\n2\t0\n"), bare).rows == (BAD,)


def test_a_tokenizer_of_another_model_is_noticed(checkpoint, write):
    with pytest.raises(BadInput, match=r"line 2: token id 5 is outside the model's vocabulary, 0 to 4"):
        load_rows(write("a.tsv", "text\tlabel\nit's bad\t0\n"), checkpoint(vocab_size=5))


CELLS = st.text(st.characters(blacklist_categories=("Cs",), blacklist_characters="\x00"))


@given(st.lists(st.tuples(CELLS, CELLS), min_size=1))
def test_every_csv_that_python_writes_is_read_back(cells):
    file = io.StringIO(newline="")
    csv.writer(file).writerows([("text", "label"), *cells])
    records = parse_table(file.getvalue().encode(), ".csv", "a.csv").records
    assert [(r.fields["text"], r.fields["label"]) for r in records] == cells


@given(st.lists(st.tuples(CELLS, CELLS), min_size=1), st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]))
def test_a_tsv_that_python_writes_is_read_as_its_csv(cells, quoting):
    rows = [(f"{text}\t", label) for text, label in cells]  # a tab, for which a cell has to be quoted
    content = {}
    for suffix, delimiter in ((".csv", ","), (".tsv", "\t")):
        file = io.StringIO(newline="")
        csv.writer(file, delimiter=delimiter, quoting=quoting).writerows([("text", "label"), *rows])
        content[suffix] = parse_table(file.getvalue().encode(), suffix, "a").records
    fields = [[record.fields for record in records] for records in content.values()]
    assert fields[0] == fields[1]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda value: st.lists(value),
    max_leaves=4,
)
ROWS = st.lists(st.dictionaries(st.sampled_from(["text", "input_ids", "label"]), JSON), min_size=1)


@given(ROWS, st.sampled_from([1, 2]))
@settings(suppress_health_check=[HealthCheck.too_slow])
def test_no_json_at_all_makes_more_than_a_message(tmp_path_factory, rows, num_labels):
    folder = tmp_path_factory.mktemp("any")
    Tokenizer(models.WordLevel(WORDS, unk_token="[UNK]")).save(str(folder / "tokenizer.json"))
    source = folder / "any.jsonl"
    source.write_text("".join(json.dumps(row) + "\n" for row in rows))
    with contextlib.suppress(BadInput):
        load_rows(str(source), Checkpoint(folder, config(num_labels=num_labels), {}))


@given(st.binary(max_size=200), st.sampled_from([".tsv", ".csv", ".jsonl"]))
def test_no_bytes_at_all_make_more_than_a_message(content, suffix):
    with contextlib.suppress(BadInput):
        parse_table(content, suffix, "any")


def test_batches_are_padded_on_the_right_to_their_own_longest_row():
    rows = [Row((5, 6, 7), 0), Row((8,), 1), Row((9, 9), 2)]
    first, second = batches(rows, 2, pad_token_id=3)
    assert first.input_ids.tolist() == [[5, 6, 7], [8, 3, 3]]
    assert first.attention_mask.tolist() == [[1, 1, 1], [1, 0, 0]]
    assert first.labels.tolist() == [0, 1]
    assert second.input_ids.tolist() == [[9, 9]]
    tensors = (first.input_ids, first.attention_mask, first.labels)
    assert all(tensor.dtype == torch.int64 for tensor in tensors)


def test_labels_of_a_batch_are_floats_for_regression_and_none_where_there_are_none():
    assert collate([Row((1,), 0.5), Row((1,), 2.0)], None).labels.dtype == torch.float32
    assert collate([Row((1,), None)], None).labels is None


def test_blocks_let_every_token_but_the_first_be_predicted_once(checkpoint, write):
    text = " ".join(["a bad good film it's"] * 4)
    model = checkpoint(**LANGUAGE_MODEL)
    blocks = read_blocks(write("book.txt", text), model.config, model.tokenizer_file).ids
    stream = [1, 2, 3, 4, 5] * 4
    assert blocks.shape == (4, 5)
    assert blocks[:, 1:].flatten().tolist() == stream[1:17]
    assert blocks[1:, 0].tolist() == blocks[:-1, -1].tolist()


@pytest.mark.parametrize("ends", [19, [19, 3]])
def test_documents_are_joined_by_the_first_end_of_text_token_and_none_is_cut(ends, checkpoint, write):
    model = checkpoint(**LANGUAGE_MODEL, eos_token_id=ends)
    source = write("docs.jsonl", '{"text": "a bad good film it\'s"}\n{"text": "film bad a"}\n')
    blocks = read_blocks(source, model.config, model.tokenizer_file).ids
    assert blocks.tolist() == [[1, 2, 3, 4, 5], [5, 19, 4, 2, 1]]


def test_a_text_shorter_than_a_block_is_refused(checkpoint, write):
    model = checkpoint(**LANGUAGE_MODEL)
    with pytest.raises(BadInput, match=r"has 4 tokens, but one block needs 5"):
        read_blocks(write("short.txt", "a bad good film"), model.config, model.tokenizer_file)


def test_digits_hold_out_a_third_and_share_no_row_among_splits():
    splits = {split: digits(split) for split in ("train", "valid", "test")}
    assert [len(rows) for rows in splits.values()] == [962, 236, 599]
    images = [{tuple(row["input_ids"]) for row in rows} for rows in splits.values()]
    assert len(set.union(*images)) == sum(map(len, images)) == 1797
    for rows in splits.values():
        shares = np.bincount([row["label"] for row in rows]) / len(rows)
        assert shares == pytest.approx([0.1] * 10, abs=0.005)


def test_the_digits_that_are_held_out_are_held_out_for_good(checkpoint):
    model = checkpoint(vocab_size=17, n_positions=64, num_labels=10)
    rows = load_rows("digits:test", model)
    assert rows.sha256 == "cd045484b8408d7d884d6a3b01364b0c41f6e57b18330f57d94959dd6653c595"
    assert {len(row.input_ids) for row in rows.rows} == {64}


def test_our_own_drawings_are_none_of_the_data_sets_images():
    theirs = {tuple(row["input_ids"]) for split in ("train", "valid", "test") for row in digits(split)}
    ours = drawings()
    assert len(ours) >= 64
    assert {row["label"] for row in ours} == set(range(10))
    for row in ours:
        assert len(row["input_ids"]) == 64
        assert 0 <= min(row["input_ids"]) <= max(row["input_ids"]) <= 16
        assert tuple(row["input_ids"]) not in theirs


MASKED = {
    "a.jsonl": '{"input_ids": [1, 2, 0, 0], "attention_mask": [1, 1, 0, 0], "label": 1}\n',
    "a.tsv": "input_ids\tattention_mask\tlabel\n[1, 2, 0, 0]\t[1, 1, 0, 0]\t1\n",
    "a.csv": "input_ids,attention_mask,label\n1 2 0 0,1 1 0 0,1\n",
}


@pytest.mark.parametrize("name", MASKED)
def test_ids_that_a_mask_hides_are_no_part_of_a_row(checkpoint, write, name):
    assert load_rows(write(name, MASKED[name]), checkpoint()).rows == (Row((1, 2), 1),)


def test_an_empty_cell_is_no_mask(checkpoint, write):
    source = write("a.tsv", "input_ids\tattention_mask\tlabel\n[1, 2]\t\t1\n")
    assert load_rows(source, checkpoint()).rows == (Row((1, 2), 1),)


@pytest.mark.parametrize("mask", [[0, 1, 1], [1, 0, 1], [1, 1], [1, 1, 2], [], "x"])
def test_a_mask_that_is_not_of_padding_on_the_right_is_refused(checkpoint, write, mask):
    row = json.dumps({"input_ids": [1, 2, 3], "attention_mask": mask, "label": 1})
    with pytest.raises(BadInput, match="line 1: `attention_mask` must"):
        load_rows(write("a.jsonl", row + "\n"), checkpoint())
    cells = f"input_ids\tattention_mask\tlabel\n[1, 2, 3]\t{mask}\t1\n"
    with pytest.raises(BadInput, match="line 2: `attention_mask` must"):
        load_rows(write("a.tsv", cells), checkpoint())


def test_a_mask_without_its_ids_is_refused(checkpoint, write):
    row = json.dumps({"text": "bad", "attention_mask": [1, 0], "label": 1})
    with pytest.raises(BadInput, match="line 1: has `attention_mask` next to text"):
        load_rows(write("a.jsonl", row + "\n"), checkpoint())


@pytest.mark.parametrize(
    ("name", "value", "nothing"),
    [
        ("position_ids", [0, 0], [0, 1]),
        ("token_type_ids", [0, 1], [0, 0]),
        ("decoder_input_ids", [0, 0], []),
        ("inputs_embeds", [[0.0], [0.0]], None),
    ],
)
def test_an_input_that_the_model_does_not_have_is_refused(checkpoint, write, name, value, nothing):
    for content in ({"input_ids": [1, 2]}, {"text": "a good"}):
        row = json.dumps({**content, name: value, "label": 1})
        with pytest.raises(BadInput, match=f"line 1: has `{name}`, which a NoiseFormer does not read"):
            load_rows(write("a.jsonl", row + "\n"), checkpoint())
    with pytest.raises(BadInput, match=f"line 2: has `{name}`, which a NoiseFormer does not read"):
        load_rows(write("a.tsv", f"input_ids\t{name}\tlabel\n[1, 2]\t{value}\t1\n"), checkpoint())
    row = json.dumps({"input_ids": [1, 2], name: nothing, "label": 1})
    assert load_rows(write("b.jsonl", row + "\n"), checkpoint()).rows == (Row((1, 2), 1),)
    for cell in ("", nothing or ""):
        source = write("b.tsv", f"input_ids\t{name}\tlabel\n[1, 2]\t{cell}\t1\n")
        assert load_rows(source, checkpoint()).rows == (Row((1, 2), 1),)


@pytest.mark.parametrize("second", [{"context": ["a b c"]}, {"meta": {"question": "is it?"}}])
def test_a_second_text_within_a_list_or_an_object_is_refused(checkpoint, write, second):
    row = json.dumps({"text": "bad", "label": 1} | second)
    with pytest.raises(BadInput, match=f"has text in `{next(iter(second))}`"):
        load_rows(write("a.jsonl", row + "\n"), checkpoint())


def test_rows_that_are_all_in_the_other_part_are_not_said_to_be_none(tmp_path):
    path = tmp_path / "rows.jsonl"
    path.write_text('{"input_ids": [1, 2]}\n' * 40)
    refusals = []
    for part in (Part(0, 0.5, advice="take another"), Part(0.5, 1, advice="take another")):
        try:
            assert len(read_rows(str(path), config(**LANGUAGE_MODEL), None, part=part).rows) == 40
        except BadInput as error:
            refusals.append(error)
    # Rows that are equal are never split between training and validation.
    (refusal,) = refusals
    assert refusal.what == "none of the 40 rows is in the part that is read"
    assert refusal.fix == "take another"
