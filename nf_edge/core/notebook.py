"""Let notebooks display values as HTML.  This module imports no renderer."""

from collections.abc import Callable


def _nothing(value: object) -> str | None:
    return None


# A function that returns the HTML of a value, or None; `nf_edge.pipeline.api` sets it.
render: Callable[[object], str | None] = _nothing


class HtmlValue:
    """Base of values that a notebook displays as HTML."""

    def _repr_html_(self) -> str | None:
        return render(self)
