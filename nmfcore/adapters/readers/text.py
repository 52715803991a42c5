"""Plain text to terms × documents: how often each term occurs."""

from __future__ import annotations

import re
from pathlib import Path

from nmfcore.adapters.readers.files import files_of, read_text
from nmfcore.adapters.readers.packages import load
from nmfcore.adapters.readers.parsed import Parsed
from nmfcore.adapters.readers.wording import counted, few
from nmfcore.errors import InputError

SUFFIX = ".txt"
STOP_WORDS = ("english",)


def read(
    path: Path,
    *,
    min_documents: int = 2,
    max_share: float = 1.0,
    stop_words: str | None = None,
    max_terms: int | None = None,
    lowercase: bool = True,
    pattern: str = r"\b\w\w+\b",
) -> Parsed:
    """Count terms by scikit-learn's `CountVectorizer`.

    Parameters
    ----------
    path : pathlib.Path
        A folder with a .txt file a document (searched at every depth), or a file with a document a line.
    min_documents : int
        Terms of fewer documents are left out.
    max_share : float
        Terms of more than this share of the documents are left out.
    stop_words : {'english', None}
        Whether scikit-learn's list of common English words is left out.
    max_terms : int, optional
        Only as many terms are kept, the most frequent.
    lowercase : bool
    pattern : str
        Regular expression of a term.

    Returns
    -------
    Parsed

    Raises
    ------
    InputError
        If there is no text, or no term is left.
    """
    if stop_words is not None and stop_words not in STOP_WORDS:
        raise InputError(
            f"stop_words {stop_words!r} is not known; choose {', '.join(STOP_WORDS)}, or null for none."
        )
    try:
        re.compile(pattern)
    except re.error as error:
        raise InputError(
            f"input.text.pattern {pattern!r} is no regular expression ({error}). Correct it."
        ) from None
    ids, documents, notices = _folder(path) if path.is_dir() else _lines(path)
    vectorizer = load("sklearn.feature_extraction.text", "scikit-learn", "edges", path.name)
    counter = vectorizer.CountVectorizer(
        min_df=min(min_documents, len(documents)),
        max_df=float(max_share),
        stop_words=stop_words,
        max_features=max_terms,
        lowercase=lowercase,
        token_pattern=pattern,
    )
    try:
        counts = counter.fit_transform(documents)
    except ValueError as error:
        raise InputError(
            f"{path.name}: no term of {counted(len(documents), 'document')} is left ({str(error)[:120]}). Lower "
            "min_documents, raise max_share, or check that the text is one document a line."
        ) from None
    terms = counter.get_feature_names_out().tolist()
    return Parsed(
        counts.T,
        feature_ids=terms,
        sample_ids=ids,
        notices=(*notices, f"{counted(len(terms), 'term')} in {counted(len(ids), 'document')}."),
        is_oriented=True,
    )


def _lines(path: Path) -> tuple[list[str], list[str], tuple[str, ...]]:
    text = read_text(path)
    return [f"document_{number}" for number in text.numbers], text.lines, text.notices


def _folder(path: Path) -> tuple[list[str], list[str], tuple[str, ...]]:
    files = files_of(path)
    texts = [file for file in files if file.suffix.lower() == SUFFIX]
    if not texts:
        raise InputError(
            f"{path.name} holds no {SUFFIX} file: there is nothing to factorise. Check the path."
        )
    documents: list[str] = []
    notices: list[str] = []
    for file in texts:
        text = read_text(file)
        documents.append("\n".join(text.lines))
        notices += text.notices
    ignored = [file.name for file in files if file not in set(texts)]
    if ignored:
        notices.append(
            f"{path.name}: {counted(len(ignored), 'file')} without {SUFFIX} ignored ({few(ignored)})."
        )
    return [file.relative_to(path).as_posix() for file in texts], documents, tuple(notices)
