"""Build the C++ of kernels/, which is flowedit.kernels by the link of that name in flowedit/.

Metadata: pyproject.toml. Runs in an isolated build without torch. The C++ is a plain C library, so one build serves
every torch and every Python; where there is no compiler the install goes on without it, and the package computes with
plain torch.
"""

import sys
from glob import glob

from setuptools import Extension, find_packages, setup
from setuptools.command.bdist_wheel import bdist_wheel

# Only the pragmas are wanted: OpenMP's runtime is the one that torch has loaded, so nothing is linked.
OPENMP = ["-Xpreprocessor", "-fopenmp"] if sys.platform == "darwin" else ["-fopenmp"]


class Wheel(bdist_wheel):
    """A wheel for one platform and any Python 3: the C++ is loaded by ctypes and knows nothing of Python."""

    def get_tag(self):
        """Return Python, ABI and platform."""
        return "py3", "none", super().get_tag()[2]


setup(
    cmdclass={"bdist_wheel": Wheel},
    packages=find_packages(include=["flowedit", "flowedit.*"]),
    package_dir={"": "."},  # said outright, an editable install is one line in a .pth file: found from any folder
    ext_modules=[
        Extension(
            "flowedit.kernels._native",
            sources=sorted(glob("kernels/*/*.cpp")),
            depends=sorted(glob("kernels/*.h")),
            extra_compile_args=["-std=c++17", "-O3", "-fno-math-errno", "-fno-trapping-math", *OPENMP],
            optional=True,
        )
    ],
)
