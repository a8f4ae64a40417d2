"""The constants of the Array API standard, as Python numbers."""

import math

__all__ = ["e", "inf", "nan", "newaxis", "pi"]

e: float = math.e
inf: float = math.inf
nan: float = math.nan
newaxis: None = None  # x[:, newaxis] adds an axis
pi: float = math.pi
