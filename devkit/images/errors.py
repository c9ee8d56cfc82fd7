"""What can go wrong with images.

ImagesError
├── DockerfileError      a Dockerfile says something this builder does not follow
├── BuildError           a step failed, or the base could not be made
└── ContainerdError      containerd does not answer or refused an image
"""

from __future__ import annotations


class ImagesError(Exception):
    """An image was not built or loaded; the text says what to do next."""


class DockerfileError(ImagesError):
    """A Dockerfile holds an instruction, or a form of one, that is not followed here."""


class BuildError(ImagesError):
    """A step of a build failed."""


class ContainerdError(ImagesError):
    """containerd could not be asked, or refused."""
