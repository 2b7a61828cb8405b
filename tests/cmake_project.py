"""Builds a C++ project that a test writes, with the ExecuTorch of the Python package."""

import os
import shutil
import subprocess
from pathlib import Path

CMAKE_LISTS = """\
cmake_minimum_required(VERSION 3.28)
project(guide LANGUAGES CXX)
set(CMAKE_CXX_STANDARD 17)
set(CMAKE_CXX_EXTENSIONS OFF)
add_compile_options(-Wall -Wextra)
find_package(executorch REQUIRED)
add_executable(guide guide.cpp)
target_link_libraries(guide PRIVATE executorch::runtime)
"""


def build(folder: Path, code: str, link: str, compiler: str) -> tuple[Path, str]:
    """Build a program of one file.

    Args:
        folder: where the project is written and built.
        link: more lines of CMake, which name the libraries to link.

    Returns:
        The program, and what the build printed.
    """
    import cmake
    import executorch
    import ninja

    (folder / "guide.cpp").write_text(code)
    (folder / "CMakeLists.txt").write_text(CMAKE_LISTS + link)
    program = os.path.join(cmake.CMAKE_BIN_DIR, "cmake")
    settings = [
        f"-DCMAKE_PREFIX_PATH={next(iter(executorch.__path__))}",
        f"-DCMAKE_MAKE_PROGRAM={shutil.which('ninja', path=ninja.BIN_DIR)}",
    ]
    for arguments in (["-S", ".", "-B", "build", "-G", "Ninja", *settings], ["--build", "build"]):
        built = subprocess.run(
            [program, *arguments],
            cwd=folder,
            env={**os.environ, "CXX": compiler},
            capture_output=True,
            text=True,
        )
        assert built.returncode == 0, built.stdout + built.stderr
    return folder / "build" / "guide", built.stdout
