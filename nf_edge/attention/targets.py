"""Machines that the kernel can be built for."""

import shutil
from dataclasses import dataclass

from nf_edge.errors import MissingTool


@dataclass(frozen=True)
class Target:
    """A machine other than this one.

    Attributes:
        compiler: its cross-compiler.
        package: what brings that compiler.
        settings: CMake settings of a build for it.
    """

    compiler: str
    package: str
    settings: tuple[str, ...]

    def cmake_settings(self) -> list[str]:
        """Settings that make CMake build for it.

        Raises:
            MissingTool: its cross-compiler is not installed.
        """
        if not shutil.which(self.compiler):
            fix = f"apt-get install {self.package}"
            raise MissingTool(f"{self.compiler}, the cross-compiler, is not installed", fix=fix)
        return [f"-DCMAKE_CXX_COMPILER={self.compiler}", *self.settings]


# Besides the host.
TARGETS = {
    "aarch64-linux": Target(
        "aarch64-linux-gnu-g++",
        "g++-aarch64-linux-gnu",
        ("-DCMAKE_SYSTEM_NAME=Linux", "-DCMAKE_SYSTEM_PROCESSOR=aarch64"),
    )
}
