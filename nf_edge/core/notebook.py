"""HTML rendering of values in notebooks, without importing the renderers."""

from collections.abc import Callable


def _nothing(value: object) -> str | None:
    return None


# The function from a value to HTML; `nf_edge.pipeline.api` sets it.
render: Callable[[object], str | None] = _nothing


class HtmlValue:
    """Base of values that a notebook displays as HTML."""

    def _repr_html_(self) -> str | None:
        return render(self)
