"""The forms of the network that NPUs and CMSIS-NN take: the same answers, from rows of one length."""

import numpy as np
import pytest
import torch
from conftest import NOISES, RANDOM_LENGTH, TASKS, random_rows
from torch.overrides import TorchFunctionMode

from nf_edge.backends import backend_for
from nf_edge.backends.cortex_m.form import cortex_m_program
from nf_edge.backends.ethos_u.form import fold, npu_program
from nf_edge.quantization.snr import plain_form


def fold_scale(model):
    for block in model.transformer.blocks:
        block.attn.fold_scale()


RECIPES = {"ethos_u": "ethos-u55-128-int8", "cortex_m": "cortex-m-int8"}
# How a network is changed in place, and what program is made of it.
FORMS = {"NPU": (fold, npu_program), "CMSIS-NN": (fold_scale, cortex_m_program)}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("noise", NOISES)
@pytest.mark.parametrize("task", TASKS)
@torch.no_grad()
def test_a_form_answers_as_the_network_does(task, noise, form, random_network):
    """Both the changed network and the program, whatever the padding."""
    reference, changed = random_network(task, noise), random_network(task, noise)
    change, make_program = FORMS[form]
    change(changed)
    program = make_program(changed, RANDOM_LENGTH).eval()
    for ids, mask, real in random_rows(reference.config):
        wanted, plain, found = (model(ids, mask) for model in (reference, changed, program))
        if task == "language model":
            wanted, plain, found = (logits[:, :real] for logits in (wanted, plain, found))
        for logits in (plain, found):
            assert (logits - wanted).abs().max() <= 1e-5 * wanted.abs().max()


@pytest.mark.parametrize("recipe", [*RECIPES.values(), "vulkan-fp16"])
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


@pytest.mark.parametrize("form", FORMS)
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


@pytest.mark.parametrize("backend", RECIPES)
@pytest.mark.parametrize(
    ("model", "changes", "message"),
    [
        ("sst2", {"length: full": "length: dynamic"}, "takes one length; write full, or a number"),
        ("sst2", {"\ntarget: ": "\n# "}, "target is None, for backend"),
        ("sst2", {"int8_static": "int8_dynamic"}, "quantize.activations must be int8_static"),
        (
            "sst2",
            {"shapes:": '  rules: [{modules: "*.c_proj", weights: float32}]\nshapes:'},
            "takes all linear layers in int8, per_channel",
        ),
        (
            "sst2",
            {"shapes:": '  rules: [{modules: "*.c_fc", weights: int8, activations: int16_static}]\nshapes:'},
            "takes all linear layers in int8, per_channel, with int8_static; leave the rule out",
        ),
        ("shakespeare", {"logits: all": "logits: last"}, "write logits: all"),
    ],
    ids=["length", "target", "activations", "rules", "mixed", "cache"],
)
def test_a_recipe_that_no_fixed_form_takes_says_what_to_change(
    backend, model, changes, message, run, changed_recipe
):
    done = run("export", model, "--recipe", changed_recipe(RECIPES[backend], changes), "--dry-run")
    assert done.code == 3
    assert message in done.err


def test_16_bits_where_no_kernel_has_them_are_refused_with_what_to_write(run, changed_recipe):
    recipe = changed_recipe("cortex-m-int8", {"int8_static": "int16_static"})
    done = run("export", "digits", "--recipe", recipe, "--dry-run")
    assert done.code == 3
    assert "quantize.activations must be int8_static: CMSIS-NN multiplies no others" in done.err
