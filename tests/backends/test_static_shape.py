"""The forms of the network that NPUs and CMSIS-NN take: the same answers, from rows of one length."""

import numpy as np
import pytest
import torch
from conftest import RANDOM_LENGTH, TASKS
from forms import FORMS
from torch.overrides import TorchFunctionMode

from nf_edge.backends import backend_for
from nf_edge.backends.ethos_u.form import fold
from nf_edge.quantization.snr import plain_form


@pytest.mark.parametrize("recipe", ["cortex-m-int8", "vulkan-fp16"])
def test_a_file_takes_pad_tokens_that_end_a_text_for_padding(recipe, exported):
    """Which the host tells from the ids, beside what the delegate computes."""
    artifact = exported("cls-last-not-pad", recipe)
    session = backend_for(artifact.manifest.recipe).session(artifact.model_file)
    pad = artifact.manifest.interface.pad_token_id
    ids = np.array([[3, 1, pad, 1, 9, 2, pad, pad, pad, pad]])
    all_real, real = np.ones_like(ids), (np.arange(10) < 6).astype(np.int64)[None]
    wanted = session.run(ids, real)
    np.testing.assert_array_equal(session.run(ids, all_real), wanted)
    assert not np.array_equal(session.run(np.where(np.arange(10) < 5, ids, pad), all_real), wanted)


@pytest.mark.parametrize("recipe", ["ethos-u85-256-int8", "cortex-m-int8", "coreml-fp16", "vulkan-fp16"])
def test_a_language_model_has_no_cache_there_and_the_message_says_what_to_write(recipe, run, changed_recipe):
    recipe = changed_recipe(recipe, {"logits: all": "logits: last"})
    done = run("export", "shakespeare", "--recipe", recipe, "--dry-run")
    assert done.code == 3
    assert "no cache" in done.err
    assert "write logits: all" in done.err


@torch.no_grad()
def test_errors_of_a_tied_table_are_told_against_the_table_that_the_npu_form_has(random_network):
    """It parts from its head, which is not centred."""
    reference, folded = (
        random_network("language model", "lowrank"),
        random_network("language model", "lowrank"),
    )
    fold(folded)
    plain = plain_form(random_network("language model", "lowrank"), folded)
    assert torch.equal(plain.transformer.wte.weight, folded.transformer.wte.weight)
    ids = torch.arange(RANDOM_LENGTH)[None]
    wanted = reference(ids)
    assert (plain(ids) - wanted).abs().max() <= 1e-5 * wanted.abs().max()


@pytest.mark.parametrize("form", ["Ethos-U", "CMSIS-NN"])
@pytest.mark.parametrize("task", TASKS)
@torch.no_grad()
def test_no_value_of_a_form_leaves_the_range_of_its_int8_neighbours(task, form, random_network):
    """A mask of -1e9 among scores would leave them one level of 256."""
    change, make_program = FORMS[form]
    change(changed := random_network(task, "lowrank"))
    program = make_program(changed, RANDOM_LENGTH).eval()
    mask = (torch.arange(RANDOM_LENGTH) < 17).long()[None]
    given = program.lookup(torch.zeros(1, RANDOM_LENGTH, dtype=torch.int64), mask)
    with Largest() as values:
        program.body(*given)
    assert len(values.found) > 50
    assert max(values.found) < 1e3


class Largest(TorchFunctionMode):
    """Of each function that is called meanwhile, the largest value that it takes or makes."""

    def __enter__(self):
        self.found = []
        return super().__enter__()

    def __torch_function__(self, function, types, args=(), kwargs=None):
        made = function(*args, **(kwargs or {}))
        values = [value for value in (*args, made) if isinstance(value, torch.Tensor) and value.numel()]
        self.found += [value.abs().max().item() for value in values]
        return made
