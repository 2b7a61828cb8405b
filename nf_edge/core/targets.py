"""The machines that nf-edge's C++ programs and libraries can be cross-compiled for."""

import shutil
from dataclasses import dataclass

from nf_edge.core.errors import MissingTool


@dataclass(frozen=True)
class BuildTarget:
    """A kind of machine to build for, other than this one.

    Attributes:
        compiler: the command of its C++ cross-compiler.
        package: the Debian package with that compiler.
        settings: CMake settings of a build for the machine.
    """

    compiler: str
    package: str
    settings: tuple[str, ...]

    def command(self) -> list[str]:
        """The command that compiles C++ for the target.

        Raises:
            MissingTool: the cross-compiler is not installed.
        """
        path = shutil.which(self.compiler)
        if not path:
            fix = f"apt-get install {self.package}"
            raise MissingTool(f"the cross-compiler {self.compiler} is not installed", fix=fix)
        return [path]


# Map the name of each target to its build settings.  This machine is not in the list.
TARGETS = {
    "aarch64-linux": BuildTarget(
        "aarch64-linux-gnu-g++",
        "g++-aarch64-linux-gnu",
        ("-DCMAKE_SYSTEM_NAME=Linux", "-DCMAKE_SYSTEM_PROCESSOR=aarch64"),
    )
}
