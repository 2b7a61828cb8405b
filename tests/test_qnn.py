"""Snapdragon HTP: the form of the network, the context binary, and its answers in the simulator."""

import numpy as np
import pytest
import torch
from conftest import NOISES, RANDOM_LENGTH, TASKS, backend_missing

from nf_edge.accuracy.parity import synthetic_rows
from nf_edge.backends.base import Bounds
from nf_edge.backends.qnn.form import HtpProgram, exportable, specialise
from nf_edge.backends.qnn.qdq import write_qdq
from nf_edge.recipe import load_recipe
from nf_edge.rules import precisions

RECIPE = "qnn-sm8650-a16w8"


@pytest.mark.parametrize("noise", NOISES)
@pytest.mark.parametrize("task", TASKS)
@torch.no_grad()
def test_the_htp_form_answers_as_the_network_does(task, noise, random_network):
    """Whatever the padding."""
    reference, specialised = random_network(task, noise), random_network(task, noise)
    specialise(specialised)
    program = exportable(specialised, RANDOM_LENGTH)
    ids = torch.randint(0, 50, (1, RANDOM_LENGTH), generator=torch.Generator().manual_seed(2))
    for real in (RANDOM_LENGTH, 17, 1):
        mask = (torch.arange(RANDOM_LENGTH) < real).long()[None]
        wanted, found = reference(ids, mask), program(ids, mask)
        if task == "language model":
            wanted, found = wanted[:, :real], found[:, :real]
        assert (found - wanted).abs().max() <= 1e-5 * wanted.abs().max()


@pytest.mark.parametrize(("task", "noise"), [(task, "lowrank") for task in TASKS])
def test_the_htp_takes_every_kind_of_model_whole(task, noise, random_network, tmp_path):
    if missing := backend_missing(RECIPE):
        pytest.skip(missing)
    compile_and_compare(random_network(task, noise), tmp_path)


@pytest.mark.parametrize("noise", ["none", "pairwise", "relative", "standard"])
def test_the_htp_takes_every_kind_of_noise_whole(noise, random_network, tmp_path):
    if missing := backend_missing(RECIPE):
        pytest.skip(missing)
    compile_and_compare(random_network("mean, causal", noise), tmp_path)


@torch.no_grad()
def compile_and_compare(model, folder):
    """The context binary of a network beside the network in PyTorch."""
    from nf_edge.backends.qnn.htp import SimulatedSession, compile_context

    rows = synthetic_rows(model.config, RANDOM_LENGTH)
    inputs = []
    for row in rows:
        ids, mask = np.zeros((2, 1, RANDOM_LENGTH), dtype=np.int64)
        ids[0, : len(row.input_ids)], mask[0, : len(row.input_ids)] = row.input_ids, 1
        inputs.append((ids, mask))
    wanted = [model(*map(torch.from_numpy, pair)).numpy() for pair in inputs]
    specialise(model)
    bounds = Bounds(any_batch=False, length=RANDOM_LENGTH, dynamic_length=False, cached=False)
    layers = precisions(load_recipe(RECIPE), model.config)
    write_qdq(HtpProgram(model, inputs), layers, bounds, folder / "quantized.onnx")
    compile_context(folder / "quantized.onnx", "sm8650", folder / "model.onnx")
    session = SimulatedSession(folder / "model.onnx")
    largest = max(np.abs(logits).max() for logits in wanted)
    for pair, logits, row in zip(inputs, wanted, rows, strict=True):
        found = session.run(*pair)
        if logits.ndim == 3:
            found, logits = found[:, : len(row.input_ids)], logits[:, : len(row.input_ids)]
        assert np.abs(found - logits).max() < 0.05 * largest
