"""Every operation on tensors, by family."""

from ..words import answer_arguments
from . import diagonals, elementwise, indexing, joining, products, reductions, repeating, shaping, sorting
from .diagonals import *  # noqa: F403
from .elementwise import *  # noqa: F403
from .indexing import *  # noqa: F403
from .joining import *  # noqa: F403
from .products import *  # noqa: F403
from .reductions import *  # noqa: F403
from .repeating import *  # noqa: F403
from .shaping import *  # noqa: F403
from .sorting import *  # noqa: F403

__all__ = (
    diagonals.__all__ + elementwise.__all__ + indexing.__all__ + joining.__all__ + products.__all__
    + reductions.__all__ + repeating.__all__ + shaping.__all__ + sorting.__all__
)  # fmt: skip

answer_arguments(globals(), __all__)
