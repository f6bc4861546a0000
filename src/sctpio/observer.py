"""Being told what the associations of this process do: messages, events, states and options, as they happen.

`with observe(observer): ...`, where the observer has the methods of `Observer`. It costs nothing while there
is none. `sctpio trace` and SCTPIO_TRACE are such an observer (`sctpio.tracing`).
"""

from ._loop.association import State
from ._loop.observing import Observation, Observed, Observer, Sent, observe

__all__ = ["Observation", "Observed", "Observer", "Sent", "State", "observe"]
