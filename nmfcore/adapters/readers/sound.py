"""WAV files to frequencies × times: how loud each frequency is at each moment."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from nmfcore.adapters.readers.files import unreadable
from nmfcore.adapters.readers.parsed import Parsed
from nmfcore.adapters.readers.wording import counted
from nmfcore.errors import InputError

if TYPE_CHECKING:
    from scipy.signal import ShortTimeFFT

SPECTROGRAMS = ("magnitude", "power")


@dataclass(frozen=True)
class Spectrum:
    """Short-time Fourier transform of a sound.

    Attributes
    ----------
    values : (n_frequencies, n_times) ndarray of complex
    transform : scipy.signal.ShortTimeFFT
        Its `istft` goes back to sound.
    n_samples : int
        Of the sound, all channels averaged to one.
    rate : int
        Samples a second.
    notices : tuple of str
    """

    values: NDArray[np.complexfloating]
    transform: ShortTimeFFT
    n_samples: int
    rate: int
    notices: tuple[str, ...]


def read(
    path: Path, *, spectrogram: str = "magnitude", window: int = 1024, hop: int = 256
) -> Parsed:
    """Read the spectrogram of a sound.

    Parameters
    ----------
    path : pathlib.Path
        WAV with integers or floats, any number of channels.
    spectrogram : {'magnitude', 'power'}
        Absolute value of the Fourier transform, or its square.
    window, hop : int
        Length of the Hann window, and how far it moves, in samples of sound.

    Returns
    -------
    Parsed
        Features are frequencies in Hz, samples are the times of the middle of the windows, in s.

    Raises
    ------
    InputError
        If the file is damaged, no WAV, or shorter than a window.
    """
    if spectrogram not in SPECTROGRAMS:
        raise InputError(
            f"spectrogram {spectrogram!r} is not known; choose {' or '.join(SPECTROGRAMS)}."
        )
    spectrum = transformed(path, window, hop)
    magnitude = np.abs(spectrum.values)
    times = spectrum.transform.t(spectrum.n_samples)
    return Parsed(
        magnitude if spectrogram == "magnitude" else magnitude**2,
        feature_ids=[f"{frequency:.2f} Hz" for frequency in spectrum.transform.f],
        sample_ids=[f"{time:.4f} s" for time in times],
        notices=spectrum.notices,
        is_oriented=True,
    )


def transformed(path: Path, window: int, hop: int) -> Spectrum:
    """Return the short-time Fourier transform of a file, with phases, as `read` takes it.

    Parameters
    ----------
    path : pathlib.Path
    window, hop : int

    Raises
    ------
    InputError
        See `read`.
    """
    from scipy import signal  # takes longer to load than all other readers

    if not 0 < hop <= window:
        raise InputError(
            f"input.sound: the window of {window} samples moves by {hop}; the hop must be 1 … {window}."
        )
    rate, sound = _sound(path)
    notices = [f"{path.name}: {len(sound) / rate:.2f} s of sound at {rate:,} samples a second."]
    if sound.ndim > 1:
        notices.append(f"{path.name}: {counted(sound.shape[1], 'channel')} averaged to one.")
        sound = sound.mean(axis=1)
    if len(sound) < window:
        raise InputError(
            f"{path.name} has {counted(len(sound), 'sample')} of sound, fewer than a window of {window}. "
            "Set a shorter window in input.sound, or give a longer sound."
        )
    transform = signal.ShortTimeFFT(
        signal.windows.hann(window, sym=False), hop, rate, scale_to="magnitude"
    )
    return Spectrum(transform.stft(sound), transform, len(sound), rate, tuple(notices))


def _sound(path: Path) -> tuple[int, NDArray[np.floating]]:
    """Return samples a second and the sound between −1 and 1, (n_samples,) or (n_samples, n_channels)."""
    from scipy.io import wavfile

    try:
        if not path.stat().st_size:
            raise InputError(f"{path.name} is empty: there is no sound in it. Write it again.")
        _refuse_cut(path)
        with warnings.catch_warnings():
            warnings.filterwarnings("error", "Reached EOF", wavfile.WavFileWarning)
            warnings.simplefilter("ignore", wavfile.WavFileWarning)  # chunks of other programs
            rate, sound = wavfile.read(path)
    except InputError:
        raise
    except PermissionError as error:
        raise InputError(unreadable(path, error)) from None
    # The parser of SciPy raises a dozen kinds on damaged bytes.
    except Exception as error:
        reason = str(error).split("\n")[0][:160] or type(error).__name__
        raise InputError(
            f"{path.name} is damaged or not a WAV file ({reason}). Copy it again, or save it as WAV (PCM) in an audio "
            "program."
        ) from None
    if not sound.size or rate <= 0:
        raise InputError(f"{path.name} holds no sound (0 samples). Write it again.")
    if sound.dtype.kind == "f":
        return int(rate), sound.astype(float)
    middle = 128 if sound.dtype == np.uint8 else 0
    return int(rate), (sound.astype(float) - middle) / (np.iinfo(sound.dtype).max - middle)


def _refuse_cut(path: Path) -> None:
    """Refuse a file that is shorter than its header says; SciPy would read what there is."""
    with path.open("rb") as stream:
        head = stream.read(8)
    promised, there = int.from_bytes(head[4:], "little") + 8, path.stat().st_size
    if head[:4] == b"RIFF" and promised > there:
        raise InputError(
            f"{path.name} is damaged: it has {there:,} of the {promised:,} bytes that its header promises. Copy it "
            "again."
        )
