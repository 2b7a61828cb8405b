"""Names of Arm's CPU cores by their part numbers in /proc/cpuinfo."""

# Arm's part numbers.  Libraries use them to choose among kernels for one instruction set (Linux,
# arch/arm64/include/asm/cputype.h).
PARTS = {
    "cortex-a53": 0xD03,
    "cortex-a35": 0xD04,
    "cortex-a55": 0xD05,
    "cortex-a57": 0xD07,
    "cortex-a72": 0xD08,
    "cortex-a73": 0xD09,
    "cortex-a75": 0xD0A,
    "cortex-a76": 0xD0B,
    "neoverse-n1": 0xD0C,
    "cortex-a77": 0xD0D,
    "cortex-a78": 0xD41,
    "cortex-a78ae": 0xD42,
    "cortex-x1": 0xD44,
    "cortex-a510": 0xD46,
    "cortex-a710": 0xD47,
    "cortex-x2": 0xD48,
    "cortex-a715": 0xD4D,
    "cortex-x3": 0xD4E,
    "cortex-a520": 0xD80,
    "cortex-a720": 0xD81,
    "cortex-x4": 0xD82,
    "cortex-x925": 0xD85,
    "cortex-a725": 0xD87,
}
# The code of Arm in /proc/cpuinfo.
ARM = 0x41


def part_name(implementer: int, part: int) -> str:
    """The name of an Arm core, such as `Cortex-A76`, from its two numbers in /proc/cpuinfo.

    If `PARTS` lacks the core, the result is a text with both numbers.
    """
    for name, number in PARTS.items():
        if (implementer, part) == (ARM, number):
            family, _, model = name.partition("-")
            return f"{family.capitalize()}-{model.upper()}"
    return f"CPU part 0x{part:03x} of implementer 0x{implementer:02x}"
