"""Code and stack of a firmware that runs a program for an Ethos-U."""

from nf_edge.backends.firmware import APPLICATION_FLASH, KIB, Firmware, input_bytes

# Arm's figures for image classification with ExecuTorch and an Ethos-U on an Alif Ensemble E8: 16 KiB of
# stack, and 800 kB of runtime, operators and application code.
# https://learn.arm.com/learning-paths/embedded-and-microcontrollers/alif-image-classification/memory-configuration
NPU_STACK, NPU_CODE = 16 * KIB, 800_000
NOT_MEASURED = (
    "not measured: Arm's figures for another application with ExecuTorch and an Ethos-U, 800 kB of code and "
    "16 KiB of stack, less the application's 64 KiB"
)


def ethos_u_firmware(length: int) -> Firmware:
    """Estimate code, stack and input buffers of the firmware for a program with rows of `length` tokens."""
    return Firmware(NPU_CODE - APPLICATION_FLASH, NPU_STACK, input_bytes(length), NOT_MEASURED)
