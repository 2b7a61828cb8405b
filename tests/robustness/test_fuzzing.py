"""Damaged inputs are refused with one message, or are what they say; `fuzzing/` tries many more."""

import hypothesis.strategies as st
import pytest
from fuzzing import mutators, seeds
from fuzzing.harness import Input, fault_of
from fuzzing.targets import targets
from hypothesis import HealthCheck, Phase, given, settings

INPUTS = 300
# Seeds of the steps that damage an input, in turn.
STEPS = st.lists(st.integers(0, 2**32 - 1), min_size=1, max_size=3).map(tuple)


@pytest.fixture(scope="module")
def base(tmp_path_factory, exported):
    """A good input of every kind, an artifact among them."""
    folder = tmp_path_factory.mktemp("fuzzing") / "seeds"
    seeds.make(folder)
    (folder / "artifact").symlink_to(exported("lm-none", "onnx-fp32").path)
    return folder


@pytest.fixture(scope="module")
def scratch(tmp_path_factory):
    return tmp_path_factory.mktemp("fuzzing") / "input"


def test_an_undamaged_input_is_accepted(base, scratch):
    for i, target in enumerate(targets(base, ["artifact"])):
        assert fault_of(target, Input(i), base, scratch) == (True, ""), target.name


@pytest.mark.slow
def test_a_pipe_or_device_in_place_of_a_file_neither_blocks_nor_crashes(base, scratch):
    for i, target in enumerate(targets(base, ["artifact"])):
        for place in range(len(mutators.PLACES)):
            accepted, fault = fault_of(target, Input(i, place=place), base, scratch)
            assert fault == "", f"{target.name}, {mutators.PLACES[place].__name__}"
            missing = mutators.PLACES[place].__name__ == "_missing"
            assert not accepted or missing, f"{target.name}, {mutators.PLACES[place].__name__}"


@pytest.mark.slow
def test_a_damaged_input_is_refused_with_one_message_or_is_what_it_says(base, scratch):
    all_targets = targets(base, ["artifact"])

    @settings(
        max_examples=INPUTS,
        phases=[Phase.generate, Phase.shrink],
        suppress_health_check=list(HealthCheck),
    )
    @given(st.integers(0, len(all_targets) - 1), STEPS)
    def try_one(target, steps):
        _, fault = fault_of(all_targets[target], Input(target, steps), base, scratch)
        assert fault == "", all_targets[target].name

    try_one()
