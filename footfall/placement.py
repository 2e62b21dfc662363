"""Names for shards, chosen so that Bytewax spreads them evenly over the workers.

Bytewax sends a key to worker `siphash13(key + 0xff) mod workers`, with a zero key (Rust's `DefaultHasher` over a
`str`; bytewax 0.21 `src/timely.rs`). Shard i gets the first name whose hash is i modulo 12, so that a cluster
of 1, 2, 3, 4, 6 or 12 workers has at most ceil(shards / workers) of them on each worker, and any other size
comes near it. The names are part of the state's identity.
"""

_MASK = (1 << 64) - 1
_SPREAD = 12


def _rotl(x: int, r: int) -> int:
    return ((x << r) | (x >> (64 - r))) & _MASK


def _siphash13(data: bytes) -> int:
    v0, v1, v2, v3 = 0x736F6D6570736575, 0x646F72616E646F6D, 0x6C7967656E657261, 0x7465646279746573

    def rounds(count: int) -> None:
        nonlocal v0, v1, v2, v3
        for _ in range(count):
            v0 = (v0 + v1) & _MASK
            v1 = _rotl(v1, 13) ^ v0
            v0 = _rotl(v0, 32)
            v2 = (v2 + v3) & _MASK
            v3 = _rotl(v3, 16) ^ v2
            v0 = (v0 + v3) & _MASK
            v3 = _rotl(v3, 21) ^ v0
            v2 = (v2 + v1) & _MASK
            v1 = _rotl(v1, 17) ^ v2
            v2 = _rotl(v2, 32)

    whole = len(data) // 8 * 8
    for at in range(0, whole, 8):
        word = int.from_bytes(data[at : at + 8], "little")
        v3 ^= word
        rounds(1)
        v0 ^= word
    last = (len(data) & 0xFF) << 56 | int.from_bytes(data[whole:], "little")
    v3 ^= last
    rounds(1)
    v0 ^= last
    v2 ^= 0xFF
    rounds(3)
    return v0 ^ v1 ^ v2 ^ v3


def worker_of(key: str, workers: int) -> int:
    """The worker on which Bytewax keeps the state of `key`, in a cluster of that many workers."""
    return _siphash13(key.encode() + b"\xff") % workers


def shard_names(shards: int) -> tuple[str, ...]:
    """One name a shard, such as `s0003-10`; they sort as the shards do."""
    names = []
    for shard in range(shards):
        attempt = 0
        while worker_of(f"s{shard:04d}-{attempt}", _SPREAD) != shard % _SPREAD:
            attempt += 1
        names.append(f"s{shard:04d}-{attempt}")
    return tuple(names)
