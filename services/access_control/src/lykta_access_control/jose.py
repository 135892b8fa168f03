"""The signature algorithms that are accepted and made, by name; nothing else is looked at (RFC 8725, 3.1)."""

from typing import Any

from joserfc.errors import UnsupportedAlgorithmError
from joserfc.jws import JWSRegistry


class Algorithms(JWSRegistry):
    """Knows exactly these algorithms.

    `EdDSA` is among them without a warning: RFC 9864 gives it the name `Ed25519`, and most providers still use the old.
    """

    def __init__(self, *names: str) -> None:
        super().__init__(algorithms=names)
        self.names = frozenset(names)

    def get_alg(self, name: str) -> Any:
        """Return an algorithm by its name; raises UnsupportedAlgorithmError for any other."""
        if name not in self.names:
            raise UnsupportedAlgorithmError(f"{name!r} is not one of {', '.join(sorted(self.names))}")
        return self.algorithms[name]
