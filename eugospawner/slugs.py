"""Slugs: names of people and servers, made fit for a Kubernetes label without collisions."""

from __future__ import annotations

from kubespawner.slugs import is_valid_label, safe_slug


def slug_of(name: str) -> str:
    """Return *name*, if it can be a label, else a name of its own for it; empty stays empty."""
    slug: str = safe_slug(name, is_valid=is_valid_label) if name else ""
    return slug
