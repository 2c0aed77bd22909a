"""One file per objective: paper, equation, where shipped code differs, one function.

A file dropped in here is registered; this package is itself an entry point, as a plug-in's module is.
"""

from importlib import import_module
from pkgutil import iter_modules

if __name__ != "lagbench.objectives":
    raise ImportError(f"import lagbench.objectives, not {__name__}: two copies would mean two registries")

for _module in iter_modules(__path__):
    import_module(f"{__name__}.{_module.name}")
