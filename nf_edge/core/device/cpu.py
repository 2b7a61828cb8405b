"""The schema of CPU cores in a device file."""

from typing import Any

from nf_edge.core.device.facts import ClockFact, CountFact, Fact, IsaFact, Text
from nf_edge.core.yaml_schema import Closed


class Core(Closed):
    """A cluster of equal CPU cores: their number, highest clock in MHz, and usable instruction sets."""

    core: Text
    count: CountFact
    mhz: ClockFact
    isa: IsaFact

    @property
    def target(self) -> str | None:
        """The `target` that a recipe names for this Cortex-M core, such as `cortex-m-mve`; None for any other
        core, and for a Cortex-M core without vector instructions.
        """
        vector_isas = [isa for isa in ("mve", "dsp") if isa in self.isa.value]
        return f"cortex-m-{vector_isas[0]}" if vector_isas and self.core.startswith("Cortex-M") else None

    def facts(self) -> dict[str, Fact[Any]]:
        """Map the path of each fact, `cpu.CORE.KEY`, to the fact."""
        facts: dict[str, Fact[Any]] = {"count": self.count, "mhz": self.mhz, "isa": self.isa}
        return {f"cpu.{self.core}.{key}": fact for key, fact in facts.items()}
