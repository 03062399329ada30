"""Hub-managed services; each is a small package: rules, loop or handlers, wiring."""

import os
from typing import Final

#: Process that started this one. Asked before all other imports, which take seconds: whoever has died by their end
#: would not be missed afterwards.
STARTED_BY: Final = os.getppid()
