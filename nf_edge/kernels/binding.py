"""Call the native attention kernel on NumPy arrays through its C interface."""

import ctypes
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from nf_edge.core import native_build
from nf_edge.core.native_build import NativePart
from nf_edge.core.targets import BuildTarget

NATIVE = Path(__file__).parent / "native"
FLOAT32, INT8 = 0, 1

Floats = NDArray[np.float32]


class _Rows(ctypes.Structure):
    _fields_ = (
        ("data", ctypes.c_void_p),
        ("head_stride", ctypes.c_int64),
        ("token_stride", ctypes.c_int64),
    )


class _Cache(ctypes.Structure):
    _fields_ = (
        ("precision", ctypes.c_int),
        ("capacity", ctypes.c_int64),
        ("k", ctypes.c_void_p),
        ("v", ctypes.c_void_p),
        ("k_scale", ctypes.c_void_p),
        ("v_scale", ctypes.c_void_p),
    )


class _Call(ctypes.Structure):
    _fields_ = (
        ("heads", ctypes.c_int64),
        ("head_size", ctypes.c_int64),
        ("queries", ctypes.c_int64),
        ("start", ctypes.c_int64),
        ("first", ctypes.c_int64),
        ("rows", ctypes.c_int64),
        ("keys", ctypes.c_int64),
        ("causal", ctypes.c_int32),
        ("scale", ctypes.c_float),
        ("precision", ctypes.c_int),
        ("q", _Rows),
        ("k", _Rows),
        ("v", _Rows),
        ("noise_a", ctypes.c_void_p),
        ("noise_b", ctypes.c_void_p),
        ("rank", ctypes.c_int64),
        ("noise_p", ctypes.c_void_p),
        ("bias", ctypes.c_void_p),
        ("positions", ctypes.c_int64),
        ("cache", ctypes.POINTER(_Cache)),
        ("out", ctypes.c_void_p),
    )


_TASK = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_size_t)
_PARALLEL_FOR = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_size_t, _TASK, ctypes.c_void_p)


@dataclass(frozen=True)
class Cache:
    """Keys and values of earlier tokens: [H, capacity, d], float32, or int8 with scales [H, capacity]."""

    k: NDArray[np.float32] | NDArray[np.int8]
    v: NDArray[np.float32] | NDArray[np.int8]
    k_scale: Floats | None = None
    v_scale: Floats | None = None

    @staticmethod
    def empty(heads: int, capacity: int, head_size: int, precision: int) -> "Cache":
        """Create a cache of zeros; `precision` is FLOAT32 or INT8."""
        shape = (heads, capacity, head_size)
        if precision == FLOAT32:
            return Cache(np.zeros(shape, np.float32), np.zeros(shape, np.float32))
        scales = [np.zeros(shape[:2], np.float32) for _ in range(2)]
        return Cache(np.zeros(shape, np.int8), np.zeros(shape, np.int8), *scales)

    def struct(self) -> _Cache:
        """The C struct of the cache.  It contains addresses of this object's arrays, so keep this object."""
        return _Cache(
            FLOAT32 if self.k.dtype == np.float32 else INT8,
            self.k.shape[1],
            *(
                None if array is None else array.ctypes.data
                for array in (self.k, self.v, self.k_scale, self.v_scale)
            ),
        )


@dataclass(frozen=True)
class HeadNoise:
    """The learned noise of all heads; None for absent parameters.

    Attributes:
        a, b: [H, d, r]: Q = K + (K A) Bᵀ.
        p: [H, d, d]: Q = K + K P.
        bias: [H, positions]: added to the scaled score, by the distance between query and key.
    """

    a: Floats | None = None
    b: Floats | None = None
    p: Floats | None = None
    bias: Floats | None = None


class PreparedCall:
    """A kernel call with its operands and scratch buffer; it can run many times.

    Args:
        k, v: float32 [T, H, d] or views with a contiguous last dimension.  Without a cache, row i is position
            i; with a cache, the rows are new tokens, appended from position `first` on.
        queries: number of queries; the first is at position `start`.  With a cache, all queries are new
            tokens.
        keys: number of real keys; the first is at position 0.
        first: position of the first new token; None is `start`.
        q: float32 [queries, H, d]; None computes the query from K and `noise`.
        threads: number of threads that share the work.

    Raises:
        ValueError: an operand is not contiguous float32.
    """

    def __init__(
        self,
        k: Floats,
        v: Floats,
        *,
        queries: int,
        keys: int,
        causal: bool,
        scale: float,
        start: int = 0,
        first: int | None = None,
        q: Floats | None = None,
        noise: HeadNoise | None = None,
        cache: Cache | None = None,
        precision: int = FLOAT32,
        threads: int = 1,
    ) -> None:
        noise = noise or HeadNoise()
        _, heads, size = k.shape
        self._library = _loaded(None)
        self.out = np.full((queries, heads * size), np.nan, np.float32)
        # The C struct contains only addresses, so the operands must stay alive.
        self._operands = (k, v, q, noise, cache)
        self._threads = threads
        self._pool = ThreadPoolExecutor(threads) if threads > 1 else None
        self._call = _Call(
            heads=heads,
            head_size=size,
            queries=queries,
            start=start,
            first=start if first is None else first,
            rows=k.shape[0],
            keys=keys,
            causal=causal,
            scale=scale,
            precision=precision,
            q=_Rows() if q is None else _rows(q),
            k=_rows(k),
            v=_rows(v),
            noise_a=_address(noise.a),
            noise_b=_address(noise.b),
            rank=0 if noise.a is None else noise.a.shape[2],
            noise_p=_address(noise.p),
            bias=_address(noise.bias),
            positions=0 if noise.bias is None else noise.bias.shape[1],
            out=self.out.ctypes.data,
        )
        if cache is not None:
            self._call.cache = ctypes.pointer(cache.struct())
        self.scratch_bytes = self._library.nf_attention_scratch_bytes(ctypes.byref(self._call), threads)
        self._scratch = np.empty(max(self.scratch_bytes, 1), np.uint8)

    def run(self) -> Floats:
        """Run the call; return float32 [queries, H · d], in the same array at each run.

        Raises:
            ValueError: the kernel rejects the shapes.
        """
        parallel_for = _PARALLEL_FOR(self._parallel_for) if self._pool else _PARALLEL_FOR()
        status = self._library.nf_attention_run(
            ctypes.byref(self._call),
            self._scratch.ctypes.data,
            self.scratch_bytes,
            self._threads,
            parallel_for,
            None,
        )
        if status:
            raise ValueError(self._library.nf_status_text(status).decode())
        return self.out

    def _parallel_for(
        self, context: int, count: int, task: Callable[[int, int], None], argument: int
    ) -> None:
        assert self._pool is not None
        list(self._pool.map(lambda i: task(argument, i), range(count)))


def available(library: Path | None = None) -> list[str]:
    """The kernel's instruction sets that this CPU can run, in order of preference.

    Args:
        library: a kernel library for this machine; None is `library_path()`.
    """
    return _loaded(library).nf_isa_available().decode().split()


def in_use(library: Path | None = None) -> str | None:
    """The instruction set that calls use; None if NF_EDGE_ISA names one that this CPU cannot run.

    The environment variable NF_EDGE_ISA names the instruction set.  If the variable is not set, calls use the
    preferred instruction set.
    """
    name = _loaded(library).nf_isa_in_use()
    return None if name is None else name.decode()


def library_path() -> Path:
    """Build the kernel's shared library if it does not exist; return its path.

    Raises:
        MissingTool: there is no compiler, CMake or Ninja, or the build fails.
    """
    product = Path("lib", "libnf_attention.so")
    return native_build.built(
        NativePart("kernels", NATIVE, "nf_attention", product),
        ["-DBUILD_SHARED_LIBS=ON", f"-DCMAKE_SHARED_LIBRARY_SUFFIX={product.suffix}"],
        [],
    )


def executorch_library(target: BuildTarget | None = None) -> Path:
    """Build a shared library with the kernels as operators of the installed ExecuTorch; return its path.

    A process must load the library before it loads a `.pte` that calls the operators.

    Args:
        target: the machine to build for; None is this machine.

    Raises:
        MissingTool: as for `library_path`, or ExecuTorch or the cross-compiler is not installed.
    """
    version, settings = native_build.executorch()
    return native_build.built(
        NativePart("kernels", NATIVE, "nf_executorch", Path("lib", "libnf_executorch.so")),
        ["-DNF_ATTENTION_EXECUTORCH=ON", *settings],
        [version],
        target,
    )


@lru_cache
def _loaded(path: Path | None) -> ctypes.CDLL:
    library = ctypes.CDLL(os.fspath(path or library_path()))
    library.nf_attention_scratch_bytes.restype = ctypes.c_size_t
    library.nf_attention_scratch_bytes.argtypes = [ctypes.POINTER(_Call), ctypes.c_size_t]
    library.nf_attention_run.argtypes = [
        ctypes.POINTER(_Call),
        ctypes.c_void_p,
        ctypes.c_size_t,
        ctypes.c_size_t,
        _PARALLEL_FOR,
        ctypes.c_void_p,
    ]
    for name in ("nf_status_text", "nf_isa_available", "nf_isa_in_use"):
        getattr(library, name).restype = ctypes.c_char_p
    return library


def _rows(tokens: Floats) -> _Rows:
    token, head, element = (stride // tokens.itemsize for stride in tokens.strides)
    if tokens.dtype != np.float32 or element != 1:
        raise ValueError("tokens must be float32 with a contiguous last dimension")
    return _Rows(tokens.ctypes.data, head, token)


def _address(array: Floats | None) -> int | None:
    if array is None:
        return None
    if array.dtype != np.float32 or not array.flags.c_contiguous:
        raise ValueError("noise must be contiguous float32")
    return array.ctypes.data
