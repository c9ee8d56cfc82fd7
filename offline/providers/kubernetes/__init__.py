"""Stands in for the pulumi-kubernetes provider."""

from __future__ import annotations

from .provider import KubernetesProvider

__all__ = ["KubernetesProvider"]
