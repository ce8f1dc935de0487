"""Free ports on this machine, found and remembered; all on 127.0.0.1."""

import socket

LOOPBACK = "127.0.0.1"


def is_free(port: int) -> bool:
    """Say whether a server could listen on this port now.

    A port whose last connections are still closing counts as free: servers set the same option.
    """
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
        return True


def free_port() -> int:
    """Ask the system for a port that nobody listens on."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.bind((LOOPBACK, 0))
        return int(probe.getsockname()[1])


def same_or_free(remembered: int | None) -> int:
    """Keep the remembered port when it is still free, so that addresses outlive a restart; else a new one."""
    return remembered if remembered is not None and is_free(remembered) else free_port()


def answers(port: int) -> bool:
    """Say whether a server accepts connections on this port."""
    try:
        with socket.create_connection((LOOPBACK, port), timeout=1):
            return True
    except OSError:
        return False
