"""Problems whose rows lie in parts, each where it is: on this machine or on others.

It may import kernels, core and what is below. Solvers know nothing of it: a
:class:`PartitionedProblem` is a Problem to them, with margins of its own kind.
"""

from gpulr.distributed.engine import Counts, Engine, Here, added
from gpulr.distributed.margins import PartitionedMargins
from gpulr.distributed.messages import Columns
from gpulr.distributed.part import Before, Part
from gpulr.distributed.parts import Parts
from gpulr.distributed.problem import PartitionedProblem
from gpulr.distributed.weight_sets import Draws, StratifiedFolds, draws
from gpulr.sources.elsewhere import Elsewhere

__all__ = [
    "Before",
    "Columns",
    "Counts",
    "Draws",
    "Elsewhere",
    "Engine",
    "Here",
    "Part",
    "PartitionedMargins",
    "PartitionedProblem",
    "Parts",
    "StratifiedFolds",
    "added",
    "draws",
]
