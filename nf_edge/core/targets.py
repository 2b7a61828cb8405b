"""Machines other than this one that native parts are built for."""

import shutil
from dataclasses import dataclass

from nf_edge.core.errors import MissingTool


@dataclass(frozen=True)
class BuildTarget:
    """A machine other than this one.

    Attributes:
        compiler: its cross-compiler.
        package: what brings that compiler.
        settings: CMake settings of a build for it.
    """

    compiler: str
    package: str
    settings: tuple[str, ...]

    def command(self) -> list[str]:
        """The command that compiles C++ for it.

        Raises:
            MissingTool: its cross-compiler is not installed.
        """
        path = shutil.which(self.compiler)
        if not path:
            fix = f"apt-get install {self.package}"
            raise MissingTool(f"{self.compiler}, the cross-compiler, is not installed", fix=fix)
        return [path]


# Besides the host.
TARGETS = {
    "aarch64-linux": BuildTarget(
        "aarch64-linux-gnu-g++",
        "g++-aarch64-linux-gnu",
        ("-DCMAKE_SYSTEM_NAME=Linux", "-DCMAKE_SYSTEM_PROCESSOR=aarch64"),
    )
}
