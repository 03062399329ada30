"""
configurable-http-proxy, the hub's front door, at the versions of its lock file.

The chart runs the same proxy from its own image, so nothing else would do for a demo that wants
to be the product.
"""

from __future__ import annotations

from pathlib import Path

from .npm import Package

PROXY = Package(
    name="proxy",
    title="the proxy (configurable-http-proxy)",
    script=Path("node_modules", "configurable-http-proxy", "bin", "configurable-http-proxy"),
)
