"""Training: one loop for first training, recovery and quantization-aware training; and training recipes."""

from nf_edge.training.evaluate import Evaluation, evaluate
from nf_edge.training.loop import Resumable, best_validation, fit
from nf_edge.training.recipe import TrainingRecipe, load_training_recipe
from nf_edge.training.settings import Settings
from nf_edge.training.state import State, Validation
from nf_edge.training.train import state_file, train
from nf_edge.training.training_report import Trained, TrainingReport

__all__ = [
    "Evaluation",
    "Resumable",
    "Settings",
    "State",
    "Trained",
    "TrainingRecipe",
    "TrainingReport",
    "Validation",
    "best_validation",
    "evaluate",
    "fit",
    "load_training_recipe",
    "state_file",
    "train",
]
