"""The plan of a latency measurement: lengths, contexts, threads, and input token ids."""

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from nf_edge.backends.input_shape import InputShape
from nf_edge.backends.runnable import Runnable
from nf_edge.core.cpus import allowed_cpus
from nf_edge.core.defaults import REPEATS
from nf_edge.core.errors import BadInput
from nf_edge.measure.runner import Request
from nf_edge.model import ModelConfig

SEED = 0
# Decoding steps per sample: enough for a stable median, and few enough to stay near the context's length.
STEPS = 16


@dataclass(frozen=True)
class BenchOptions:
    """The measurements that a user requests.

    Attributes:
        lengths: tokens per prefill.  None: a sixteenth, a quarter and all of the positions.
        contexts: tokens in the cache before decoding.  None: a sixteenth, a quarter and nearly all of the
            positions.
        threads: sizes of the runtime's thread pool.
        repeats: rounds of each measurement.
    """

    lengths: Iterable[int] | None = None
    contexts: Iterable[int] | None = None
    threads: Iterable[int] = (1,)
    repeats: int = REPEATS


@dataclass(frozen=True)
class BenchSubject:
    """The facts about a model that a latency plan depends on; they are known before the export.

    Attributes:
        name: name of the model in messages.
    """

    name: str
    config: ModelConfig
    input_shape: InputShape

    @classmethod
    def of(cls, artifact: Runnable) -> "BenchSubject":
        return cls(str(artifact.folder), artifact.config, artifact.input_shape)


@dataclass(frozen=True)
class BenchPlan:
    """The measurements to make of every artifact.

    Attributes:
        lengths: tokens per prefill, or per row of a classifier.
        contexts: tokens in the cache before decoding; empty without decoding.
        no_decoding: the reason why decoding is not measured; "" if it is.
        threads: sizes of the runtime's thread pool.
        repeats: rounds of each measurement.
        ids: one row of random token ids; all requests take their tokens from it, by position.
        vocabulary: the smallest vocabulary of the artifacts; all ids are below this number.
    """

    lengths: tuple[int, ...]
    contexts: tuple[int, ...]
    no_decoding: str
    threads: tuple[int, ...]
    repeats: int
    ids: tuple[int, ...]
    vocabulary: int

    def prefill(self, length: int, cached: bool) -> Request:
        """A request with the first `length` tokens; if the model has a cache, the cache is empty."""
        return self.ids[:length], [0] if cached else [1] * length

    def steps(self, context: int) -> list[Request]:
        """Requests of one token each, at consecutive positions after a context.

        After the last position in `ids`, the requests start again at the first position after the context.
        """
        positions = itertools.cycle(range(context, min(context + STEPS, len(self.ids))))
        return [(self.ids[at : at + 1], [at]) for at in itertools.islice(positions, STEPS)]


def make_plan(subjects: Sequence[BenchSubject], options: BenchOptions) -> BenchPlan:
    """Make a plan that suits all models.

    Raises:
        BadInput: a model does not support a length or a context, or there are fewer CPUs than threads.
    """
    lengths, contexts, threads = options.lengths, options.contexts, tuple(options.threads)
    shortest = min(subjects, key=lambda subject: subject.input_shape.length)
    capacity = shortest.input_shape.length
    no_decoding = next(filter(None, map(_no_decoding, subjects)), "")
    problems = _thread_problems(threads)
    if contexts is not None and no_decoding:
        problems.append(f"--contexts has no effect, because {no_decoding}; leave it out")
    if lengths is None:
        fixed = [subject.input_shape.length for subject in subjects if not subject.input_shape.dynamic_length]
        lengths = fixed or (max(1, capacity // 16), max(1, capacity // 4), capacity)
    if contexts is None:
        # A model of one position has no position for a context.
        some = (max(1, capacity // 16), max(1, capacity // 4), capacity - max(1, capacity // 16))
        contexts = () if no_decoding else [context for context in some if 1 <= context < capacity]
    the_lengths, the_contexts = _ordered(lengths), _ordered(contexts)
    for subject in subjects:
        problems += _length_problems(subject, the_lengths)
    if not no_decoding:
        problems += _context_problems(shortest, the_contexts)
    if problems:
        raise BadInput.listing(problems, where=" and ".join(subject.name for subject in subjects))
    vocabulary = min(subject.config.vocab_size for subject in subjects)
    ids = np.random.default_rng(SEED).integers(vocabulary, size=capacity).tolist()
    return BenchPlan(
        the_lengths, the_contexts, no_decoding, _ordered(threads), options.repeats, tuple(ids), vocabulary
    )


def _ordered(numbers: Iterable[int]) -> tuple[int, ...]:
    return tuple(sorted(set(numbers)))


def _no_decoding(subject: BenchSubject) -> str:
    if subject.input_shape.cached:
        return ""
    if subject.config.is_language_model:
        return f"{subject.name} has no cache to decode with (logits: all)"
    return f"{subject.name} is not a language model, so it does not decode"


def _thread_problems(threads: tuple[int, ...]) -> list[str]:
    most = allowed_cpus()
    return [
        f"--threads {count} is more than the {most} CPUs of this process; give at most {most}"
        for count in threads
        if count > most
    ]


def _length_problems(subject: BenchSubject, lengths: tuple[int, ...]) -> list[str]:
    input_shape = subject.input_shape
    if not input_shape.dynamic_length:
        return [
            f"--lengths {length} does not suit {subject.name}, which takes exactly {input_shape.length} "
            f"tokens; give --lengths {input_shape.length}"
            for length in lengths
            if length != input_shape.length
        ]
    return [
        f"--lengths {length} is too long for {subject.name}, which takes at most {input_shape.length} "
        f"tokens; give at most {input_shape.length}"
        for length in lengths
        if length > input_shape.length
    ]


def _context_problems(subject: BenchSubject, contexts: tuple[int, ...]) -> list[str]:
    capacity = subject.input_shape.length
    return [
        f"--contexts {context} leaves no position for the next token, because {subject.name} has {capacity} "
        f"positions; give at most {capacity - 1}"
        for context in contexts
        if context >= capacity
    ]
