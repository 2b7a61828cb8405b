"""Read GPT-2 folders of Hugging Face `transformers`: `config.json`, weights and tokenizer files."""

from pathlib import Path
from typing import Any

from torch import Tensor

from nf_edge.core.errors import BadInput
from nf_edge.core.reading import is_there, read_json_object
from nf_edge.model.checkpoint_outline import CONFIG
from nf_edge.model.config import CLASSIFIER, LANGUAGE_MODEL
from nf_edge.model.importers import settings
from nf_edge.model.importers.adapters import adapter_notes, refuse_adapter
from nf_edge.model.importers.foreign import HEAD, ForeignCheckpoint, drop_tied_head, is_causal_mask
from nf_edge.model.importers.names import gpt2_names
from nf_edge.model.importers.special_tokens import GENERATION, special_tokens
from nf_edge.model.importers.tokenizer_files import read_tokenizer_files
from nf_edge.model.importers.weights import read_weights

ARCHITECTURES = {
    "GPT2LMHeadModel": LANGUAGE_MODEL,
    "GPT2Model": LANGUAGE_MODEL,
    "GPT2ForSequenceClassification": CLASSIFIER,
}
# Activation functions with a different name in nf-edge.
ACTIVATIONS = {
    "gelu_accurate": "gelu_new",
    "gelu_fast": "gelu_new",
    "gelu_python_tanh": "gelu_new",
    "gelu_pytorch_tanh": "gelu_new",
    "gelu_python": "gelu",
}
# Weights of Conv1D, stored as [in, out].
TRANSPOSED = ("attn.c_attn.weight", "attn.c_proj.weight", "mlp.c_fc.weight", "mlp.c_proj.weight")


def read(folder: Path, *, with_tokenizer: bool = True) -> ForeignCheckpoint:
    """Read a folder written by `save_pretrained` or cloned from the hub.

    Args:
        with_tokenizer: whether to read the folder's tokenizer.

    Raises:
        BadInput: the model is not a GPT-2, the folder has an adapter, or a file is missing or cannot be read.
    """
    refuse_adapter(folder)
    theirs = read_json_object(folder / CONFIG)
    if theirs.get("model_type") != "gpt2":
        what = f"model_type must be 'gpt2', not {theirs.get('model_type')!r}"
        raise BadInput(what, where=folder / CONFIG, fix="give a folder of a GPT-2 model")
    generation = read_json_object(folder / GENERATION) if is_there(folder / GENERATION) else None
    foreign = ForeignCheckpoint({}, {}, folder / CONFIG)
    if with_tokenizer:
        foreign.tokenizer = read_tokenizer_files(folder, foreign.notes)
    foreign.problems += settings.refused(theirs)
    tensors = foreign.tensors = _tensors(folder, foreign)
    shape = settings.shape(theirs)
    activation = shape["activation_function"]
    architecture = _architecture(theirs, tensors, foreign.problems)
    foreign.config = {
        **shape,
        "architectures": [architecture],
        "activation_function": ACTIVATIONS.get(str(activation), activation),
        "attention": "standard",
    }
    if architecture == CLASSIFIER:
        foreign.config |= special_tokens(theirs, None, shape["vocab_size"], foreign)
        foreign.config |= _labels(theirs, foreign)
    else:
        foreign.config |= special_tokens(theirs, generation, shape["vocab_size"], foreign)
        foreign.config["tie_word_embeddings"] = _is_tied(theirs, tensors, foreign)
    foreign.notes += [
        *settings.notes_on(theirs, generation or {} if architecture == LANGUAGE_MODEL else {}),
        *_dtype_notes(theirs, tensors),
        *adapter_notes(folder),
    ]
    return foreign


def _tensors(folder: Path, foreign: ForeignCheckpoint) -> dict[str, Tensor]:
    """The weights by nf-edge's names, as [out, in], without masks."""
    weights = read_weights(folder)
    names = gpt2_names(weights, foreign.problems, foreign.notes)
    tensors = {}
    for key, tensor in weights.items():
        name = names[key]
        if not is_causal_mask(name, tensor):
            tensors[name] = tensor.t() if name.endswith(TRANSPOSED) and tensor.dim() == 2 else tensor
    return tensors


def _dtype_notes(theirs: dict[str, Any], tensors: dict[str, Tensor]) -> list[str]:
    """A note if transformers would convert the weights to another dtype while loading.

    Args:
        theirs: the content of the folder's config.json.
    """
    declared = theirs.get("dtype", theirs.get("torch_dtype"))
    kept = {str(tensor.dtype).removeprefix("torch.") for tensor in tensors.values()}
    if declared is None or kept <= {declared}:
        return []
    return [f"dtype is {declared} in config.json, but the weights stay {' and '.join(sorted(kept))}"]


def _declared(theirs: dict[str, Any]) -> str | None:
    """The model class that the config names; None if it names none.

    Args:
        theirs: the content of the folder's config.json.
    """
    names = theirs.get("architectures")
    return str(names[0]) if isinstance(names, list) and names else None


def _architecture(theirs: dict[str, Any], tensors: dict[str, Tensor], problems: list[str]) -> str:
    """nf-edge's name of the architecture: the declared one, otherwise the one that the head implies.

    Args:
        theirs: the content of the folder's config.json.
    """
    name = _declared(theirs)
    if name is None:
        return CLASSIFIER if "score.weight" in tensors else LANGUAGE_MODEL
    if name not in ARCHITECTURES:
        problems.append(f"architectures must be one of {', '.join(ARCHITECTURES)}, not {name}")
    return ARCHITECTURES.get(name, LANGUAGE_MODEL)


def _labels(theirs: dict[str, Any], foreign: ForeignCheckpoint) -> dict[str, Any]:
    """The config's entries for labels and pooling; `foreign.config` must already have the special tokens.

    Args:
        theirs: the content of the folder's config.json.
    """
    names, declared = theirs.get("id2label"), theirs.get("num_labels")
    score = foreign.tensors.get("score.weight")
    # transformers omits both keys if there are two labels, and usually omits num_labels.
    labels = score.shape[0] if score is not None and score.dim() else declared or len(names or ()) or 2
    if declared is not None and declared != labels:
        foreign.problems.append(f"num_labels must be {labels}, the rows of score.weight, not {declared!r}")
    # transformers pools the right-most token that is not the pad token and ignores the mask. Without a pad
    # token, it pools the last token.
    pooling = "last" if foreign.config.get("pad_token_id") is None else "last_not_pad"
    return {
        "num_labels": labels,
        "id2label": names,
        "pooling": pooling,
        "problem_type": theirs.get("problem_type"),
    }


def _is_tied(theirs: dict[str, Any], tensors: dict[str, Tensor], foreign: ForeignCheckpoint) -> bool:
    """Whether the head is tied to the embedding: from the weights if they show it, otherwise from the
    config.

    Args:
        theirs: the content of the folder's config.json.
    """
    had_head = HEAD in tensors
    has_separate_head = drop_tied_head(tensors)
    declared = theirs.get("tie_word_embeddings", True)
    if _declared(theirs) == "GPT2Model":
        foreign.notes.append("a GPT2Model has no head, so the embedding becomes the head of a language model")
        return True
    if declared and has_separate_head:
        # Some versions of transformers use the head, others the embedding.
        foreign.problems.append(
            "tie_word_embeddings is true, but lm_head.weight differs from the embedding; "
            "set tie_word_embeddings to false, or remove the tensor lm_head.weight"
        )
    if not declared and had_head and not has_separate_head:
        foreign.notes.append(
            "tie_word_embeddings is false, but the head equals the embedding, so one tensor is kept for both"
        )
    return not has_separate_head if had_head else declared
