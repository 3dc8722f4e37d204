"""Rows that a conversion is proved with: what a model knows of its input, and what conversions are known to get wrong."""

from typing import Any, Dict, Iterator, List, Sequence, Tuple

import numpy as np
import pyarrow as pa
import pyarrow.types as pat

from trivet_worker.converting.knowledge import Knowledge, knowledge_of

__all__ = ["proof_rows"]

Array = Any
Columns = Dict[str, Array]

KIND = "kind of row"
"""The last column: it says for what a row is there."""

SEED = 20
MIDDLE = 1800
MOST_WIDE = 400
MISSING = 400
MOST_NUMBERS = 2_000_000

EDGES = (0.0, -0.0, 1e-310, -1e-310, 1e-40, -1e-40, 1e-7, -1e-7, 0.5, 1.0, 255.0, 16777217.0, -1e6)
EXTREMES = (1e10, -1e10, 3e38, -3e38, 3.5e38, -3.5e38, 1e100, -1e300, float("inf"), float("-inf"))
WORDS = (
    "",
    " ",
    "unknown",
    "é",
    "e\u0301",
    "İ",
    "i",
    "ß",
    "SS",
    "Ǆ",
    "\U0001f600",
    "漢字",
    "a" * 10_000,
    "nan",
    "None",
    "0",
    "1.0",
)


def proof_rows(model: Any, fields: "Sequence[pa.Field]", names: "Sequence[str]", width: int) -> pa.Table:
    """Rows under a model's input schema, with a column that says for what each is there.

    Args:
        model: fitted.
        fields: of the input schema.
        names: of the columns of the DataFrame that it was trained with, if it was one.
        width: how many features it takes.
    """
    random = np.random.RandomState(SEED)
    texts = [index for index, field in enumerate(_features(fields, names, width)) if _is_text(field)]
    knowledge = knowledge_of(model, width, names, random)
    parts: Dict[str, List[Array]] = {}
    for kind, rows in _numeric(knowledge, width, random):
        parts.setdefault(kind, []).append(rows)
    made, kinds = [], []
    most = max(1, MOST_NUMBERS // max(1, width))
    for kind, pieces in parts.items():
        rows = np.concatenate(pieces)[:most]
        made.append(rows)
        kinds += [kind] * len(rows)
    numbers = np.concatenate(made)
    words, extra = _words(knowledge, texts, numbers, random)
    kinds += ["text"] * extra
    if extra:
        numbers = np.concatenate([numbers, numbers[random.randint(min(MIDDLE, len(numbers)), size=extra)]])
    columns = [words[index] if index in words else numbers[:, index] for index in range(width)]
    return _table(columns, kinds, fields, names)


def _features(fields: "Sequence[pa.Field]", names: "Sequence[str]", width: int) -> "List[pa.DataType]":
    """The type of each feature, in the order of the training."""
    if len(fields) == 1 and pat.is_nested(fields[0].type):
        return [fields[0].type.value_type] * width
    by_name = {field.name: field.type for field in fields}
    return [by_name[name] for name in names] if names else [field.type for field in fields]


def _is_text(kind: pa.DataType) -> bool:
    return bool(pat.is_string(kind) or pat.is_large_string(kind))


def _numeric(known: Knowledge, width: int, random: Any) -> "Iterator[Tuple[str, Array]]":
    middle = random.normal(0.0, 1.0, (MIDDLE, width)) * 10 ** random.uniform(-1, 2, (MIDDLE, 1))
    if known.middle is not None:
        taken = known.middle[random.randint(len(known.middle), size=MIDDLE)]
        middle[: len(taken) * 2 // 3] = taken[: len(taken) * 2 // 3]
    for feature, values in known.numbers.items():
        middle[:, feature] = np.asarray(values)[random.randint(len(values), size=MIDDLE)]
    yield "middle", middle
    ties = random.randint(-2, 4, (200, width)).astype(np.float64)
    yield "ties", ties
    if known.middle is not None:
        yield "ties", np.round(known.middle[:100], 1)
        yield "ties", (known.middle[:99] + known.middle[1:100]) / 2
    base = known.middle if known.middle is not None else random.normal(0.0, 1.0, (100, width))
    for row, feature in known.points:
        yield "threshold", _neighbours(row, feature)
    columns = range(width) if width <= MOST_WIDE else random.choice(width, MOST_WIDE, replace=False)
    yield "edge", _spoilt(base, EDGES, columns, random, most=400)
    yield "extreme", _spoilt(base, EXTREMES, columns, random, most=120)
    yield "missing", _missing(base, columns, random)


def _neighbours(row: Array, feature: int) -> Array:
    """A row with a number, its float32 form, and the neighbours of both on both sides."""
    value = row[feature]
    narrow = np.float32(value)
    values = [value, narrow, np.nextafter(value, np.inf), np.nextafter(value, -np.inf)]
    values += [np.nextafter(narrow, np.float32(np.inf)), np.nextafter(narrow, np.float32(-np.inf))]
    rows = np.repeat(row[np.newaxis], len(values), axis=0)
    rows[:, feature] = [float(each) for each in values]
    return rows


def _spoilt(base: Array, values: "Sequence[float]", columns: Any, random: Any, *, most: int) -> Array:
    """Rows with each of the values in each column, up to a limit, and in all columns."""
    places = [(column, value) for column in columns for value in values]
    if len(places) > most:
        places = [places[index] for index in random.choice(len(places), most, replace=False)]
    rows = base[random.randint(len(base), size=len(places))].copy()
    for row, (column, value) in zip(rows, places):
        row[column] = value
    return np.concatenate([rows, np.repeat(np.asarray(values)[:, np.newaxis], base.shape[1], axis=1)])


def _missing(base: Array, columns: Any, random: Any) -> Array:
    """Rows without a number in each column, several times, then in all, then in some: which way a tree sends them shows in few rows only."""
    columns = np.asarray(list(columns))
    places = np.tile(columns, max(1, MISSING // max(1, len(columns))))
    rows = base[random.randint(len(base), size=len(places))].copy()
    rows[np.arange(len(rows)), places] = np.nan
    some = base[random.randint(len(base), size=MISSING // 2)].copy()
    some[random.rand(*some.shape) < 0.3] = np.nan
    return np.concatenate([rows, np.full((1, base.shape[1]), np.nan), some])


def _words(known: Knowledge, texts: "Sequence[int]", numbers: Array, random: Any) -> "Tuple[Dict[int, List[str]], int]":
    """Values of the text features: known ones for the rows so far, then rows with each special one in each."""
    if not texts:
        return {}, 0
    pool = {
        index: known.words.get(index) or [each for words in known.words.values() for each in words] or ["a"]
        for index in texts
    }
    drawn = {index: [pool[index][at] for at in random.randint(len(pool[index]), size=len(numbers))] for index in texts}
    extra = 0
    for index in texts:
        special = list(
            dict.fromkeys(
                [
                    *pool[index][:200],
                    *WORDS,
                    *(each.upper() for each in pool[index][:20]),
                    *(f" {each}" for each in pool[index][:5]),
                ]
            )
        )
        extra += len(special)
        for other in texts:
            others = [pool[other][at] for at in random.randint(len(pool[other]), size=len(special))]
            drawn[other] += special if other == index else others
    return drawn, extra


def _table(columns: "List[Any]", kinds: "List[str]", fields: "Sequence[pa.Field]", names: "Sequence[str]") -> pa.Table:
    """The features under the input schema. Rows whose numbers a field cannot hold are left out."""
    kept = np.ones(len(kinds), dtype=bool)
    found: List[Tuple[pa.DataType, Array]] = []
    if len(fields) == 1 and pat.is_nested(fields[0].type):
        kind = fields[0].type
        found.append((kind, np.stack([_cast(column, kind.value_type, kept) for column in columns], axis=1)))
    else:
        order = {name: index for index, name in enumerate(names)}
        for place, field in enumerate(fields):
            values = columns[order[field.name] if names else place]
            is_text = _is_text(field.type)
            found.append((field.type, np.asarray(values, object) if is_text else _cast(values, field.type, kept)))
    made = [_lists(each[kept], kind) if pat.is_nested(kind) else pa.array(each[kept], kind) for kind, each in found]
    schema = pa.schema([*fields, pa.field(KIND, pa.string(), nullable=False)])
    shown = pa.array([kind for kind, keep in zip(kinds, kept) if keep], pa.string())
    return pa.Table.from_arrays([*made, shown], schema=schema)


def _lists(rows: Array, kind: pa.DataType) -> pa.Array:
    values = pa.array(rows.ravel(), kind.value_type)
    if pat.is_fixed_size_list(kind):
        return pa.FixedSizeListArray.from_arrays(values, rows.shape[1])
    return pa.ListArray.from_arrays(pa.array(np.arange(len(rows) + 1) * rows.shape[1], pa.int32()), values)


def _cast(values: Array, kind: pa.DataType, kept: Array) -> Array:
    """Numbers in the dtype of a field. Marks rows that it cannot hold."""
    dtype = np.dtype(kind.to_pandas_dtype())
    if dtype.kind == "b":
        return values > 0
    if dtype.kind not in "iu":
        with np.errstate(over="ignore"):
            return values.astype(dtype)
    limits = np.iinfo(dtype)
    with np.errstate(invalid="ignore"):
        fits = np.isfinite(values) & (values >= float(limits.min)) & (values < float(limits.max))
    kept &= fits
    return np.where(fits, np.nan_to_num(values), 0.0).astype(dtype)
