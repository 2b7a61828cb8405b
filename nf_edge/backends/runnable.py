"""A model file with everything that is needed to run it."""

from dataclasses import dataclass
from pathlib import Path

from nf_edge.backends.base import Backend, Session
from nf_edge.backends.input_shape import InputShape
from nf_edge.core.recipe.recipe import Recipe
from nf_edge.model import Decoder, ModelConfig


@dataclass(frozen=True)
class Runnable:
    """A model file, the backend that runs it, and its checkpoint and recipe.

    Attributes:
        file: the model file; its companions are in the same folder.
        config: the configuration of the lowered checkpoint.
        checkpoint: the name of the lowered checkpoint.
        input_shape: the shape of the file's inputs.
    """

    backend: Backend
    file: Path
    config: ModelConfig
    checkpoint: str
    input_shape: InputShape
    recipe: Recipe

    @property
    def folder(self) -> Path:
        """The folder that contains the model file: the artifact."""
        return self.file.parent

    def load(self, threads: int | None = None) -> Session | Decoder:
        """Load the file in this process.

        Args:
            threads: size of the runtime's thread pool; None is the runtime's default.

        Raises:
            BadInput: the runtime cannot load the file.
        """
        return self.backend.load(self.file, self.input_shape, threads)
