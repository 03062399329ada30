"""
Prometheus: how much the GPUs of Pods were used lately, as NVIDIA's DCGM exporter measures it.

One query for all Pods that are asked about. The exporter labels each series with the Pod that holds the GPU; a
Pod of which nothing is known is taken to use nothing. Source: dcgm-exporter, `DCGM_FI_DEV_GPU_UTIL`; Prometheus'
HTTP API, `/api/v1/query`; L5.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any, Final

import aiohttp

from eugospawner.policy.errors import EugoError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_TIMEOUT: Final = aiohttp.ClientTimeout(total=10)
_OK: Final = 200
#: Names of Pods that fit into one query; Prometheus takes some megabytes.
_MOST_PODS: Final = 500


class MetricsError(EugoError):
    """The source of metrics refused, failed or did not answer."""


class Prometheus:
    """
    A Prometheus that has the metrics of a DCGM exporter.

    Args:
        session: Closed by whoever made it.
        url: ``http://prometheus.monitoring:9090``.
        namespace: Of people's workspaces.
        window: Over which time the highest use counts, as Prometheus writes it: ``10m``.
    """

    def __init__(
        self, session: aiohttp.ClientSession, *, url: str, namespace: str, window: str = "10m"
    ) -> None:
        self._session = session
        self._url = url.rstrip("/")
        self._namespace = namespace
        self._window = window

    async def percent_of(self, pods: Sequence[str]) -> Mapping[str, float]:
        """
        Return the highest use of any GPU of each Pod within the window, in percent.

        Raises:
            MetricsError: It does not answer, or not with what Prometheus answers.
        """
        found: dict[str, float] = {}
        for first in range(0, len(pods), _MOST_PODS):
            found |= await self._ask(pods[first : first + _MOST_PODS])
        return found

    async def _ask(self, pods: Sequence[str]) -> dict[str, float]:
        names = "|".join(re.escape(each) for each in pods).replace("\\", "\\\\")
        query = (
            "max by (pod) (max_over_time(DCGM_FI_DEV_GPU_UTIL"
            f'{{namespace="{self._namespace}",pod=~"{names}"}}[{self._window}]))'
        )
        try:
            async with self._session.post(
                f"{self._url}/api/v1/query", data={"query": query}, timeout=_TIMEOUT
            ) as answer:
                text, status = await answer.text(), answer.status
        except (TimeoutError, aiohttp.ClientError, OSError) as error:
            message = f"Prometheus at {self._url} does not answer ({str(error) or 'too slow'})"
            raise MetricsError(message) from error
        if status != _OK:
            message = f"Prometheus at {self._url} answers {status}: {text.strip()[:200]}"
            raise MetricsError(message)
        return _values(text)


def _values(text: str) -> dict[str, float]:
    try:
        answer: Any = json.loads(text)
        return {each["metric"]["pod"]: float(each["value"][1]) for each in answer["data"]["result"]}
    except (ValueError, KeyError, TypeError, IndexError) as error:
        message = f"This is not what Prometheus answers: {text.strip()[:200]!r}"
        raise MetricsError(message) from error
