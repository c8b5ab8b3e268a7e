"""`Parameter`: a tensor that a module learns."""

from __future__ import annotations

from typing import Any

import numpy.typing as npt

from tinytorch.tensor import Tensor

DType = npt.DTypeLike | None


class Parameter(Tensor):
    """A tensor that counts as a parameter of the module it is assigned to.

    `data` is anything `Tensor` takes; memory is shared where the dtype allows it. Raises TypeError for data that
    requires gradients and is not floating point.

    >>> Parameter([1.0, 2.0])
    Parameter([1., 2.], requires_grad=True)
    """

    __slots__ = ()

    def __init__(self, data: Any, dtype: DType = None, requires_grad: bool = True) -> None:
        super().__init__(data, dtype, requires_grad)

    def __copy__(self) -> Parameter:
        return self.__deepcopy__({})

    def __deepcopy__(self, memo: dict[int, Any]) -> Parameter:
        return Parameter(self.data.copy(), self.dtype, self.requires_grad)
