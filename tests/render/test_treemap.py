"""Treemaps: the areas are proportional to the values, nothing overlaps, and everything is inside."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nf_edge.render.html.layout_charts import MAP_HEIGHT, MAP_WIDTH, tiles_of
from nf_edge.render.treemap import Rect, squarified

SIZES = st.lists(st.integers(1, 10**5), min_size=1, max_size=40)


def check(rects, values, into):
    for rect, value in zip(rects, values, strict=True):
        assert rect.area == pytest.approx(into.area * value / sum(values), rel=1e-6)
        assert rect.x >= into.x - 1e-6
        assert rect.y >= into.y - 1e-6
        assert rect.x + rect.width <= into.x + into.width + 1e-6
        assert rect.y + rect.height <= into.y + into.height + 1e-6
    for one, other in itertools.combinations(rects, 2):
        across = min(one.x + one.width, other.x + other.width) - max(one.x, other.x)
        up = min(one.y + one.height, other.y + other.height) - max(one.y, other.y)
        assert across <= 1e-6 or up <= 1e-6


@given(SIZES, st.floats(1, 1000), st.floats(1, 1000))
def test_areas_are_proportional_inside_and_apart(sizes, width, height):
    values, into = sorted(sizes, reverse=True), Rect(3, 5, width, height)
    check(squarified(values, into), values, into)


@given(SIZES)
def test_the_tiles_of_layers_are_proportional_to_their_bytes(sizes):
    blocks = (f"transformer.h.{block}.{part}" for block in range(20) for part in ("attn", "mlp", "ln_1"))
    names = list(itertools.islice(blocks, len(sizes)))
    weights = dict(zip(names, sizes, strict=True))
    tiles = tiles_of(weights)
    check([tiles[name] for name in names], sizes, Rect(0, 0, MAP_WIDTH, MAP_HEIGHT))


def test_equal_values_are_nearly_squares():
    rects = squarified([1] * 12, Rect(0, 0, 400, 300))
    assert all(0.5 <= rect.width / rect.height <= 2 for rect in rects)


def test_a_layer_without_bytes_has_no_tile():
    assert set(tiles_of({"head": 10, "transformer.ln_f": 0})) == {"head"}
