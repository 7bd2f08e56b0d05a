"""What the notebooks share: small modules, each with one job. CONTRIBUTING.md maps them. Start with `session`, `models` and `engine`."""

# nnsight gives every object a `.save`; anyio (below the judge's HTTP client) cannot be imported after that, only before
try:
    import anyio.streams.tls  # noqa: F401
    from anyio.abc import SocketAttribute  # noqa: F401
except ModuleNotFoundError:  # nothing is installed yet: `check_environment` says so
    pass
except TypeError as error:
    raise ImportError("import helpers before nnsight: afterwards anyio, which a judge's client needs, fails") from error
