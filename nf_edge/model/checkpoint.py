"""Read checkpoint folders: `config.json`, `model.safetensors` and, for a text model, `tokenizer.json`."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import torch
from torch import Tensor, nn

from nf_edge.core.errors import BadInput
from nf_edge.core.identity import UNKNOWN, Identity
from nf_edge.core.process_memory import release_pages
from nf_edge.core.reading import is_there, sha256
from nf_edge.core.resources import resolve
from nf_edge.model.checkpoint_outline import CONFIG, EXAMPLES, TOKENIZER, WEIGHTS, CheckpointOutline
from nf_edge.model.config import ModelConfig
from nf_edge.model.config_file import read_config
from nf_edge.model.network import CausalLM, NoiseFormer, build
from nf_edge.model.safetensors_file import read_safetensors

DTYPES = {torch.float32: "float32", torch.float16: "float16", torch.bfloat16: "bfloat16"}
# Values of a tensor that are checked at once.
BLOCK = 1 << 20
# Bytes of float32 weights that are read before their pages are released, which takes some milliseconds.
PAGES = 1 << 26


def release_weights(network: nn.Module) -> None:
    """Release the pages of a network's weights that are mapped from its checkpoint's file."""
    if (origin := getattr(network, "origin", None)) is not None:
        release_pages(origin / WEIGHTS)


class MappedPages:
    """Releases the pages of a network's weights each time that `PAGES` bytes of its weights were read.

    Weights that are mapped from the checkpoint's file would otherwise stay in memory, all together.
    """

    def __init__(self, network: nn.Module) -> None:
        self._network, self._bytes = network, 0

    def read(self, weight: Tensor) -> None:
        """Note that all values of a weight were read."""
        self._bytes += 4 * weight.numel()
        if self._bytes >= PAGES:
            release_weights(self._network)
            self._bytes = 0


@dataclass(frozen=True)
class Checkpoint:
    """A trained NoiseFormer: its folder, its validated config and its weights in the dtypes on disk.

    Attributes:
        warnings: remarks about the config, for the user.
        versions: device, inode, size and time of the weights and tokenizer files at loading, to detect later
            changes; None if the checkpoint was not loaded from its folder.
    """

    path: Path
    config: ModelConfig
    tensors: Mapping[str, Tensor]
    warnings: tuple[str, ...] = ()
    versions: "Versions | None" = field(default=None, repr=False)

    @property
    def name(self) -> str:
        return self.path.resolve().name

    @property
    def outline(self) -> CheckpointOutline:
        """The checkpoint's folder, config and warnings, without its weights."""
        return CheckpointOutline(self.path, self.config, self.warnings)

    @property
    def tokenizer_file(self) -> Path | None:
        return self._optional(TOKENIZER)

    @property
    def examples_file(self) -> Path | None:
        return self._optional(EXAMPLES)

    @property
    def parameters(self) -> int:
        """Number of parameters for inference; a tied head counts once."""
        return sum(self.tensors[name].numel() for name in self.config.tensor_shapes())

    def model(self) -> NoiseFormer:
        """A new float32 network with these weights, for inference or to be changed.

        Float32 weights are mapped from the file once more, so that no copy is in memory.  The system copies a
        page of such a mapping when the network changes it; file, checkpoint and other networks do not change.
        """
        tensors = read_safetensors(self.path / WEIGHTS) if self._is_unchanged else None
        if tensors is None or not self._is_unchanged:
            tensors = {name: tensor.clone() for name, tensor in self.tensors.items()}
        return self._network(tensors)

    def reference(self) -> NoiseFormer:
        """A float32 network for inference only; it shares float32 weights with this checkpoint."""
        return self._network(self.tensors)

    def _network(self, tensors: Mapping[str, Tensor]) -> NoiseFormer:
        """A float32 network that shares the float32 weights in `tensors`."""
        with torch.device("meta"):
            network = build(self.config)
        network.origin = self.path
        state = {name: tensors[name].float() for name in self.config.tensor_shapes()}
        tied = self.config.is_language_model and self.config.tie_word_embeddings
        if tied:
            state["lm_head.weight"] = state["transformer.wte.weight"]
        network.load_state_dict(state, assign=True)
        if isinstance(network, CausalLM) and tied:
            network.lm_head.weight = network.transformer.wte.weight
        return network.eval().requires_grad_(False)

    @property
    def _is_unchanged(self) -> bool:
        """Whether the files in the folder are those that the checkpoint was loaded from."""
        return self.versions is not None and self.versions == _versions(self.path)

    @cached_property
    def identity(self) -> Identity:
        """The hashes of the files in the checkpoint's folder.

        Hashing weights takes seconds.  A job that records the identity reads it at the start, before files
        can change.

        Raises:
            BadInput: the files changed since the checkpoint was loaded.
        """
        identity = identity_of(self.path, self.config)
        if self.versions is not None and not self._is_unchanged:
            what = "the checkpoint's files changed since it was loaded"
            raise BadInput(what, where=self.path, fix="load the checkpoint again")
        return identity

    def differs_from(self, other: Identity) -> list[str]:
        """Names of the files that differ between this checkpoint and `other`.

        A config or tokenizer that `other` does not know counts as equal.
        """
        identity = self.identity
        same = {
            WEIGHTS: identity.weights_sha256 == other.weights_sha256,
            CONFIG: not self.outline.differs_from(other),
            TOKENIZER: other.tokenizer_sha256 in (UNKNOWN, identity.tokenizer_sha256),
        }
        return [name for name, is_same in same.items() if not is_same]

    def _optional(self, name: str) -> Path | None:
        path = self.path / name
        return path if is_there(path) else None


# Device, inode, size and time of weights and tokenizer: a fast way to detect changes.
Versions = tuple[tuple[int, ...] | None, ...]


def _versions(path: Path) -> Versions:
    return tuple(_version(path / name) for name in (WEIGHTS, TOKENIZER))


def _version(path: Path) -> tuple[int, ...] | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns


def identity_of(path: Path, config: ModelConfig) -> Identity:
    """The config of a checkpoint and the hashes of the files in its folder, `path`."""
    tokenizer = path / TOKENIZER
    return Identity(
        weights_sha256=sha256(path / WEIGHTS),
        config=config.to_json(),
        tokenizer_sha256=sha256(tokenizer) if is_there(tokenizer) else None,
    )


def resolve_checkpoint(name: str) -> Checkpoint:
    """Load a bundled checkpoint by its name, or a folder by its path (`./name` forces a folder).

    Raises:
        BadInput: neither exists, or the checkpoint is invalid.
    """
    return load_checkpoint(resolve("checkpoints", name, suffix=""))


def load_checkpoint(path: Path) -> Checkpoint:
    """Read and validate a checkpoint folder.

    Raises:
        BadInput: a file is missing or invalid; lists every mismatch.
    """
    versions = _versions(path)
    config, warnings = read_config(path / CONFIG)
    weights = path / WEIGHTS
    if not weights.exists():
        what = "is missing, but a checkpoint needs it for the weights"
        raise BadInput(what, where=weights, fix="put the weights there, or give another folder")
    tensors = read_safetensors(weights)
    problems = mismatches(config, tensors)
    if problems:
        raise BadInput.listing(
            problems,
            where=weights,
            fix=f"correct these weights, or {path / CONFIG}, which defines their names and shapes",
        )
    # The checks have read all weights.
    release_pages(weights)
    return Checkpoint(path, config, tensors, tuple(warnings), versions)


def mismatches(config: ModelConfig, tensors: Mapping[str, Tensor]) -> list[str]:
    """Every difference between the tensors and what the config requires."""
    required, optional_shapes = config.tensor_shapes(), config.optional_tensor_shapes()
    problems = []
    for name, shape in required.items():
        if name not in tensors:
            problems.append(f"tensor {name} is missing (required shape: {list(shape)})")
    for name, tensor in tensors.items():
        expected = required.get(name, optional_shapes.get(name))
        if expected is None:
            problems.append(
                f"tensor {name} {list(tensor.shape)} is not part of this model{_why_extra(config, name)}"
            )
            continue
        if tuple(tensor.shape) != expected:
            problems.append(f"tensor {name} must have shape {list(expected)}, not {list(tensor.shape)}")
        if tensor.dtype not in DTYPES:
            problems.append(
                f"tensor {name} must be float32, float16 or bfloat16, not "
                f"{str(tensor.dtype).removeprefix('torch.')}"
            )
        elif not _is_finite(tensor):
            problems.append(f"tensor {name} contains NaN or Inf")
    return problems


def _is_finite(tensor: Tensor) -> bool:
    """Whether all values are finite; they are checked in blocks, because the check copies them twice."""
    return all(bool(block.isfinite().all()) for block in tensor.flatten().split(BLOCK))


def _why_extra(config: ModelConfig, name: str) -> str:
    if name == "lm_head.weight" and config.is_language_model:
        return ", because tie_word_embeddings is true; the head is transformer.wte.weight"
    if ".attn.c_attn." in name and config.attention == "symmetric":
        return ", because attention is symmetric; its projection is c_kv"
    if ".attn.noise." in name:
        return f", because noise.kind is {config.noise.kind}"
    return ""
