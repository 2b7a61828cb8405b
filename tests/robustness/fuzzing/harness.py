"""One damaged input: made from a seed, given to its reader, and judged."""

import contextlib
import random
import re
import resource
import shutil
import signal
import time
import traceback
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from fuzzing import mutators
from fuzzing.targets import Target
from nf_edge.core.errors import NfEdgeError

# Of the processor; what waits takes none, and a machine that is busy elsewhere gives it slowly.
SECONDS, WALL_SECONDS = 10, 60
# Of address space beyond what the process has already: libraries that are loaded later need some of it.
MEMORY = 2 * 2**30
MOST_MESSAGE = 10_000
BYTE_MUTATORS = mutators.BYTES
# Of the inputs, how many have something else than a file in the place of one.
PLACE_SHARE = 0.06


class Hang(BaseException):
    """It takes too long; no `except Exception` on the way may stop it."""


@dataclass(frozen=True)
class Input:
    """A damaged input: a target, and the seeds of the steps that damage its file, in turn.

    `place` is what stands in the file's place instead, by its index in `mutators.PLACES`.
    """

    target: int
    steps: tuple[int, ...] = ()
    place: int | None = None

    @classmethod
    def random(cls, rng: random.Random, targets: int) -> "Input":
        target = rng.randrange(targets)
        if rng.random() < PLACE_SHARE:
            return cls(target, place=rng.randrange(len(mutators.PLACES)))
        return cls(target, tuple(rng.randrange(2**32) for _ in range(rng.choice([1, 1, 1, 2, 3]))))

    def smaller(self) -> Iterator["Input"]:
        """The same with a step less."""
        for i in range(len(self.steps) if len(self.steps) > 1 else 0):
            yield replace(self, steps=self.steps[:i] + self.steps[i + 1 :])


def damage(target: Target, steps: tuple[int, ...], content: bytes) -> bytes:
    for step in steps:
        rng = random.Random(step)
        structural = target.mutators and rng.random() < 0.6
        try:
            content = rng.choice(list(target.mutators) if structural else BYTE_MUTATORS)(rng, content)
        except Exception:  # What is spoiled already may have no structure to spoil.
            content = mutators.flip_bits(rng, content)
    return content


def prepare(target: Target, spoiled: Input, base: Path, scratch: Path) -> Path:
    """A copy of the seed with one file damaged."""
    folder = scratch / target.seed
    shutil.rmtree(scratch, ignore_errors=True)
    folder.mkdir(parents=True)
    for file in (base / target.seed).iterdir():
        if file.name != target.file:
            shutil.copyfile(file, folder / file.name)
    place = folder / target.file
    if spoiled.place is not None:
        mutators.PLACES[spoiled.place](place)
    else:
        place.write_bytes(damage(target, spoiled.steps, (base / target.seed / target.file).read_bytes()))
    return folder


@contextlib.contextmanager
def bounded() -> Iterator[None]:
    """Whatever takes longer, or wants more memory, fails."""

    def stop(number: int, frame: object) -> None:
        raise Hang

    before = {number: signal.signal(number, stop) for number in (signal.SIGALRM, signal.SIGPROF)}
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + MEMORY, hard))
    signal.setitimer(signal.ITIMER_REAL, WALL_SECONDS)
    signal.setitimer(signal.ITIMER_PROF, SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.setitimer(signal.ITIMER_PROF, 0)
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))
        for number, handler in before.items():
            signal.signal(number, handler)


def fault_of(target: Target, spoiled: Input, base: Path, scratch: Path) -> tuple[bool, str]:
    """Whether the input was accepted, and what is wrong with what became of it; "" if nothing is."""
    folder = prepare(target, spoiled, base, scratch)
    began = time.process_time()
    try:
        with bounded():
            target.read(folder)
    except NfEdgeError as error:
        return False, _fault_of_message(error) or _fault_of_time(began)
    except Hang:
        return False, f"it takes more than {SECONDS} s"
    except BaseException as error:
        if isinstance(error, KeyboardInterrupt):
            raise
        where = traceback.extract_tb(error.__traceback__)[-1]
        return (
            False,
            f"{type(error).__name__} at {Path(where.filename).name}:{where.lineno}: {str(error)[:200]}",
        )
    return True, _fault_of_time(began)


def _fault_of_time(began: float) -> str:
    seconds = time.process_time() - began
    return f"it takes {seconds:.0f} s" if seconds > SECONDS else ""


def _fault_of_message(error: NfEdgeError) -> str:
    text = str(error)
    if not 2 <= error.exit_code <= 6:
        return f"exit code {error.exit_code}"
    if not text.strip() or len(text) > MOST_MESSAGE:
        return f"a message of {len(text)} characters"
    if re.search(r"[^\n\x20-\x7e\u00a0-\U0010ffff]", text) or not text.replace("\n", "").isprintable():
        return f"a message with control characters: {text[:100]!r}"
    if "Traceback" in text or 'File "' in text:
        return "a traceback within the message"
    return ""


def shrunk(target: Target, spoiled: Input, base: Path, scratch: Path) -> Input:
    """The fewest steps that still end in a fault."""
    for smaller in spoiled.smaller():
        if fault_of(target, smaller, base, scratch)[1]:
            return shrunk(target, smaller, base, scratch)
    return spoiled
