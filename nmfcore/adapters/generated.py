"""Example data where no real one is in reach: drawn with known parts, the same on every machine."""

from __future__ import annotations

from collections.abc import Callable
from itertools import product

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
RATE = 8000
"""Samples of sound a second."""
SECONDS = 6.0


def swimmer() -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Draw a swimmer seen from above, each of its four limbs in one of four positions (after Donoho & Stodden 2003).

    Returns
    -------
    images : (256, 32, 32) ndarray
        Every combination of positions; the torso is in all.
    parts : (17, 32, 32) ndarray
        The torso, then four positions of each limb.
    """
    torso = np.zeros((32, 32), np.uint8)
    torso[11:21, 15:17] = 1
    joints = {(11, 15): (-1, -1), (11, 16): (-1, 1), (20, 15): (1, -1), (20, 16): (1, 1)}
    limbs = [
        [_limb(joint, outwards, angle) for angle in (0.0, 30.0, 60.0, 90.0)]
        for joint, outwards in joints.items()
    ]
    images = [
        np.clip(torso + sum(limbs[i][position] for i, position in enumerate(pose)), 0, 1)
        for pose in product(range(4), repeat=4)
    ]
    parts = [torso, *(limb for positions in limbs for limb in positions)]
    return np.array(images, np.uint8) * 255, np.array(parts, np.uint8) * 255


def _limb(joint: tuple[int, int], outwards: tuple[int, int], angle: float) -> NDArray[np.uint8]:
    """Draw a line of ten pixels from a joint; 0° points sideways, 90° along the body."""
    image = np.zeros((32, 32), np.uint8)
    down, across = np.sin(np.radians(angle)), np.cos(np.radians(angle))
    for step in np.linspace(1.5, 10, 40):
        y = joint[0] + outwards[0] * step * down
        x = joint[1] + outwards[1] * step * across
        image[round(y), round(x)] = 1
    image[11:21, 15:17] = 0
    return image


def ratings(
    n_users: int = 400, n_items: int = 200, n_tastes: int = 4, share: float = 0.25, seed: int = 8
) -> tuple[list[tuple[str, str, float]], list[str]]:
    """Draw ratings of 1 to 5, half stars, by users each of whom likes a mixture of few kinds of films.

    A film belongs mostly to one kind; users see more of what they like. Noise of half a star is added.

    Returns
    -------
    ratings : list of (user, item, rating)
    kinds : list of str
        The kind of each item.
    """
    random = np.random.default_rng(seed)
    kind = np.arange(n_items) % n_tastes
    films = 0.15 * random.random((n_items, n_tastes)) + np.eye(n_tastes)[kind]
    films *= random.uniform(0.7, 1.0, (n_items, 1))
    tastes = random.dirichlet(np.full(n_tastes, 0.5), n_users).T
    liking = films @ (tastes / tastes.max(axis=0))
    stars = 1 + 4 * np.clip(liking, 0, 1) + random.normal(0, 0.5, liking.shape)
    stars = np.clip(np.round(2 * stars) / 2, 1, 5)
    seen = random.random(liking.shape) < share * (0.5 + liking / liking.mean() / 2)
    rows = [(f"user_{j + 1}", f"film_{i + 1}", float(stars[i, j])) for i, j in np.argwhere(seen)]
    return rows, [f"kind_{k + 1}" for k in kind]


def instruments(seed: int = 4) -> dict[str, Array]:
    """Synthesise four instruments, each of which plays its one sound in a rhythm of its own.

    Returns
    -------
    dict of (n_samples,) ndarray
        Between −1 and 1: bass (a low tone with many overtones), organ (a chord), bell (overtones that are no multiples,
        slowly fading) and hi-hat (bursts of high noise).
    """
    random = np.random.default_rng(seed)
    bass = sum(np.sin(2 * np.pi * 82.4 * k * _time(0.35)) / k for k in range(1, 9))
    organ = sum(
        np.sin(2 * np.pi * f * k * _time(0.6)) / k**1.5
        for f in (392.0, 493.9, 587.3)
        for k in (1, 2, 3)
    )
    bell = sum(np.sin(2 * np.pi * 880 * k * _time(1.2)) / k for k in (1, 1.52, 2.27, 3.03))
    notes: dict[str, tuple[Callable[[], Array], float, float]] = {
        "bass": (lambda: bass * _fading(0.35, 0.25), 0.5, 0.0),
        "organ": (lambda: organ * _fading(0.6, 5.0), 1.5, 0.25),
        "bell": (lambda: bell * _fading(1.2, 0.35), 2.0, 0.9),
        "hi-hat": (lambda: _hiss(random, 0.12) * _fading(0.12, 0.04), 0.25, 0.125),
    }
    loudness = {"bass": 0.3, "organ": 0.2, "bell": 0.2, "hi-hat": 0.12}
    sounds = {}
    for name, (play, every, first) in notes.items():
        track = np.zeros(int(SECONDS * RATE))
        for start in np.arange(first, SECONDS, every):
            if random.random() < 0.8:  # so that no two rhythms always coincide
                begin, note = int(start * RATE), play()
                end = min(begin + len(note), len(track))
                track[begin:end] += note[: end - begin]
        sounds[name] = loudness[name] * track / np.abs(track).max()
    return sounds


def recording_noise(level: float = 0.002, seed: int = 5) -> Array:
    """Draw what a microphone hears when nothing plays."""
    return level * np.random.default_rng(seed).normal(size=int(SECONDS * RATE))


def _hiss(random: np.random.Generator, seconds: float) -> Array:
    """Draw noise without its low frequencies."""
    return np.asarray(np.diff(random.normal(size=int(seconds * RATE) + 2), n=2))


def _time(seconds: float) -> Array:
    return np.arange(int(seconds * RATE)) / RATE


def _fading(seconds: float, half_life: float) -> Array:
    """Fade by half in `half_life`, with soft beginning and end."""
    time = _time(seconds)
    edges = np.minimum(np.minimum(time, seconds - time) / 0.03, 1)
    return np.asarray(np.sin(np.pi / 2 * edges) ** 2 * 0.5 ** (time / half_life))
