"""A model file together with everything that is needed to run it."""

from dataclasses import dataclass
from pathlib import Path

from nf_edge.backends.base import Backend, Session
from nf_edge.backends.input_shape import InputShape
from nf_edge.core.recipe.recipe import Recipe
from nf_edge.model import Decoder, ModelConfig


@dataclass(frozen=True)
class Runnable:
    """A model file, the backend that runs it, and what it was made from.

    Attributes:
        file: the model file; its companions are in the same folder.
        config, checkpoint: of the checkpoint that was lowered, and the name of that.
        input_shape: shape of the inputs that the file takes.
    """

    backend: Backend
    file: Path
    config: ModelConfig
    checkpoint: str
    input_shape: InputShape
    recipe: Recipe

    @property
    def folder(self) -> Path:
        """The folder of the model file: the artifact's."""
        return self.file.parent

    def load(self, threads: int | None = None) -> Session | Decoder:
        """Load the file in this process.

        Args:
            threads: size of the runtime's thread pool; the runtime's default where None.

        Raises:
            BadInput: the runtime refuses the file.
        """
        return self.backend.load(self.file, self.input_shape, threads)
