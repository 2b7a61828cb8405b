"""Facts of device files: a value, its source, and whether somebody checked the value in that source."""

from typing import Annotated, Any, ClassVar, Generic, Literal, TypeVar

from pydantic import BeforeValidator, Field, StrictBool, StringConstraints, model_validator

from nf_edge.core.device.isa import Isa
from nf_edge.core.device.sizes import parse_size
from nf_edge.core.yaml_schema import Closed

# The value of a fact that nobody knows yet.
UNKNOWN = "unknown"


def _joined(text: object) -> object:
    return " ".join(text.splitlines()) if isinstance(text, str) else text


# Reports list texts line by line, so a text's line breaks become spaces.
Text = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1), BeforeValidator(_joined)]
# The bounds refuse typing errors: with an absurdly large memory every model would fit.
Size = Annotated[int, Field(gt=0, lt=2**63), BeforeValidator(parse_size, json_schema_input_type=str)]
Count = Annotated[int, Field(gt=0, lt=2**31, strict=True)]
Value = TypeVar("Value")


class Fact(Closed, Generic[Value]):
    """A value, its source (a URL, or the reasoning of an assumption), and whether the source was checked."""

    value: Value
    source: Text
    verified: StrictBool

    may_be_unknown: ClassVar[bool] = False
    """Whether `unknown` is a value of this fact.  It is not for a fact that a verdict depends on."""

    @model_validator(mode="before")
    @classmethod
    def _known_or_marked(cls, fact: object) -> object:
        if not isinstance(fact, dict | cls):
            raise ValueError("a value needs its source; write {value: …, source: …, verified: …}")
        if isinstance(fact, dict) and fact.get("value") == UNKNOWN:
            if not cls.may_be_unknown:
                raise ValueError("is unknown, and verdicts depend on it; fill in its value and its source")
            if fact.get("verified") is True:
                raise ValueError("cannot be unknown and verified; write verified: false")
        elif isinstance(fact, dict) and fact.get("source") == UNKNOWN:
            raise ValueError("a value needs its source: an address, or the reasoning of an assumption")
        return fact


# Classes instead of aliases, so that the JSON schema has a name for each type.
class TextFact(Fact[Text]):
    """A text, or `unknown`, and its source."""

    may_be_unknown = True


class SizeFact(Fact[Size]):
    """A size in bytes, written with a unit such as `512 MiB`, and its source."""


class CountFact(Fact[Count]):
    """A positive whole number and its source."""


def _clock(value: Any) -> Any:
    if value is None:
        raise ValueError(f"must be a number of MHz, or {UNKNOWN}")
    return None if value == UNKNOWN else value


Clock = Annotated[Count | None, BeforeValidator(_clock, json_schema_input_type=Count | Literal["unknown"])]


class ClockFact(Fact[Clock]):
    """A clock in MHz, or `unknown` (null in JSON output), and its source."""

    may_be_unknown = True


class NamesFact(Fact[tuple[Text, ...]]):
    """A list of names, such as the compiler's names of NPUs, and its source."""


class IsaFact(Fact[tuple[Isa, ...]]):
    """The instruction sets of a core and their source."""
