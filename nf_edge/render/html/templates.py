"""Templates of the HTML pages."""

from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from nf_edge.render.html.colours import css


def filled(template: str, **facts: Any) -> str:
    """The HTML of a template filled with `facts`, which are escaped."""
    environment = Environment(
        loader=PackageLoader("nf_edge", "render/html"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template(template).render(light=css(dark=False), dark=css(dark=True), **facts)
