"""The limits that a caller gives to `check` and `export`, in place of the recipe's."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, get_args

from nf_edge.core.errors import BadInput, quoted
from nf_edge.core.limits import LimitsOn, MaxDrop, loss_problem, points_problem
from nf_edge.pipeline.api.arguments import require_finite

if TYPE_CHECKING:
    from nf_edge.core.recipe.recipe import Limits


@dataclass(frozen=True)
class GivenLimits:
    """The limits that a caller gives; None: the recipe's limit applies.

    Raises:
        BadInput: a metric is unknown, or a limit is out of range or so small that a share was probably meant.
    """

    max_drop: MaxDrop | None = None
    max_changed: float | None = None
    max_kl: float | None = None
    on: LimitsOn | None = None

    def __post_init__(self) -> None:
        if self.max_drop is not None:
            _require_losses(self.max_drop)
        for name in ("max_changed", "max_kl"):
            if getattr(self, name) is not None:
                require_finite(name, getattr(self, name))
        if self.max_changed is not None and self.max_changed > 100:
            raise BadInput(f"`max_changed` must be at most 100 percent, not {self.max_changed:g}")
        if self.on not in (None, *get_args(LimitsOn)):
            raise BadInput(f"`limits_on` must be `estimate` or `interval`, not {quoted(self.on)}")

    @property
    def by_argument(self) -> dict[str, Any]:
        """The value of each argument by its name, such as `max_kl`; None: the caller did not give it."""
        return {
            "max_drop": self.max_drop,
            "max_changed": self.max_changed,
            "max_kl": self.max_kl,
            "limits_on": self.on,
        }

    def over(self, limits: "Limits", *, labelled: bool) -> "Limits":
        """A recipe's limits, except that each given limit replaces the recipe's.

        Args:
            labelled: whether the rows have labels.  Without labels, no drop can be computed.  The recipe's
                `max_drop` then does not apply if `max_changed` or `max_kl` is given.
        """
        names = ("max_drop", "max_changed", "max_kl", "on")
        given = {name: getattr(self, name) for name in names if getattr(self, name) is not None}
        if not labelled and given.keys() & {"max_changed", "max_kl"}:
            given.setdefault("max_drop", None)
        return type(limits).model_validate(limits.model_dump() | given)


def _require_losses(max_drop: MaxDrop) -> None:
    """Raise BadInput unless `max_drop` is a number of points, or a mapping from metrics to losses."""
    losses = max_drop if isinstance(max_drop, Mapping) else {"": max_drop}
    if not losses:
        raise BadInput("`max_drop` names no metric", fix="give {METRIC: LOSS}, or leave out `max_drop`")
    for name, loss in losses.items():
        require_finite(f"max_drop[{quoted(name)}]" if name else "max_drop", loss)
        if problem := loss_problem(name, loss) if name else points_problem(loss):
            raise BadInput(f"`max_drop`: {problem}")
