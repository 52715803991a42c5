"""Components of a spectrogram as sounds: each part alone as a WAV file, and how well it is separated."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from nmfcore.adapters.figures.drawing import save
from nmfcore.adapters.figures.style import BEST, DOUBLE_COLUMN, new_figure, place, styled
from nmfcore.adapters.readers.files import find
from nmfcore.adapters.readers.sound import Spectrum, transformed
from nmfcore.adapters.store import SweepFolder, write_bytes, write_table
from nmfcore.errors import InputError

Array = NDArray[np.float64]
_LOWEST_DB = -60.0


def show(folder: SweepFolder, out: Path, reference: str | None) -> None:
    """Write part-<k>.wav, parts.svg, .png, and parts.tsv with how well each known sound is separated.

    Each cell of the short-time Fourier transform is shared out among the parts as their fits share it (a Wiener mask),
    with the phase of the mixture.

    Parameters
    ----------
    folder : SweepFolder
    out : pathlib.Path
    reference : path, optional
        Folder with the sounds that were mixed, each alone; the mixture itself is left out.
    """
    _, arrays = folder.solution_at()
    source, settings = folder.matrix_info["source"], folder.settings["input"]["sound"]
    if source["format"] != "sound":
        raise InputError(
            f"show: {{kind: sounds}} needs a WAV file as input; {source['path']} is {source['format']}. Show another "
            "kind."
        )
    spectrum = transformed(Path(source["path"]), settings["window"], settings["hop"])
    features, samples = _places(spectrum, folder)
    tracks = separated(spectrum, arrays["W"], arrays["H"], features, samples)
    names = [str(name) for name in arrays["components"]]
    for name, track in zip(names, tracks, strict=True):
        write_bytes(out / f"{name}.wav", _wav(track, spectrum.rate))
    truth = _truth(reference, Path(source["path"]).name, spectrum)
    rows = _scores(names, tracks, truth, spectrum)
    columns = ["component", "known_sound", "separation_db", "separation_of_mixture_db"]
    write_table(out / "parts.tsv", columns, rows)
    titles = [
        f"part {k + 1}" + (f": {row[1]}, {row[2]:.1f} dB" if row[1] else "")
        for k, row in enumerate(rows)
    ]
    figure = sounds_figure(arrays["W"], arrays["H"], spectrum, features, samples, titles)
    save(figure, out / "parts")


def separated(
    spectrum: Spectrum,
    W: Array,
    H: Array,
    features: NDArray[np.intp],
    samples: NDArray[np.intp],
) -> list[Array]:
    """Return the sound of each component, (n_samples,); together they are the mixture.

    Parameters
    ----------
    spectrum : Spectrum
    W, H : ndarray
    features, samples : ndarray of int
        Places of the fitted rows and columns in the spectrum.
    """
    parts = W.T[:, :, None].astype(float) * H[:, None, :]
    total = parts.sum(axis=0)
    tracks = []
    for part in parts:
        mask = np.zeros(spectrum.values.shape)
        mask[np.ix_(features, samples)] = np.divide(
            part, total, out=np.full_like(part, 1 / len(parts)), where=total > 0
        )
        tracks.append(
            np.real(spectrum.transform.istft(spectrum.values * mask, k1=spectrum.n_samples))
        )
    return tracks


def separation(track: Array, truth: Array) -> float:
    """Scale-invariant signal-to-distortion ratio in dB (Le Roux et al. 2019).

    10 lg ‖αs‖² / ‖αs − t‖², α = ⟨t, s⟩ / ‖s‖².

    Parameters
    ----------
    track : (n_samples,) ndarray
        t, the estimate.
    truth : (n_samples,) ndarray
        s.
    """
    target = float(track @ truth) / float(truth @ truth) * truth
    noise = float(((track - target) ** 2).sum())
    signal = float((target**2).sum())
    return float(10 * np.log10(max(signal, 1e-300) / max(noise, 1e-300)))


def _places(spectrum: Spectrum, folder: SweepFolder) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return which frequencies and times took part in the fit: all but those that were dropped."""
    dropped = (folder.matrix_info["dropped_features"], folder.matrix_info["dropped_samples"])
    kept = [
        np.setdiff1d(np.arange(size), [entry["position"] for entry in entries])
        for size, entries in zip(spectrum.values.shape, dropped, strict=True)
    ]
    if (len(kept[0]), len(kept[1])) != folder.matrix.shape:
        raise InputError(
            "show: {kind: sounds} needs every frequency and time of the sound, but steps of `prepare` left some out. "
            "Remove those steps."
        )
    return kept[0], kept[1]


def _wav(track: Array, rate: int) -> bytes:
    from scipy.io import wavfile

    stream = io.BytesIO()
    wavfile.write(stream, rate, track.astype(np.float32))
    return stream.getvalue()


def _truth(reference: str | None, mixture: str, spectrum: Spectrum) -> dict[str, Array]:
    from scipy.io import wavfile

    if reference is None:
        return {}
    files = [f for f in sorted(find(reference, folders=True).glob("*.wav")) if f.name != mixture]
    sounds = {file.stem: np.asarray(wavfile.read(file)[1], float) for file in files}
    wrong = [name for name, sound in sounds.items() if sound.shape != (spectrum.n_samples,)]
    if not sounds or wrong:
        raise InputError(
            f"{reference}: {'no .wav file' if not sounds else f'{wrong[0]}.wav has another length than the mixture'}. "
            "Give the folder of the sounds that were mixed, one channel each."
        )
    return sounds


def _scores(
    names: list[str], tracks: list[Array], truth: dict[str, Array], spectrum: Spectrum
) -> list[list[object]]:
    """Return a row a component: the known sound it is matched with, its separation, and that of the mixture itself."""
    if not truth:
        return [[name, None, None, None] for name in names]
    mixture = np.sum(tracks, axis=0)
    sounds = list(truth)
    table = np.array([[separation(track, truth[name]) for name in sounds] for track in tracks])
    pairs = dict(zip(*linear_sum_assignment(table, maximize=True), strict=True))
    return [
        [
            name,
            sounds[pairs[k]],
            float(table[k, pairs[k]]),
            separation(mixture, truth[sounds[pairs[k]]]),
        ]
        if k in pairs
        else [name, None, None, None]
        for k, name in enumerate(names)
    ]


@styled
def sounds_figure(
    W: Array,
    H: Array,
    spectrum: Spectrum,
    features: NDArray[np.intp],
    samples: NDArray[np.intp],
    titles: list[str],
) -> Figure:
    """Draw the mixture, and beside each other the spectrum and the loudness of each part."""
    height = 17.0
    figure = new_figure(DOUBLE_COLUMN, 44 + height * len(titles) + 8)
    times = spectrum.transform.t(spectrum.n_samples)
    frequencies = spectrum.transform.f / 1000
    axes = place(figure, 62, 5, DOUBLE_COLUMN - 66, 30)
    level = np.abs(spectrum.values)
    decibels = 20 * np.log10(np.maximum(level / level.max(), 10 ** (_LOWEST_DB / 20)))
    extent = (times[0], times[-1], frequencies[0], frequencies[-1])
    axes.imshow(
        decibels, cmap="viridis", aspect="auto", origin="lower", extent=extent, vmin=_LOWEST_DB
    )
    axes.set_ylabel("kHz")
    axes.set_title("The recording (60 dB from dark to bright)")
    for k, title in enumerate(titles):
        top = 44 + k * height
        left = place(figure, 12, top, 40, height - 6)
        left.fill_between(frequencies[features], W[:, k], color=BEST, lw=0)
        left.set_title(title)
        right = place(figure, 62, top, DOUBLE_COLUMN - 66, height - 6)
        right.fill_between(times[samples], H[k], color=BEST, lw=0)
        for panel, limits in ((left, frequencies), (right, times)):
            panel.set_yticks([])
            panel.set_xlim(max(limits[0], 0), limits[-1])
            if k < len(titles) - 1:
                panel.set_xticklabels([])
        if k == 0:
            right.set_title("when it sounds")
        if k == len(titles) - 1:
            left.set_xlabel("kHz")
            right.set_xlabel("s")
    return figure
