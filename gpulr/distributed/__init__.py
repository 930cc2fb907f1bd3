"""Problems whose rows lie in parts, each where it is: on this machine or on others."""

from gpulr.distributed.engine import Counts, Engine, Here

__all__ = ["Counts", "Engine", "Here"]
