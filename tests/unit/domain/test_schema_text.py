from contextlib import suppress

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trivet.domain.schema import check_schema, format_field, format_schema, format_type, parse_schema, parse_type
from trivet.errors import Invalid

NOT_NULL = pa.field("item", pa.float32(), nullable=False)

# Text as it is written back, and the type it stands for.
TYPES = {
    **{str(each): each for each in (pa.int8(), pa.int16(), pa.int32(), pa.int64(), pa.bool_(), pa.string())},
    **{str(each): each for each in (pa.uint8(), pa.uint16(), pa.uint32(), pa.uint64(), pa.binary())},
    "float16": pa.float16(),
    "float32": pa.float32(),
    "float64": pa.float64(),
    "large_string": pa.large_string(),
    "large_binary": pa.large_binary(),
    "date32": pa.date32(),
    "date64": pa.date64(),
    "binary(16)": pa.binary(16),
    "timestamp[ms]": pa.timestamp("ms"),
    "timestamp[us, UTC]": pa.timestamp("us", "UTC"),
    "timestamp[ns, America/New_York]": pa.timestamp("ns", "America/New_York"),
    "timestamp[s, +05:30]": pa.timestamp("s", "+05:30"),
    "duration[ns]": pa.duration("ns"),
    "decimal128(10,2)": pa.decimal128(10, 2),
    "decimal256(40,-3)": pa.decimal256(40, -3),
    "float32[29]": pa.list_(pa.float32(), 29),
    "float32![29]": pa.list_(NOT_NULL, 29),
    "float32[]": pa.list_(pa.float32()),
    "float32![]": pa.list_(NOT_NULL),
    "float32[large]": pa.large_list(pa.float32()),
    "int64[32,32,3]": pa.list_(pa.list_(pa.list_(pa.int64(), 3), 32), 32),
    "float64[*,128]": pa.list_(pa.list_(pa.float64(), 128)),
    "float64[4,*]": pa.list_(pa.list_(pa.float64()), 4),
    "float64[*,*]": pa.list_(pa.list_(pa.float64())),
    "float32[3]![10]": pa.list_(pa.field("item", pa.list_(pa.float32(), 3), nullable=False), 10),
    "float32![3]![10]": pa.list_(pa.field("item", pa.list_(NOT_NULL, 3), nullable=False), 10),
    "timestamp[ms][3]": pa.list_(pa.timestamp("ms"), 3),
    "struct{text: string, at: float32[2]}": pa.struct(
        [pa.field("text", pa.string(), nullable=False), pa.field("at", pa.list_(pa.float32(), 2), nullable=False)]
    ),
    'struct{"a b": int8?}[]': pa.list_(pa.struct([pa.field("a b", pa.int8())])),
}


@pytest.mark.parametrize("text", TYPES)
def test_a_type_is_read_and_written_in_the_same_words(text: str) -> None:
    assert parse_type(text) == TYPES[text]
    assert format_type(TYPES[text]) == text


@pytest.mark.parametrize(
    ("text", "same"),
    [
        (" float32 [ 29 ] ", "float32[29]"),
        ("float64[,128]", "float64[*,128]"),
        ("float64[ * , 128 ]", "float64[*,128]"),
        ("float32[*]", "float32[]"),
        ("int64[3][32]", "int64[32,3]"),
        ("float32?[3]", "float32[3]"),
        ("float32!\t[3]", "float32![3]"),
        ("timestamp[us,UTC]", "timestamp[us, UTC]"),
        ('timestamp[us, "UTC"]', "timestamp[us, UTC]"),
        ("struct {\n  a : int8,\n  b: string ?\n}", "struct{a: int8, b: string?}"),
        ("decimal128( 10 , 2 )", "decimal128(10,2)"),
    ],
)
def test_spaces_and_other_spellings_do_not_matter(text: str, same: str) -> None:
    assert format_type(parse_type(text)) == same


def test_a_schema_is_fields_separated_by_semicolons_or_lines() -> None:
    expected = pa.schema(
        [
            pa.field("images", pa.list_(pa.list_(pa.list_(pa.int64(), 3), 32), 32), nullable=False),
            pa.field("name", pa.string()),
            pa.field("house age", pa.float32(), nullable=False),
        ]
    )

    text = 'images: int64[32,32,3]; name: string?; "house age": float32'
    assert parse_schema(text) == expected
    assert parse_schema(text.replace("; ", "\n\n") + ";\r\n") == expected
    assert format_schema(expected) == text


def test_a_field_is_shown_with_its_mark() -> None:
    assert format_field(pa.field("a", pa.list_(pa.float32(), 29))) == "float32[29]?"
    assert format_field(pa.field("a", pa.list_(NOT_NULL, 29), nullable=False)) == "float32![29]"


@pytest.mark.parametrize(
    "other",
    [
        pa.time32("s"),
        pa.null(),
        pa.map_(pa.string(), pa.int8()),
        pa.dictionary(pa.int8(), pa.string()),
        pa.list_view(pa.int8()),
        pa.string_view(),
        pa.uuid(),
        pa.fixed_shape_tensor(pa.float32(), [2, 2]),
        pa.run_end_encoded(pa.int32(), pa.int8()),
        pa.dense_union([pa.field("a", pa.int8())]),
        pa.month_day_nano_interval(),
        pa.decimal32(5, 2),
    ],
    ids=str,
)
def test_a_type_that_no_schema_takes_is_shown_as_arrow_names_it(other: pa.DataType) -> None:
    assert format_type(other) == str(other)
    assert format_type(pa.list_(pa.struct([("x", other)]))) == f"struct{{x: {other}?}}[]"


# Lists of what follows the first line of the reason: the line in question, and a mark below the place.
@pytest.mark.parametrize(
    ("text", "what", "mark", "fix"),
    [
        ("a: flaot32[3]", "'flaot32' is not a type", 3, "did you mean float32?"),
        ("a: float", "'float' is not a type", 3, "did you mean float32 or float64?"),
        ("a: str", "'str' is not a type", 3, "did you mean string?"),
        ("a: Int64", "'Int64' is not a type", 3, "did you mean int64?"),
        ("a: time32[s]", "time32 is not supported", 3, "send times of day as strings: 'string'"),
        ("a: time64", "time64 is not supported", 3, "send times of day as strings: 'string'"),
        ("a: null", "null is not supported", 3, "give the type of the values, and '?' if they may be null"),
        ("a", "expected ':' and a type after 'a'", 1, None),
        ("a:", "expected a type", 2, "write one like float32[29], int64 or string"),
        (
            "1a: int8",
            "expected the name of a field",
            0,
            'quote a name that is not a plain word: "house age"',
        ),
        ("a: int8, b: int8", "expected the end of the field", 7, "fields are separated by ';'"),
        (
            "a: int8 b: int8",
            "expected the end of the field",
            8,
            "separate fields with ';', or put each on its own line",
        ),
        ("a: int8!", "expected '[' after '!'", 8, "'!' is for the items of a list: 'float32![29]'"),
        ("a: int8[0]", "expected a size from 1 to 134,217,728", 8, None),
        ("a: int8[-3]", "expected a size from 1 to 134,217,728", 8, None),
        ("a: int8[x]", "expected a size: a number", 8, None),
        ("a: int8[3", "expected ',' or ']' after a size", 9, None),
        ("a: timestamp", "expected '['", 12, "write its unit: timestamp[ms]"),
        (
            "a: timestamp[3]",
            "expected a unit: s, ms, us, ns",
            13,
            "write timestamp[ms]; a list of them is timestamp[ms][3]",
        ),
        ("a: decimal128(39,2)", "expected the number of digits from 1 to 38", 14, None),
        ("a: decimal128", "expected '('", 13, "write its digits and those after the point: decimal128(10,2)"),
        ("a: binary(0)", "expected the number of bytes from 1 to 134,217,728", 10, None),
        ("a: struct", "expected '{'", 9, "write its members: struct{text: string, at: float32[2]}"),
        ("a: struct{b: int8; c: int8}", "expected ',' or '}' after a member", 17, None),
        ('"a: int8', "this quoted text does not end, or holds a character that JSON requires escaped", 0, None),
        ("a: int8[1,1,1,1,1,1,1,1,1]", "more than 8 nested lists and structs", 3, None),
    ],
)
def test_what_cannot_be_read_is_shown_with_its_place(text: str, what: str, mark: int, fix: str | None) -> None:
    with pytest.raises(Invalid) as caught:
        parse_schema(text)

    error = caught.value
    assert (error.what, error.fix) == (what, fix)
    assert str(error.why).splitlines() == [f"at character {mark + 1}", f"    {text}", f"    {' ' * mark}^"]


def test_the_place_is_on_its_line_and_a_long_line_is_cut_around_it() -> None:
    with pytest.raises(Invalid) as caught:
        parse_schema("a: int8\n\tb: nit8\nc: int8")
    assert str(caught.value.why).splitlines() == ["at line 2, character 5", "     b: nit8", "        ^"]

    with pytest.raises(Invalid) as caught:
        parse_schema("; ".join(f"field{n}: int8" for n in range(100)) + "; b: nit8; " + "x" * 1000)
    _, line, mark = str(caught.value.why).splitlines()
    assert len(line) <= 80
    assert line[mark.index("^") :].startswith("nit8; x")


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("", "the given schema has no fields"),
        (" ;\n; ", "the given schema has no fields"),
        ("a: int8; a: int16", "the given schema has two fields called 'a'"),
        ('a: struct{b: int8, "b": int8}', "a struct has two fields called 'b'"),
        ('"": int8', "the given schema has a field without a name"),
        (r'"\ud800": int8', r"the name '\ud800' is not valid Unicode"),
        (r'a: timestamp[us, "\ud800"]', r"the time zone '\ud800' is not valid Unicode"),
        ("a: uint8[20000,20000]", "a row of the given schema would hold 400,000,000 values"),
        ("a: " + "struct{a: " * 5000, "more than 8 nested lists and structs"),
        ("a" * (2**20 + 1), "the schema's text has 1,048,577 characters"),
    ],
)
def test_a_text_of_no_schema_is_refused(text: str, what: str) -> None:
    with pytest.raises(Invalid) as caught:
        parse_schema(text)
    assert caught.value.what == what


@pytest.mark.parametrize("text", ["float32?", "float32; string", "float32]", ""])
def test_a_type_is_one_type_and_nothing_more(text: str) -> None:
    with pytest.raises(Invalid):
        parse_type(text)


UNITS = st.sampled_from(["s", "ms", "us", "ns"])
NAMES = st.one_of(
    st.from_regex(r"[a-z_]\w{0,8}", fullmatch=True),
    st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=8),
)
ZONES = st.sampled_from(["UTC", "Europe/Berlin", "-03:00", "Etc/GMT+1", 'no zone, "really" ]', "Zürich"])
LEAVES = st.one_of(
    st.sampled_from([each for each in TYPES.values() if not pa.types.is_nested(each)]),
    st.builds(pa.binary, st.integers(1, 64)),
    st.builds(pa.timestamp, UNITS, st.one_of(st.none(), ZONES)),
    st.builds(pa.duration, UNITS),
    st.builds(pa.decimal128, st.integers(1, 38), st.integers(-128, 127)),
    st.builds(pa.decimal256, st.integers(1, 76), st.integers(-128, 127)),
)


def lists(inner: st.SearchStrategy[pa.DataType]) -> st.SearchStrategy[pa.DataType]:
    # The name of a list's items is no part of a type to Arrow.
    items = st.builds(pa.field, st.sampled_from(["item", "inner", "element"]), inner, nullable=st.booleans())
    return st.one_of(
        st.builds(pa.list_, items, st.integers(1, 4)), st.builds(pa.list_, items), st.builds(pa.large_list, items)
    )


def fields(types: st.SearchStrategy[pa.DataType]) -> st.SearchStrategy[list[pa.Field]]:
    field = st.builds(pa.field, NAMES, types, nullable=st.booleans())
    return st.lists(field, min_size=1, max_size=3, unique_by=lambda each: each.name)


@st.composite
def nested(draw: st.DrawFn, depth: int) -> pa.DataType:
    """Types of at most so many nested lists and structs, which `st.recursive` does not promise."""
    if depth == 0 or draw(st.booleans()):
        return draw(LEAVES)
    inner = nested(depth - 1)
    return draw(st.one_of(lists(inner), st.builds(pa.struct, fields(inner))))


@given(nested(5))
def test_every_type_comes_back_from_its_text(data_type: pa.DataType) -> None:
    assert parse_type(format_type(data_type)) == data_type


@given(st.builds(pa.schema, fields(nested(4))))
def test_every_schema_that_is_taken_comes_back_from_its_text(schema: pa.Schema) -> None:
    check_schema(schema, which="input")
    text = format_schema(schema)

    assert parse_schema(text) == schema
    assert format_schema(parse_schema(text)) == text
    assert parse_schema("\n".join(format_schema(pa.schema([field])) for field in schema)) == schema


PIECES = st.sampled_from(
    [
        "a",
        ":",
        " ",
        "float32",
        "struct",
        "{",
        "}",
        "[",
        "]",
        "!",
        "?",
        ",",
        ";",
        "\n",
        "3",
        "*",
        "large",
        '"',
        "\\",
        "(",
    ]
)


@given(st.one_of(st.text(), st.lists(PIECES, max_size=20).map("".join)))
def test_any_text_is_a_schema_or_an_error_of_the_caller(text: str) -> None:
    with suppress(Invalid):
        schema = parse_schema(text)
        assert parse_schema(format_schema(schema)) == schema
