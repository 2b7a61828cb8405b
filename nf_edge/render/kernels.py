"""The report of `nf-edge kernels build`: the built library."""

from nf_edge.kernels.library import KernelLibrary
from nf_edge.render.table import Part, body


def library_parts(library: KernelLibrary) -> list[Part]:
    lines = [f"{library.path}, {library.bytes / 1e3:.0f} kB, for {library.target}"]
    if library.instruction_sets is not None:
        lines.append(f"instruction sets of this CPU: {', '.join(library.instruction_sets)}")
        lines.append(f"in use: {library.in_use}")
    return [body(lines)]
