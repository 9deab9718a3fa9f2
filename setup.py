"""Tell setuptools where the packages lie: kernels/ is installed as flowedit.kernels.

Metadata: pyproject.toml.
Runs in an isolated build without torch, with or without a compiler; a compiled extension would be named here.
"""

from setuptools import find_packages, setup

setup(
    packages=[
        *find_packages(include=["flowedit", "flowedit.*"]),
        "flowedit.kernels",
        *(f"flowedit.kernels.{name}" for name in find_packages("kernels")),
    ],
    package_dir={"flowedit.kernels": "kernels"},
)
