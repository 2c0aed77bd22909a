"""Runs objectives under controlled lag; knows none of them by name."""

if __name__ != "lagbench.harness":
    raise ImportError(f"import lagbench.harness, not {__name__}: two copies would mean two registries")
