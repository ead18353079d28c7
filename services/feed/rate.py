"""How fast events come."""

from schemas.base import NS_PER_S


class Rate:
    """Events per second, over the last whole second or so."""

    def __init__(self) -> None:
        self._since_ns = 0
        self._count = 0
        self._per_s = 0.0

    def add(self, count: int, now_ns: int) -> None:
        """Count `count` events of this moment."""
        if not self._since_ns:
            self._since_ns = now_ns
        elif now_ns - self._since_ns >= NS_PER_S:
            self._per_s = self._count * NS_PER_S / (now_ns - self._since_ns)
            self._since_ns, self._count = now_ns, 0
        self._count += count

    def per_s(self, now_ns: int) -> float:
        """Return the rate; what came since a silence began counts over that silence."""
        elapsed_ns = now_ns - self._since_ns
        if elapsed_ns >= 2 * NS_PER_S:
            return self._count * NS_PER_S / elapsed_ns
        return self._per_s
