"""Commands in namespaces of their own: no network but loopback, which Ray looks beyond when it starts."""

NAMESPACES = ("unshare", "--net", "--pid", "--fork", "--kill-child", "--mount-proc")


def in_loopback(*command: str) -> list[str]:
    """The command line that runs `command` so; root only. Whatever it leaves running ends with it."""
    return [*NAMESPACES, "sh", "-c", 'ip link set lo up && "$@"', "sh", *command]
