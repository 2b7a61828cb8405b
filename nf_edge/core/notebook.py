"""How values show themselves in a notebook, without importing what draws them."""

from collections.abc import Callable


def _nothing(value: object) -> str | None:
    return None


# `nf_edge.pipeline.api` sets it: value → HTML.
render: Callable[[object], str | None] = _nothing


class Shown:
    """A value that a notebook shows as HTML."""

    def _repr_html_(self) -> str | None:
        return render(self)
