"""The native attention kernel gives what the formula gives, on every instruction set that can be run here."""

import platform
import shutil
import subprocess
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from conftest import tools_missing
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nf_edge.core import native_build
from nf_edge.core.native_build import NativePart
from nf_edge.kernels import binding as kernel
from nf_edge.kernels.binding import FLOAT32, INT8, Cache, HeadNoise, PreparedCall

# The portable one and those of this architecture: one that this CPU lacks is a skipped test that says so.
ISAS = ["portable", "avx2", "avx512", "avx512vnni"]
if platform.machine() in ("aarch64", "arm64"):
    ISAS = ["portable", "neon", "neon_dotprod", "neon_i8mm"]
KINDS = ["none", "lowrank", "pairwise", "relative", "standard"]
AARCH64_CORES = {"cortex-a53": "neon", "cortex-a76": "neon_dotprod", "max": "neon_i8mm"}


pytestmark = pytest.mark.skipif(bool(tools_missing()), reason=tools_missing())

FEW_EXAMPLES = settings(
    max_examples=40,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


@pytest.fixture(params=ISAS)
def isa(request, monkeypatch):
    """Forces an instruction set."""
    if request.param not in kernel.available():
        pytest.skip(f"this CPU has no {request.param}")
    monkeypatch.setenv("NF_EDGE_ISA", request.param)
    assert kernel.in_use() == request.param
    return request.param


@dataclass(frozen=True)
class Case:
    kind: str
    c_kv: np.ndarray  # [T, 2, H, d]: K and V as one projection leaves them
    q: np.ndarray | None  # [T, H, d]
    noise: HeadNoise
    causal: bool
    scale: float

    @property
    def k(self):
        return self.c_kv[:, 0]

    @property
    def v(self):
        return self.c_kv[:, 1]

    def call(self, queries, keys, start=0, **options):
        q = None if self.q is None else self.q[start : start + queries]
        return PreparedCall(
            options.pop("k", self.k),
            options.pop("v", self.v),
            q=q,
            queries=queries,
            keys=keys,
            start=start,
            causal=self.causal,
            scale=self.scale,
            noise=self.noise,
            **options,
        )

    def append(self, cache, first, end, precision, start=None):
        """The tokens from `first` on into a cache, and what those from `start` on give, or all of them."""
        start = first if start is None else start
        k, v = self.k[first:end], self.v[first:end]
        options = {"k": k, "v": v, "cache": cache, "precision": precision}
        return self.call(end - start, end, start, first=first, **options).run()

    def expected(self, queries, keys, start=0, k=None, v=None):
        """The formula in float64.  Keys and values may be others than the query is made from."""
        q = np.swapaxes(self.k if self.q is None else self.q, 0, 1).astype(np.float64)
        q = q[:, start : start + queries]
        keys_seen = np.swapaxes(self.k if k is None else k, 0, 1)[:, :keys].astype(np.float64)
        values = np.swapaxes(self.v if v is None else v, 0, 1)[:, :keys].astype(np.float64)
        if self.noise.a is not None:
            q = q + (q @ self.noise.a) @ np.swapaxes(self.noise.b, 1, 2)
        if self.noise.p is not None:
            q = q + q @ self.noise.p
        scores = q @ np.swapaxes(keys_seen, 1, 2) * self.scale
        i, j = np.arange(start, start + queries)[:, None], np.arange(keys)[None, :]
        if self.noise.bias is not None:
            scores = scores + self.noise.bias[:, abs(i - j)]
        if self.causal:
            scores = np.where(j <= i, scores, -np.inf)
        shares = np.exp(scores - scores.max(axis=-1, keepdims=True))
        shares /= shares.sum(axis=-1, keepdims=True)
        return np.swapaxes(shares @ values, 0, 1).reshape(queries, -1)


def build_case(kind, tokens, heads, size, causal, seed, rank=4):
    rng = np.random.default_rng(seed)

    def draw(*shape, spread=1.0):
        return (rng.standard_normal(shape) * spread).astype(np.float32)

    rank = min(rank, size)
    noise = {
        "lowrank": lambda: HeadNoise(
            a=draw(heads, size, rank, spread=0.3), b=draw(heads, size, rank, spread=0.3)
        ),
        "pairwise": lambda: HeadNoise(p=draw(heads, size, size, spread=0.5 / size**0.5)),
        "relative": lambda: HeadNoise(bias=draw(heads, tokens)),
    }.get(kind, HeadNoise)()
    q = draw(tokens, heads, size) if kind == "standard" else None
    return Case(kind, draw(tokens, 2, heads, size), q, noise, causal, size**-0.5)


def require_near(found, wanted, precision, rms):
    """float32 up to its rounding, int8 by the root mean square of what is off."""
    if precision == FLOAT32:
        np.testing.assert_allclose(found, wanted, atol=2e-5, rtol=1e-4)
    else:
        assert np.sqrt(np.mean((found - wanted) ** 2)) < rms


CASES = st.builds(
    build_case,
    kind=st.sampled_from(KINDS),
    tokens=st.integers(1, 300),
    heads=st.integers(1, 3),
    size=st.one_of(st.integers(1, 256), st.sampled_from([32, 64, 128])),
    causal=st.booleans(),
    seed=st.integers(0, 2**32 - 1),
    rank=st.integers(1, 8),
)


@FEW_EXAMPLES
@given(case=CASES, data=st.data())
def test_float32_agrees_with_the_formula(isa, case, data):
    tokens = len(case.c_kv)
    start = data.draw(st.integers(0, tokens - 1), label="start")
    queries = data.draw(st.integers(1, tokens - start), label="queries")
    keys = data.draw(st.integers(1, tokens), label="keys")
    got = case.call(queries, keys, start).run()
    require_near(got, case.expected(queries, keys, start), FLOAT32, None)


@FEW_EXAMPLES
@given(case=CASES, data=st.data())
def test_int8_is_as_good_as_int8_operands_can_be(isa, case, data):
    tokens = len(case.c_kv)
    keys = data.draw(st.integers(1, tokens), label="keys")
    got = case.call(tokens, keys, precision=INT8).run()
    # Half a step of 127 in each operand moves a score by some 1 %; the shares follow.
    require_near(got, case.expected(tokens, keys), INT8, 0.03)


@FEW_EXAMPLES
@given(case=CASES, precision=st.sampled_from([FLOAT32, INT8]), cut=st.data())
def test_chunks_appended_to_a_cache_agree_with_one_pass(isa, case, precision, cut):
    tokens, heads, size = case.k.shape
    capacity = tokens + cut.draw(st.integers(0, 5), label="spare capacity")
    cache = Cache.empty(heads, capacity, size, FLOAT32)
    cuts = sorted({0, tokens, *cut.draw(st.lists(st.integers(0, tokens), max_size=4), label="cuts")})
    for first, end in pairwise(cuts):
        start = cut.draw(st.integers(first, end - 1), label="first query")
        got = case.append(cache, first, end, precision, start)
        require_near(got, case.expected(end - start, end, start), precision, 0.03)


@FEW_EXAMPLES
@given(case=CASES, precision=st.sampled_from([FLOAT32, INT8]), first=st.data())
def test_an_int8_cache_holds_each_token_to_half_a_step_and_is_attended_as_it_is(isa, case, precision, first):
    tokens, heads, size = case.k.shape
    cache = Cache.empty(heads, tokens, size, INT8)
    split = first.draw(st.integers(1, tokens), label="first chunk")
    for start, end in [(0, split), (split, tokens)]:
        if start == end:
            continue
        got = case.append(cache, start, end, precision)
    held = [
        np.swapaxes(elements * scale[:, :, None], 0, 1)
        for elements, scale in ((cache.k, cache.k_scale), (cache.v, cache.v_scale))
    ]
    for tokens_held, wanted in zip(held, (case.k, case.v), strict=True):
        step = abs(wanted).max(axis=-1, keepdims=True) / 127
        assert (abs(tokens_held - wanted) <= step * 0.501 + 1e-7).all()
    start = split if split < tokens else 0
    require_near(got, case.expected(tokens - start, tokens, start, *held), precision, 0.02)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("precision", [FLOAT32, INT8])
def test_threads_give_the_same_bits(isa, kind, precision):
    case = build_case(kind, 700, 3, 40, True, 1)
    alone = case.call(700, 700, precision=precision).run()
    shared = case.call(700, 700, precision=precision, threads=3).run()
    assert np.array_equal(alone, shared)


@pytest.mark.parametrize("precision", [FLOAT32, INT8])
def test_the_future_and_the_padding_change_no_bit(isa, precision):
    case = build_case("relative", 333, 2, 24, True, 2)
    before = case.call(333, 300, precision=precision).run().copy()
    # int8 values share a unit within a block of keys, so only whole later blocks are beyond influence there.
    changed, same = (200, 200) if precision == FLOAT32 else (256, 256)
    case.c_kv[changed:] *= 1e6
    after = case.call(333, 300, precision=precision).run()
    assert np.array_equal(before[:same], after[:same])
    assert np.isfinite(after).all()


def test_8192_tokens_take_scratch_that_does_not_grow_with_them(isa):
    long, short = (build_case("lowrank", tokens, 1, 16, True, 3) for tokens in (8192, 512))
    call = long.call(8192, 8192)
    assert call.scratch_bytes == short.call(512, 512).scratch_bytes
    got = call.run()
    for row in (0, 1, 4095, 8191):
        np.testing.assert_allclose(got[row : row + 1], long.expected(1, 8192, row), atol=2e-5)


def test_keys_and_values_may_lie_head_by_head(isa):
    case = build_case("none", 50, 3, 17, False, 4)
    k, v = (np.swapaxes(np.ascontiguousarray(np.swapaxes(x, 0, 1)), 0, 1) for x in (case.k, case.v))
    np.testing.assert_allclose(case.call(50, 50, k=k, v=v).run(), case.expected(50, 50), atol=2e-5)


def test_scores_far_apart_neither_overflow_nor_vanish(isa):
    case = build_case("none", 64, 1, 8, True, 5)
    case.c_kv[:, 0] *= 100
    np.testing.assert_allclose(case.call(64, 64).run(), case.expected(64, 64), atol=2e-3)


@pytest.mark.parametrize(
    ("queries", "keys", "start", "message"),
    [(0, 1, 0, "at least 1"), (5, 0, 0, "at least 1"), (5, 5, 8, "capacity"), (5, 9, 2, "capacity")],
)
def test_a_call_that_does_not_fit_is_refused(queries, keys, start, message):
    case = build_case("none", 10, 1, 4, True, 6)
    cache = Cache.empty(1, 10, 4, FLOAT32)
    with pytest.raises(ValueError, match=message):
        case.call(queries, keys, start, cache=cache).run()


def test_an_instruction_set_that_this_cpu_lacks_is_refused(monkeypatch):
    monkeypatch.setenv("NF_EDGE_ISA", "cray1")
    with pytest.raises(ValueError, match="NF_EDGE_ISA"):
        build_case("none", 4, 1, 4, True, 7).call(4, 4).run()


def _self_check(name: str, *settings: str) -> Path:
    self_check = NativePart("kernels", kernel.NATIVE, "self_check", Path("bin", "self_check"))
    return native_build.built(self_check, ["-DNF_ATTENTION_CHECKS=ON", *settings], [name])


@pytest.mark.slow
def test_the_sanitizers_find_nothing():
    flags = "-fsanitize=address,undefined -fno-sanitize-recover=all -g"
    program = _self_check("sanitized", f"-DCMAKE_CXX_FLAGS={flags}", "-DCMAKE_BUILD_TYPE=RelWithDebInfo")
    done = subprocess.run([program], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert [line.split()[0] for line in done.stdout.splitlines()] == kernel.available()


@pytest.fixture(scope="module")
def aarch64_program():
    for tool in ("aarch64-linux-gnu-g++", "qemu-aarch64-static"):
        if not shutil.which(tool):
            pytest.skip(f"{tool} is not installed (apt-get install g++-aarch64-linux-gnu qemu-user-static)")
    return _self_check(
        "aarch64",
        "-DCMAKE_SYSTEM_NAME=Linux",
        "-DCMAKE_SYSTEM_PROCESSOR=aarch64",
        "-DCMAKE_CXX_COMPILER=aarch64-linux-gnu-g++",
        "-DCMAKE_EXE_LINKER_FLAGS=-static",
    )


@pytest.mark.slow
@pytest.mark.parametrize("core", AARCH64_CORES)
def test_an_emulated_arm_core_gives_what_the_formula_gives(aarch64_program, core):
    done = subprocess.run(
        ["qemu-aarch64-static", "-cpu", core, str(aarch64_program)], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.split()[0] == AARCH64_CORES[core]
