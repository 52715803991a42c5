"""Images of one size, a folder or a NumPy stack, to pixels × images."""

from __future__ import annotations

import warnings
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

from nmfcore.adapters.readers.arrays import read_stack
from nmfcore.adapters.readers.files import files_of
from nmfcore.adapters.readers.packages import load
from nmfcore.adapters.readers.parsed import Block, Parsed
from nmfcore.adapters.readers.wording import counted, few
from nmfcore.errors import InputError

SUFFIXES = (".png", ".pgm", ".jpg", ".jpeg")
GREY = ("L", "I", "F", "I;16", "I;16B", "I;16L")
BINARY = "1"


def read(path: Path, *, height: int | None = None, width: int | None = None) -> Parsed:
    """Read grey values, 0 for black, row by row.

    Parameters
    ----------
    path : pathlib.Path
        A folder (searched at every depth) of PNG, PGM or JPEG files; or a .npy or .npz file with an array (n_images,
        height, width).
    height, width : int, optional
        Size that images of a folder are brought to, in pixels, by averaging; both or none.

    Returns
    -------
    Parsed
        Features are pixels 'y<row>x<column>', counted from 0; samples are files, or image_1, ….

    Raises
    ------
    InputError
        If an image is damaged, or sizes differ.
    """
    if (height is None) != (width is None):
        raise InputError(
            f"{path.name}: give both height and width of the images in input.images, or neither."
        )
    if not path.is_dir():
        stack = read_stack(path)
        if height is not None:
            raise InputError(
                f"{path.name} is a NumPy stack; only folders of images are resized. Leave out height and width."
            )
        samples = [f"image_{i}" for i in range(1, len(stack) + 1)]
        return _parsed(stack, samples, ())
    size = None if height is None or width is None else (width, height)
    files = [file for file in files_of(path) if file.suffix.lower() in SUFFIXES]
    ignored = [file.name for file in files_of(path) if file not in set(files)]
    images, notes = [], Counter[str]()
    for file in files:
        image, note = _image(file, file.relative_to(path).as_posix(), size)
        images.append(image)
        notes.update(note)
    ids = [file.relative_to(path).as_posix() for file in files]
    _refuse_sizes(path, ids, images)
    notices = [f"{path.name}: {counted(count, 'image')} {note}." for note, count in notes.items()]
    if ignored:
        notices.append(
            f"{path.name}: {counted(len(ignored), 'file')} that are no images ignored ({few(ignored)})."
        )
    return _parsed(np.stack(images), ids, tuple(notices))


def _parsed(stack: Block, ids: list[str], notices: tuple[str, ...]) -> Parsed:
    n_images, height, width = stack.shape
    pixels = [f"y{y}x{x}" for y in range(height) for x in range(width)]
    return Parsed(
        stack.reshape(n_images, height * width).T,
        feature_ids=pixels,
        sample_ids=ids,
        notices=(*notices, f"{counted(n_images, 'image')} of {height} × {width} pixels."),
        is_oriented=True,
    )


def _image(file: Path, name: str, size: tuple[int, int] | None) -> tuple[Block, list[str]]:
    """Return the grey values of a file, and what was done to get them."""
    pillow = load("PIL.Image", "pillow", "edges", name)
    notes = []
    try:
        # A picture of absurd size is only warned of.
        with warnings.catch_warnings():
            warnings.simplefilter("error", pillow.DecompressionBombWarning)
            with pillow.open(file) as image:
                image.load()
                if image.mode == BINARY:
                    image = image.convert("L")
                elif image.mode not in GREY:
                    notes.append("in colour turned to grey")
                    if "A" in image.getbands() or "transparency" in image.info:
                        notes.append("with transparency, which is ignored")
                    image = image.convert("RGB").convert("L")
                if size is not None and image.size != size:
                    notes.append(f"resized to {size[1]} × {size[0]} pixels")
                    image = _float(image).resize(size, pillow.Resampling.BOX)
                return np.asarray(image), notes
    # Pillow raises a dozen kinds on damaged bytes.
    except Exception as error:
        reason = str(error).split("\n")[0].replace(str(file), name)[:160] or type(error).__name__
        raise InputError(
            f"{name} cannot be read as an image ({reason}). Copy it again, or leave it out of the folder."
        ) from None


def _float(image: Any) -> Any:
    return image if image.mode == "F" else image.convert("F")


def _refuse_sizes(folder: Path, ids: list[str], images: list[Block]) -> None:
    if not images:
        raise InputError(
            f"{folder.name} holds no image ({', '.join(SUFFIXES)}): there is nothing to factorise. Check the path."
        )
    sizes = Counter(image.shape for image in images)
    (height, width), _ = sizes.most_common(1)[0]
    odd = [
        f"{name} ({image.shape[0]} × {image.shape[1]})"
        for name, image in zip(ids, images, strict=True)
        if image.shape != (height, width)
    ]
    if odd:
        raise InputError(
            f"{folder.name}: {counted(len(odd), 'image')} of {len(images):,} are not {height} × {width} pixels like "
            f"the others: {few(odd)}. Cut them alike, or bring all to one size by `input: {{images: {{height: "
            f"{height}, width: {width}}}}}`."
        )
