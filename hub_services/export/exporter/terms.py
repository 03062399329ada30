"""
Terms: what the exporter and whoever starts it have agreed on; nothing is loaded for them.
"""

from __future__ import annotations

from typing import Final

#: Variable: SHA-256 of the token, in hexadecimal digits.
TOKEN: Final = "EUGO_EXPORTER_TOKEN_SHA256"  # noqa: S105 - the variable's name
#: Variable, JSON: where each volume is mounted, by name.
VOLUMES: Final = "EUGO_EXPORTER_VOLUMES"
#: Variable: address and port to listen at; default: all addresses, `PORT`.
ADDRESS: Final = "EUGO_EXPORTER_ADDRESS"
PORT: Final = 8765
