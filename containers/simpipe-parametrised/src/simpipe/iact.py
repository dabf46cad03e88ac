"""Run files as CORSIKA's IACT extension writes them: eventio objects around CORSIKA's own header blocks.

Layout: K. Bernloehr, "CORSIKA and sim_telarray", appendix on eventio blocks; words of the headers: CORSIKA user's
guide. The input card in the file begins with a comment line that says what wrote it, as that of CORSIKA-IACT does.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from types import TracebackType
from typing import IO, Any, Final, Self

import numpy as np
from numpy.typing import NDArray

from simpipe import NOTICE, SimpipeError, __version__
from simpipe.card import Card
from simpipe.shower import Floats

LAYOUT: Final = 7.7
"""The release of CORSIKA whose header layout this is: readers choose their own by it."""
DATE: Final = 260101.0  # the same run has the same bytes, whenever it is made
WORDS: Final = 273
_SYNC: Final = b"\x37\x8a\x1f\xd4"
_ONLY_SUB_OBJECTS: Final = 1 << 30
RUN_HEADER, TELESCOPES, EVENT_HEADER, OFFSETS, ARRAY, BUNCHES, EVENT_END, RUN_END, CARD = (
    1200, 1201, 1202, 1203, 1204, 1205, 1209, 1210, 1212,
)  # fmt: skip


def words(tag: bytes, values: dict[int, float | Sequence[float]]) -> NDArray[np.float32]:
    """A CORSIKA block: values at their word number, counted from 1 as the user's guide does."""
    block = np.zeros(WORDS, dtype="<f4")
    block[:1] = np.frombuffer(tag, dtype="<f4")
    for first, value in values.items():
        many = np.atleast_1d(np.asarray(value, dtype="<f4"))
        block[first - 1 : first - 1 + len(many)] = many
    return block


def head(kind: int, identifier: int, length: int, *, only_sub_objects: bool = False) -> bytes:
    """The header of an eventio object within another one; a top-level one has the sync marker before it."""
    return struct.pack("<iiI", kind, identifier, length | (_ONLY_SUB_OBJECTS if only_sub_objects else 0))


def announced(card: Card) -> str:
    """The card's text, after a line that says what made the run."""
    return f"* simpipe-parametrised {__version__}: {NOTICE}\n{card.text.rstrip()}\n"


class Writer:
    """One run file, written in order; closing it without ``end`` leaves a file that readers call truncated."""

    def __init__(self, stream: IO[bytes], card: Card) -> None:
        self._stream = stream
        self._card = card
        self._events = 0
        self._run_header()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.end()

    def _put(self, kind: int, identifier: int, payload: bytes, *, only_sub_objects: bool = False) -> None:
        self._stream.write(_SYNC + head(kind, identifier, len(payload), only_sub_objects=only_sub_objects) + payload)

    def _put_block(self, kind: int, identifier: int, block: NDArray[np.float32]) -> None:
        self._put(kind, identifier, struct.pack("<i", len(block)) + block.tobytes())

    def _run_header(self) -> None:
        card = self._card
        header = {2: card.run, 3: DATE, 4: LAYOUT, 5: 1, 6: card.observation_level * 100, 16: card.slope}
        self._put_block(
            RUN_HEADER, 0, words(b"RUNH", header | {17: card.energy[0], 18: card.energy[1], 93: card.showers})
        )
        lines = [line.encode("utf-8") for line in announced(card).splitlines()]
        text = b"".join(struct.pack("<h", len(line)) + line for line in lines)
        self._put(CARD, 0, struct.pack("<i", len(lines)) + text)
        table = np.array([[t.x, t.y, t.z, t.radius] for t in card.telescopes], dtype="<f4") * 100
        self._put(TELESCOPES, 0, struct.pack("<i", len(table)) + table.T.tobytes())

    def shower(self, number: int, energy: float, axis: Floats, first_height: float, cores: Floats) -> None:
        """Begin a shower; ``cores`` are where its axis hits the ground in each use, x and y in m."""
        card = self._card
        seeds = [value for seed in card.seeds[:10] for value in (seed, 0, 0)]
        zenith, azimuth = np.arccos(axis[2]), np.arctan2(-axis[1], -axis[0])
        momentum = energy * np.array([-axis[0], -axis[1], axis[2]])
        header: dict[int, Any] = {
            2: number, 3: card.primary, 4: energy, 7: first_height * 100, 8: momentum, 11: zenith, 12: azimuth,
            13: len(card.seeds[:10]), 14: seeds, 44: card.run, 45: DATE, 46: LAYOUT, 47: 1,
            48: card.observation_level * 100,
            58: card.slope, 59: card.energy, 71: card.magnetic_field, 81: (card.zenith, card.zenith),
            83: (card.azimuth, card.azimuth), 85: 1.0, 93: np.radians(card.array_rotation), 96: card.wavelengths,
            98: len(cores), 99: -cores[:, 0] * 100, 119: -cores[:, 1] * 100, 153: (0.0, card.viewcone),
        }  # fmt: skip
        self._put_block(EVENT_HEADER, number, words(b"EVTH", header))
        offsets = (-cores.T * 100).astype("<f4").tobytes()
        self._put(OFFSETS, number, struct.pack("<if", len(cores), 0.0) + offsets)

    def use(self, number: int, telescopes: Sequence[NDArray[np.void]]) -> None:
        """The light of one use of the shower, for each telescope."""
        parts = []
        for tel, found in enumerate(telescopes):
            body = struct.pack("<hhfi", number, tel, float(found["photons"].sum()), len(found)) + found.tobytes()
            parts.append(head(BUNCHES, number * 1000 + tel, len(body)) + body)
        self._put(ARRAY, number + 1, b"".join(parts), only_sub_objects=True)

    def shower_end(self, number: int) -> None:
        """End a shower."""
        self._events += 1
        self._put_block(EVENT_END, number, words(b"EVTE", {2: number}))

    def end(self) -> None:
        """End the run."""
        if self._events != self._card.showers:
            raise SimpipeError(f"run {self._card.run} has {self._events} of {self._card.showers} showers")
        tag = np.frombuffer(b"RUNE", dtype="<f4")
        self._put(RUN_END, 0, struct.pack("<i", 3) + tag.tobytes() + struct.pack("<ff", self._card.run, self._events))
