"""The function that compares a checkpoint with many devices."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from nf_edge.core.errors import BadInput
from nf_edge.pipeline.api.arguments import Named, optional_path, place_of, require_list
from nf_edge.pipeline.api.devices import list_devices
from nf_edge.pipeline.api.resolver import Notify, Resolver

if TYPE_CHECKING:
    from nf_edge.core.device import Device
    from nf_edge.core.recipe.recipe import Recipe
    from nf_edge.model import Checkpoint
    from nf_edge.pipeline.devices_fit import DevicesFit


def devices_fit(
    checkpoint: "Named | Checkpoint",
    *,
    recipes: "Sequence[Named | Recipe]" = (),
    devices: "Sequence[Named | Device]" = (),
    html: Named | None = None,
    overwrite: bool = False,
    notify: Notify | None = None,
) -> "DevicesFit":
    """Which recipes of a checkpoint fit which devices, from the checkpoint's config alone.

    Args:
        recipes: the recipes; empty: all bundled recipes.
        devices: the devices; empty: the bundled devices and those of the user's folders.
        html: the page to write; None: no page.

    Returns:
        A DevicesFit with a verdict for every device and recipe, as `profile` gives it.  Its `failure` is an
        error if `devices` are given and no recipe fits one of them.

    Raises:
        BadInput: an input is invalid, or the page cannot be written.
    """
    from nf_edge.core.files import write_text
    from nf_edge.core.output_checks import check_file
    from nf_edge.core.recipe.recipe import bundled_recipes
    from nf_edge.pipeline import devices_fit as job

    require_list("recipes", recipes)
    require_list("devices", devices)
    resolver, page = Resolver(notify), optional_path(html)
    if overwrite and page is None:
        raise BadInput("overwrite needs html; give html, or leave overwrite out")
    if page is not None:
        sources = [path for each in recipes for path in place_of("recipes", each)]
        sources += [path for each in devices for path in place_of("devices", each)]
        check_file(page, overwrite=overwrite, sources=[*sources, *place_of("checkpoints", checkpoint)])
    report = job.devices_fit(
        resolver.outline(checkpoint),
        [resolver.recipe(each) for each in recipes] or bundled_recipes(),
        [resolver.device(each) for each in devices] or list_devices(notify=notify),
        gated=bool(devices),
    )
    if page is not None:
        from nf_edge.render.html.devices_fit_page import devices_fit_page

        write_text(page, devices_fit_page(report), overwrite=overwrite)
    return report
