"""Versions of modules: what is accepted, how two of them compare, and the Kubernetes names made of them."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from functools import cached_property

import semver

from .errors import InvalidVersion

# https://github.com/opencontainers/distribution-spec/blob/main/spec.md#pulling-manifests
_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}")
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_PLAIN = re.compile(r"\d+\.\d+\.\d+")
_ALMOST = re.compile(r"v?[\d.]+")
# "<module, 24>-<version, 20>-migrate-<hash, 8>" is 62 characters; a DNS label may have 63.
SLUG_LENGTH = 20


@dataclass(frozen=True)
class Version:
    """The version of a module: an image tag, normally a semantic version, optionally pinned by a digest.

    Args:
        tag: for example ``2.4.12``, ``v3.0.0-beta.1`` or, where it must be, a tag that is no version such as ``main``.
        digest: ``sha256:...`` of the image, or None.
    """

    tag: str
    digest: str | None = None

    @classmethod
    def parse(cls, text: str) -> Version:
        """Reads ``TAG`` or ``TAG@sha256:DIGEST``.

        Raises:
            InvalidVersion: the text is no image tag, or it consists of digits and dots and is no semantic version
                (``1.1`` is more likely a slip than a tag).
        """
        tag, at, digest = text.partition("@")
        if not _TAG.fullmatch(tag):
            raise InvalidVersion(
                f"{text!r} is not a version: an image tag has letters, digits, '.', '_' and '-', for example 1.1.0"
            )
        if at and not _DIGEST.fullmatch(digest):
            raise InvalidVersion(f"{text!r}: what follows '@' must be sha256: and 64 hexadecimal digits")
        version = cls(tag, digest or None)
        if version.semantic is None and _ALMOST.fullmatch(tag):
            raise InvalidVersion(f"{text!r} is not a semantic version: it needs three numbers, for example 1.1.0")
        return version

    def __str__(self) -> str:
        return self.tag

    @cached_property
    def semantic(self) -> semver.Version | None:
        """The tag as a semantic version (a leading ``v`` is allowed), None if it is none and cannot be ordered."""
        try:
            return semver.Version.parse(self.tag.removeprefix("v"))
        except ValueError:
            return None

    def is_older_than(self, other: Version) -> bool:
        """Whether going from ``other`` to this one is a downgrade; False where one of them has no order."""
        return self.semantic is not None and other.semantic is not None and self.semantic < other.semantic

    @cached_property
    def slug(self) -> str:
        """The version as part of a Kubernetes object's name: ``1.1.0`` becomes ``1-1-0``.

        Two tags must never share a name (``1.1.0-rc.1`` and ``1.1.0-rc-1`` would), so anything but three plain numbers
        gets a few digits of its hash.
        """
        plain = re.sub(r"[^a-z0-9]+", "-", self.tag.lower()).strip("-")
        if _PLAIN.fullmatch(self.tag) and len(plain) <= SLUG_LENGTH:
            return plain
        return f"{plain[: SLUG_LENGTH - 7].strip('-')}-{hashlib.sha256(self.tag.encode()).hexdigest()[:6]}".lstrip("-")

    @cached_property
    def label(self) -> str:
        """The version as a label value: at most 63 characters, beginning and ending with a letter or digit."""
        label = self.tag[:63]
        return label if re.fullmatch(r"[A-Za-z0-9]([\w.-]*[A-Za-z0-9])?", label) and len(self.tag) <= 63 else self.slug

    def image(self, repository: str) -> str:
        """The image reference for a repository without a tag."""
        return f"{repository}:{self.tag}" + (f"@{self.digest}" if self.digest else "")
