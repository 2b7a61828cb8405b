"""Vela's cycles for a NoiseFormer on Ethos-U NPUs, before and after backend ethos_u rewrites its graph.

    python benchmarks/ethos_u.py [ethos-u55-128 ethos-u85-256]

The network has two causal layers with T = 64, D = 128 and 4 heads.  Weights and inputs are random (seed 0).
All but the embeddings is static int8.  It is measured without noise, and with low-rank noise of rank 4.

`stock` is the plain network, with a mask of −30.  `form` is the network that backend ethos_u makes of the
same weights: once for all tokens, and once for the last token only, as for a classifier with last-token
pooling.  Cycles are Vela's estimate.  The int8 error is √(mean (int8 − float32)² / mean float32²) on 32
inputs outside the calibration.  Needs nf-edge[ethos].
"""

import argparse
import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nf_edge.backends.ethos_u.form import Body, fold
from nf_edge.backends.ethos_u.quantizer import npu_quantizer
from nf_edge.backends.ethos_u.vela import compile_program
from nf_edge.backends.executorch.capture import quantize_captured
from nf_edge.backends.lowering_report import Estimate
from nf_edge.core.quiet import quiet_libraries
from nf_edge.model.config import CLASSIFIER, ModelConfig, NoiseConfig
from nf_edge.model.network import SequenceClassifier

LENGTH, WIDTH, HEADS, LAYERS, RANK = 64, 128, 4, 2, 4
CALIBRATED, TESTED = 32, 32


class Stock(nn.Module):
    """A classifier without its embeddings, in plain PyTorch operators."""

    def __init__(self, model: SequenceClassifier) -> None:
        super().__init__()
        self.blocks, self.ln_f, self.score = model.transformer.h, model.transformer.ln_f, model.score
        self.register_buffer("mask", torch.triu(torch.full((LENGTH, LENGTH), -30.0), 1)[None, None])

    def forward(self, x: Tensor) -> Tensor:
        for block in self.blocks:
            h = block.ln_1(x)
            k, v = (
                F.linear(h, weight, bias).view(1, LENGTH, HEADS, -1).transpose(1, 2)
                for weight, bias in zip(
                    block.attn.c_kv.weight.split(WIDTH), block.attn.c_kv.bias.split(WIDTH), strict=True
                )
            )
            scores = block.attn.noise.query(k) @ k.transpose(-1, -2) / math.sqrt(WIDTH // HEADS)
            y = torch.softmax(scores + self.mask, dim=-1) @ v
            x = x + block.attn.c_proj(y.transpose(1, 2).reshape(1, LENGTH, WIDTH))
            x = x + block.mlp(block.ln_2(x))
        return self.score(self.ln_f(x)[:, -1])


class Form(nn.Module):
    """The rewritten classifier; its score is on the NPU too, so that it does the same work as `Stock`."""

    def __init__(self, model: SequenceClassifier, last_only: bool) -> None:
        super().__init__()
        fold(model)
        self.body = Body(model, LENGTH, "last" if last_only else "all")
        self.score = nn.Linear(WIDTH, model.config.num_labels or 0)
        with torch.no_grad():
            self.score.weight.copy_(model.score.weight * model.transformer.ln_f.weight)
            self.score.bias.copy_(model.score.weight @ model.transformer.ln_f.bias)

    def forward(self, x: Tensor, hidden: Tensor | None, pick: Tensor | None) -> Tensor:
        return self.score(self.body(x, hidden, pick)[:, -1])


@dataclass(frozen=True)
class Result:
    estimate: Estimate
    error: float


def classifier(rank: int) -> SequenceClassifier:
    """A classifier with the same random weights at each call."""
    torch.manual_seed(0)
    noise = NoiseConfig(kind="lowrank", rank=rank) if rank else NoiseConfig()
    model = SequenceClassifier(
        ModelConfig(
            architectures=(CLASSIFIER,),
            vocab_size=2,
            n_positions=LENGTH,
            n_embd=WIDTH,
            n_layer=LAYERS,
            n_head=HEADS,
            num_labels=2,
            noise=noise,
        )
    )
    for block in model.transformer.blocks:
        for name, parameter in block.attn.noise.named_parameters():
            if name in "ab":
                nn.init.normal_(parameter, std=0.3)
    return model.eval()


def inputs(last_only: bool | None) -> list[tuple[Tensor | None, ...]]:
    """Inputs of a program: the stream [1, T, D]; for the form also centred, with mask and selection."""
    generator = torch.Generator().manual_seed(1)
    streams = torch.randn(CALIBRATED + TESTED, 1, LENGTH, WIDTH, generator=generator)
    if last_only is None:
        return [(x,) for x in streams]
    centred = streams - streams.mean(dim=-1, keepdim=True)
    if not last_only:
        return [(x, None, None) for x in centred]
    pick = F.one_hot(torch.tensor([[LENGTH - 1]]), LENGTH).float()
    return [(x, torch.zeros(1, LENGTH, 1), pick) for x in centred]


@torch.no_grad()
def measure(program: nn.Module, rows: list[tuple[Tensor | None, ...]], target: str) -> Result:
    with quiet_libraries():
        calibration_rows, test_rows = rows[:CALIBRATED], rows[CALIBRATED:]
        quantized = quantize_captured(
            torch.export.export(program, rows[0]), npu_quantizer(target, "int8_static"), calibration_rows
        )
        compiled = compile_program(torch.export.export(quantized, rows[0]), target)
        expected, actual = (torch.cat([f(*row) for row in test_rows]) for f in (program, quantized))
    error = ((actual - expected).square().mean() / expected.square().mean()).sqrt()
    return Result(compiled.estimate, float(error))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("targets", nargs="*", default=["ethos-u55-128", "ethos-u85-256"])
    targets = parser.parse_args().targets
    print(
        f"{'target':15}{'noise':>6}  {'program':22}{'cycles':>10}{'ratio':>7}{'SRAM':>11}{'int8 error':>12}"
    )
    for target in targets:
        for rank in (0, RANK):
            stock = None
            for name, last_only in (("stock", None), ("form, all tokens", False), ("form, last token", True)):
                model = classifier(rank)
                program = Stock(model) if last_only is None else Form(model, last_only)
                result = measure(program.eval(), inputs(last_only), target)
                cycles = result.estimate.cycles.value or 0
                stock = stock or cycles
                print(
                    f"{target:15}{rank:>6}  {name:22}{cycles:>10,.0f}{cycles / stock:>7.3f}"
                    f"{result.estimate.sram!s:>11}{result.error:>12.4f}",
                    flush=True,
                )


if __name__ == "__main__":
    main()
