"""GPT-2 folders of Hugging Face `transformers`: `config.json`, weights and the tokenizer's files."""

from pathlib import Path
from typing import Any

from tokenizers import Tokenizer
from torch import Tensor

from nf_edge.errors import BadInput
from nf_edge.importers.bpe import build_tokenizer
from nf_edge.importers.foreign import Foreign, drop_tied_head, has_own_values, is_causal_mask, load_torch
from nf_edge.model.checkpoint import CONFIG, TOKENIZER, WEIGHTS, read_safetensors
from nf_edge.model.config import CLASSIFIER, LANGUAGE_MODEL, read_json_object

INDEX, PICKLED = "model.safetensors.index.json", "pytorch_model.bin"

ARCHITECTURES = {
    "GPT2LMHeadModel": LANGUAGE_MODEL,
    "GPT2Model": LANGUAGE_MODEL,
    "GPT2ForSequenceClassification": CLASSIFIER,
}
SAME_KEYS = ("vocab_size", "n_positions", "n_embd", "n_layer", "n_head", "n_inner", "layer_norm_epsilon")
TOKEN_KEYS = ("pad_token_id", "bos_token_id", "eos_token_id")
# Another name for the tanh form; the other activations go by the same names as ours.
ACTIVATIONS = {"gelu_pytorch_tanh": "gelu_new"}
# Key → the value that plain GPT-2 has (and a missing key means), and what any other does.
PLAIN = {
    "scale_attn_weights": (True, "the scores are not divided by the root of the head size"),
    "scale_attn_by_inverse_layer_idx": (False, "each layer's scores are divided by its number"),
    "reorder_and_upcast_attn": (False, "attention is rounded in an order that no lowered program keeps"),
    "add_cross_attention": (False, "the model attends to an encoder's output"),
}
# Conv1D, which keeps its weight as [in, out].
TRANSPOSED = ("attn.c_attn.weight", "attn.c_proj.weight", "mlp.c_fc.weight", "mlp.c_proj.weight")


def read(folder: Path) -> Foreign:
    """Read a folder of `save_pretrained` or a clone from the hub.

    Raises:
        BadInput: it is not a GPT-2, or a file is missing or cannot be read.
    """
    theirs = read_json_object(folder / CONFIG)
    if theirs.get("model_type") != "gpt2":
        raise BadInput(f"model_type is {theirs.get('model_type')!r}, not 'gpt2'", where=folder / CONFIG)
    tensors = _tensors(folder)
    foreign = Foreign({}, tensors, folder / CONFIG, tokenizer=_tokenizer(folder))
    foreign.problems += [
        f"{key} is {theirs[key]!r}, so {reason}; a NoiseFormer has no such attention"
        for key, (plain, reason) in PLAIN.items()
        if theirs.get(key, plain) != plain
    ]
    activation = theirs.get("activation_function", "gelu_new")
    foreign.config = {
        **{key: theirs[key] for key in SAME_KEYS if key in theirs},
        "architectures": [_architecture(theirs, tensors, foreign.problems)],
        "activation_function": ACTIVATIONS.get(str(activation), activation),
        "attention": "standard",
        **_token_ids(theirs, foreign.notes),
    }
    if foreign.config["architectures"] == [CLASSIFIER]:
        foreign.config |= _labels(theirs, tensors)
    else:
        foreign.config["tie_word_embeddings"] = _is_tied(theirs, tensors, foreign)
    return foreign


def _tensors(folder: Path) -> dict[str, Tensor]:
    """The weights under our names, as [out, in], without masks."""
    tensors = {}
    for key, tensor in _read_weights(folder).items():
        # A bare GPT2Model, and the files on the hub that were saved from one, lack the prefix.
        name = f"transformer.{key}" if key.startswith(("wte.", "wpe.", "h.", "ln_f.")) else key
        if not is_causal_mask(name, tensor):
            tensors[name] = tensor.t() if name.endswith(TRANSPOSED) and tensor.dim() == 2 else tensor
    return tensors


def _read_weights(folder: Path) -> dict[str, Tensor]:
    if (folder / WEIGHTS).is_file():
        return read_safetensors(folder / WEIGHTS)
    if (folder / INDEX).is_file():
        return _read_shards(folder)
    if not (folder / PICKLED).is_file():
        raise BadInput(f"has no weights ({WEIGHTS}, {INDEX} or {PICKLED})", where=folder)
    state = load_torch(folder / PICKLED)
    if not isinstance(state, dict) or not all(
        isinstance(value, Tensor) and has_own_values(value) for value in state.values()
    ):
        raise BadInput("is not a state dict: it holds more than dense tensors", where=folder / PICKLED)
    return state


def _read_shards(folder: Path) -> dict[str, Tensor]:
    shards = read_json_object(folder / INDEX).get("weight_map")
    if not isinstance(shards, dict) or not all(isinstance(name, str) for name in shards.values()):
        raise BadInput("has no weight_map from tensors to files", where=folder / INDEX)
    names = sorted(set(shards.values()))
    # Only files of this folder: an index may come from anywhere.
    missing = [name for name in names if Path(name).name != name or not (folder / name).is_file()]
    if missing:
        raise BadInput.listing([f"{name} is not in the folder" for name in missing], where=folder / INDEX)
    tensors: dict[str, Tensor] = {}
    for name in names:
        tensors |= read_safetensors(folder / name)
    return tensors


def _declared(theirs: dict[str, Any]) -> str | None:
    """The class that saved the folder, if its config names one."""
    names = theirs.get("architectures")
    return str(names[0]) if isinstance(names, list) and names else None


def _architecture(theirs: dict[str, Any], tensors: dict[str, Tensor], problems: list[str]) -> str:
    name = _declared(theirs)
    if name is None:
        return CLASSIFIER if "score.weight" in tensors else LANGUAGE_MODEL
    if name not in ARCHITECTURES:
        problems.append(f"architectures is {name}; it must be one of: {', '.join(ARCHITECTURES)}")
    return ARCHITECTURES.get(name, LANGUAGE_MODEL)


def _token_ids(theirs: dict[str, Any], notes: list[str]) -> dict[str, Any]:
    """The special tokens; GPT-2's defaults stand in many a config whose vocabulary is smaller."""
    found = {key: theirs[key] for key in TOKEN_KEYS if theirs.get(key) is not None}
    vocabulary = theirs.get("vocab_size")
    for key, token in list(found.items()):
        if isinstance(token, int) and isinstance(vocabulary, int) and not 0 <= token < vocabulary:
            notes.append(f"{key} {token} is outside the vocabulary of {vocabulary} and is left out")
            del found[key]
    return found


def _labels(theirs: dict[str, Any], tensors: dict[str, Tensor]) -> dict[str, Any]:
    names = theirs.get("id2label")
    score = tensors.get("score.weight")
    # transformers writes neither key for two labels, and never num_labels.
    labels = score.shape[0] if score is not None and score.dim() else len(names or ()) or 2
    # It pools the last token that is not padding.
    return {"num_labels": labels, "id2label": names, "pooling": "last"}


def _is_tied(theirs: dict[str, Any], tensors: dict[str, Tensor], foreign: Foreign) -> bool:
    """Whether the head is the embedding: the config's word, unless the weights say otherwise."""
    had_head = "lm_head.weight" in tensors
    own_head = drop_tied_head(tensors)
    declared = theirs.get("tie_word_embeddings", True)
    if _declared(theirs) == "GPT2Model":
        foreign.notes.append(
            "a GPT2Model has no head: it becomes a language model whose head is the embedding"
        )
        return True
    if declared and own_head:
        # Versions of transformers differ in which of the two they believe.
        foreign.problems.append(
            "tie_word_embeddings is true, but lm_head.weight differs from the embedding; "
            "set it to false to keep that head, or remove the tensor"
        )
    if not declared and had_head and not own_head:
        foreign.notes.append(
            "tie_word_embeddings is false, but the head equals the embedding: it is kept once"
        )
    return not own_head if had_head else declared


def _tokenizer(folder: Path) -> Path | Tokenizer | None:
    if (folder / TOKENIZER).is_file():
        return folder / TOKENIZER
    if (folder / "vocab.json").is_file() and (folder / "merges.txt").is_file():
        return build_tokenizer(folder)
    return None
