"""Exercise checks: `exercises.check_NAME(your_function)` says "not yet", what is wrong, or "correct", and never raises.

Each notebook's checks stand in a module of their own, nbNN.py; all of them are found here by name.
"""

import importlib
import pkgutil

from helpers.exercises.exercise import Exercise

__all__ = []

for _found in pkgutil.iter_modules(__path__):
    for _name, _check in vars(importlib.import_module(f"{__name__}.{_found.name}")).items():
        if isinstance(_check, Exercise):
            if _name in __all__:
                raise ImportError(f"two modules of helpers.exercises define {_name}; the second is {_found.name}")
            globals()[_name] = _check
            __all__.append(_name)
