"""`generate`: continue a text with the language model of an artifact or a checkpoint."""

import operator
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from tokenizers import Tokenizer

from nf_edge.artifact import Artifact
from nf_edge.core.errors import BadInput, quoted
from nf_edge.core.files import utf8_text
from nf_edge.measure.emulation import EmulatedCore, load
from nf_edge.model import CausalLM, Checkpoint, Decoder, ModelConfig, TorchDecoder
from nf_edge.model.generation import Ended, Generated, TextStream
from nf_edge.model.generation import generate as tokens_after
from nf_edge.model.tokenizer import read_tokenizer, tokenizer_errors

NO_LANGUAGE_MODEL = "is not a language model, so it cannot generate text"
GIVE_ONE = "give a language model"


@dataclass(frozen=True)
class TextModel:
    """A language model that is ready to generate.

    Attributes:
        where: the path of the artifact or checkpoint, for messages.
        tokenizer: None if prompts and results are token ids.
    """

    decoder: Decoder
    config: ModelConfig
    where: str | Path
    tokenizer: Tokenizer | None

    def ids_of(self, prompt: str | Sequence[int] | None) -> list[int]:
        """The token ids of a prompt, at least one.

        Args:
            prompt: a text, or ids; None: the model's begin-of-text token.

        Raises:
            BadInput: the prompt has no tokens, has tokens outside the vocabulary, or cannot be encoded.
        """
        if prompt is None:
            if self.config.bos_token_id is None:
                what = "has no bos_token_id to start a text with"
                raise BadInput(what, where=self.where, fix="give a PROMPT")
            return [self.config.bos_token_id]
        if isinstance(prompt, str) and self.tokenizer:
            with tokenizer_errors("PROMPT", "cannot be encoded"):
                ids: list[int] = self.tokenizer.encode(utf8_text(prompt)).ids
        else:
            ids = _parsed(prompt)
        if not ids:
            fix = "give a longer prompt"
            if self.config.bos_token_id is not None:
                fix += ", or leave it out"
            raise BadInput("must have at least one token", where="PROMPT", fix=fix)
        outside = [token for token in ids if not 0 <= token < self.config.vocab_size]
        if outside:
            problem = f"token ids must be from 0 to {self.config.vocab_size - 1}, not {quoted(outside[0])}"
            raise BadInput(problem, where="PROMPT")
        return ids

    def generate(
        self,
        ids: list[int],
        *,
        max_tokens: int,
        temperature: float,
        seed: int,
        on_text: Callable[[str], None],
    ) -> Generated:
        """Continue a prompt; the arguments are as for `nf_edge.generate`.

        Raises:
            BadInput: the prompt has more tokens than the model has positions, or logits are not finite.
        """
        stream = TextStream(self.tokenizer) if self.tokenizer else None
        new: list[int] = []
        end_tokens = self.config.end_tokens
        for token in tokens_after(
            self.decoder,
            ids,
            max_tokens=max_tokens,
            temperature=temperature,
            seed=seed,
            end_tokens=end_tokens,
        ):
            new.append(token)
            on_text(stream.add(token) if stream else f"{token} ")
        if stream:
            on_text(stream.end())
        text, prompt = (self.tokenizer.decode(part) if self.tokenizer else None for part in (new, ids))
        ended: Ended = "max tokens" if len(new) == max_tokens else "full"
        if new[-1] in end_tokens:
            ended = "end of text"
        return Generated(tuple(ids), tuple(new), text, ended, prompt)


def model_of_artifact(artifact: Artifact, core: EmulatedCore | None, as_ids: bool) -> TextModel:
    """The language model of an artifact, which runs from its file.

    Args:
        core: the emulated core that runs the file; None: this machine.
        as_ids: whether to work with token ids, without the tokenizer.

    Raises:
        BadInput: the artifact is not a language model with a cache, or has no tokenizer and `as_ids` is
            false.
    """
    where = artifact.path
    if not artifact.manifest.config.is_language_model:
        raise BadInput(NO_LANGUAGE_MODEL, where=where, fix=GIVE_ONE)
    if not artifact.manifest.interface.cached:
        raise BadInput(
            "cannot generate text; it was exported without a key-value cache (logits: all)",
            where=where,
            fix="export it again with a recipe that has logits: last",
        )
    runnable = artifact.runnable()
    decoder = load(core, runnable) if core else runnable.load()
    assert isinstance(decoder, Decoder)
    tokenizer = None if as_ids else _tokenizer(artifact.tokenizer_file, where)
    return TextModel(decoder, runnable.config, where, tokenizer)


def model_of_checkpoint(checkpoint: Checkpoint, where: str | Path, as_ids: bool) -> TextModel:
    """The language model of a checkpoint, which runs in PyTorch.

    Args:
        where: the checkpoint's name or path, for messages.
        as_ids: whether to work with token ids, without the tokenizer.

    Raises:
        BadInput: the checkpoint is not a language model, or has no tokenizer and `as_ids` is false.
    """
    model = checkpoint.reference()
    if not isinstance(model, CausalLM):
        raise BadInput(NO_LANGUAGE_MODEL, where=where, fix=GIVE_ONE)
    tokenizer = None if as_ids else _tokenizer(checkpoint.tokenizer_file, where)
    return TextModel(TorchDecoder(model), checkpoint.config, where, tokenizer)


def _tokenizer(file: Path | None, where: str | Path) -> Tokenizer:
    if file is None:
        raise BadInput(
            "has no tokenizer.json, which texts need", where=where, fix="give token ids, with --ids"
        )
    return read_tokenizer(file)


def _parsed(prompt: str | Sequence[int]) -> list[int]:
    """Token ids from a text with numbers, or from a list of integers of any type."""
    try:
        if isinstance(prompt, str):
            return [int(word) for word in prompt.replace(",", " ").split()]
        return [operator.index(token) for token in prompt]
    except (TypeError, ValueError):
        fix = "write whole numbers, such as --ids '12 7 99'"
        raise BadInput("is not a list of token ids", where="PROMPT", fix=fix) from None
