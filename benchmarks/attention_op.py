"""Times the attention operators of nf-edge, ONNX Runtime and ExecuTorch, interleaved in one process.

    python benchmarks/attention_op.py [--threads 2]

Causal attention with the shape of GPT-2 base (12 heads of 64).  Prints median times in ms, and how many times
as fast nf-edge is.  Then it times decoding: one query against 900 keys in the caches of 12 layers, in µs per
layer and GB of cache read per second.  ExecuTorch's operator uses every core that it may, so the process is
bound to as many cores as threads.
"""

import argparse
import os
import statistics
import time
from collections.abc import Callable

import numpy as np

from nf_edge.core.quiet import quiet_stderr

HEADS, SIZE = 12, 64
LENGTHS = (128, 512, 1024, 4096)
CONTEXT, LAYERS = 900, 12
SCALE = SIZE**-0.5
SECONDS = 3.0  # per length

Runs = dict[str, Callable[[], object]]


def ours(c_kv: np.ndarray, threads: int) -> Runs:
    from nf_edge.kernels.binding import FLOAT32, INT8, PreparedCall

    tokens = len(c_kv)
    return {
        name: PreparedCall(
            c_kv[:, 0],
            c_kv[:, 1],
            queries=tokens,
            keys=tokens,
            causal=True,
            scale=SCALE,
            precision=precision,
            threads=threads,
        ).run
        for name, precision in (("ours fp32", FLOAT32), ("ours int8", INT8))
    }


def onnxruntime_attention(c_kv: np.ndarray, threads: int) -> Runs:
    import onnxruntime
    from onnx import TensorProto, helper

    width = HEADS * SIZE
    node = helper.make_node(
        "MultiHeadAttention",
        ["q", "k", "v"],
        ["y"],
        domain="com.microsoft",
        num_heads=HEADS,
        unidirectional=1,
    )
    q, k, v, y = (helper.make_tensor_value_info(n, TensorProto.FLOAT, [1, "t", width]) for n in "qkvy")
    opsets = [helper.make_opsetid("", 21), helper.make_opsetid("com.microsoft", 1)]
    model = helper.make_model(helper.make_graph([node], "attention", [q, k, v], [y]), opset_imports=opsets)
    model.ir_version = 10
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(model.SerializeToString(), options)
    k_rows, v_rows = (np.ascontiguousarray(c_kv[:, i]).reshape(1, len(c_kv), width) for i in range(2))
    feed = {"q": k_rows, "k": k_rows, "v": v_rows}
    return {"ORT MultiHeadAttention": lambda: session.run(None, feed)[0]}


def executorch_attention(c_kv: np.ndarray) -> Runs:
    try:
        import torch
        from executorch.extension.llm.custom_ops import custom_ops  # noqa: F401
    except (ImportError, OSError) as error:
        print(f"ExecuTorch's custom_sdpa does not load: {error}")
        return {}
    k, v = (torch.from_numpy(np.ascontiguousarray(c_kv[:, i]))[None] for i in range(2))
    # Quantized before the clock starts, with a scale per head and token; nf-edge's time includes that.
    scales = [x.abs().amax(-1, keepdim=True) / 127 for x in (k, v)]
    codes = [(x / scale).round().to(torch.int8) for x, scale in zip((k, v), scales, strict=True)]
    zero = torch.zeros_like(scales[0], dtype=torch.int8)
    parameters = {
        f"{operand}_{part}": value
        for operand, scale in zip("qkv", (scales[0], *scales), strict=True)
        for part, value in (("scales", scale), ("zero_points", zero))
    }
    return {
        "ET custom_sdpa": lambda: torch.ops.llama.custom_sdpa(k, k, v, 0, None, 0.0, True, SCALE).numpy(),
        "ET custom_quantized_sdpa": lambda: torch.ops.llama.custom_quantized_sdpa(
            codes[0], codes[0], codes[1], 0, is_causal=True, scale=SCALE, **parameters
        ).numpy(),
    }


def interleaved_medians(runs: Runs) -> dict[str, float]:
    """Median seconds of each operator, timed in interleaved rounds."""
    times: dict[str, list[float]] = {name: [] for name in runs}
    end = time.perf_counter() + SECONDS
    while time.perf_counter() < end or len(next(iter(times.values()))) < 5:
        for name, run in runs.items():
            begin = time.perf_counter()
            run()
            times[name].append(time.perf_counter() - begin)
    return {name: statistics.median(values) for name, values in times.items()}


def prefill(threads: int) -> None:
    for tokens in LENGTHS:
        c_kv = np.random.default_rng(0).standard_normal((tokens, 2, HEADS, SIZE)).astype(np.float32)
        mine = ours(c_kv, threads)
        peers = {**onnxruntime_attention(c_kv, threads), **executorch_attention(c_kv)}
        with quiet_stderr():
            outputs = {name: np.asarray(run()).reshape(tokens, -1) for name, run in {**mine, **peers}.items()}
        for name, output in outputs.items():
            difference = abs(output - outputs["ours fp32"]).max()
            limit = 1e-4 if name in ("ours fp32", "ORT MultiHeadAttention", "ET custom_sdpa") else 0.1
            assert difference < limit, f"{name} differs from ours fp32 by {difference}"
        with quiet_stderr():  # custom_sdpa warns at each call
            medians = interleaved_medians({**mine, **peers})
        operations = 4 * HEADS * SIZE * tokens * (tokens + 1) / 2
        for name, seconds in medians.items():
            ratios = "  ".join(f"{medians[peer] / seconds:.2f}x {peer}" for peer in peers if name in mine)
            rate = operations / seconds / 1e9
            print(f"T={tokens:<5} {name:<24}{seconds * 1e3:9.2f} ms {rate:6.0f} Gop/s  {ratios}")


def decode(threads: int) -> None:
    from nf_edge.kernels.binding import FLOAT32, INT8, Cache, PreparedCall

    rng = np.random.default_rng(0)
    for name, precision in (("fp32", FLOAT32), ("int8", INT8)):
        layers = []
        for _ in range(LAYERS):
            cache = Cache.empty(HEADS, CONTEXT, SIZE, precision)
            c_kv = rng.standard_normal((CONTEXT, 2, HEADS, SIZE)).astype(np.float32)
            options = {"causal": True, "scale": SCALE, "cache": cache, "threads": threads}
            before, last = c_kv[:-1], c_kv[-1:]
            PreparedCall(before[:, 0], before[:, 1], queries=CONTEXT - 1, keys=CONTEXT - 1, **options).run()
            layers.append(
                PreparedCall(last[:, 0], last[:, 1], queries=1, keys=CONTEXT, start=CONTEXT - 1, **options)
            )

        def token(layers: list[PreparedCall] = layers) -> None:
            for layer in layers:
                layer.run()

        seconds = interleaved_medians({"token": token})["token"] / LAYERS
        token_bytes = SIZE * 4 if precision == FLOAT32 else SIZE + 4
        rate = 2 * HEADS * CONTEXT * token_bytes / seconds / 1e9
        print(f"decode, {name} cache of {CONTEXT}: {seconds * 1e6:.0f} us per layer, {rate:.1f} GB/s")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--threads", type=int, default=1)
    threads = parser.parse_args().threads
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[-threads:])
    os.environ["OMP_NUM_THREADS"] = str(threads)
    from nf_edge.kernels import binding as kernel

    print(f"{kernel.in_use()}, {threads} threads, load average {os.getloadavg()[0]:.1f}")
    prefill(threads)
    decode(threads)


if __name__ == "__main__":
    main()
