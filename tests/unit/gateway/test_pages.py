"""What a gateway says of itself: readiness, models, measurements, OpenAPI, documentation."""

import pytest
from prometheus_client.parser import text_string_to_metric_families

from trivet.errors import (
    DeadlineExceeded,
    Invalid,
    Kind,
    ModelFailed,
    Overloaded,
    TrivetError,
    Unavailable,
)
from trivet.gateway.http.errors import STATUS

EVERY_TYPE = (
    "a: float32[2,3]; b: int64[]; c: string; d: bool; e: timestamp[us, UTC]; f: date32; g: duration[ns]; "
    "h: decimal128(10,2); i: binary; j: binary(4); k: struct{x: int8, y: string?}[]; l: uint64; m: float16?; n: large_string; "
    "o: timestamp[ns]; p: float32[*,2]; q: float64[]?; r: duration[s][2]; s: date64"
)


def get(server, path):
    return server.ask(method="GET", path=path)


def failing(error):
    def fail(_batch):
        raise error

    return fail


def test_models_and_pipelines_are_listed(serve):
    server = serve("k: int64")
    model = get(server, "/models").json["models"][0]
    assert (model["name"], model["status"], model["sha"]) == ("model", "Running", "ab" * 32)
    assert model["framework"] == "onnx"
    pipeline = get(server, "/pipelines").json["pipelines"][0]
    assert pipeline == {"id": "model", "version": model["version"], "status": "Running"}


def test_ready_means_that_a_row_was_answered(serve):
    server = serve("k: int64")
    assert get(server, "/readyz").json == {"status": "ready"}
    assert server.runner.calls == 1
    get(server, "/readyz")
    assert server.runner.calls == 1  # a moment ago is recent enough


@pytest.mark.parametrize(
    "error", [Unavailable("no worker"), DeadlineExceeded("slow"), ModelFailed("odd", reason="model_output_mismatch")]
)
def test_a_model_that_does_not_answer_is_not_ready(serve, error):
    server = serve("k: int64", "k: int64", failing(error))
    reply = get(server, "/readyz")
    assert reply.status == 503
    assert reply.json == {"status": "not ready", "error": error.message, "reason": error.reason}
    assert get(server, "/healthz").json == {"status": "alive"}


@pytest.mark.parametrize("error", [Invalid("no zeros please"), ModelFailed("ZeroDivisionError")])
def test_a_model_that_refuses_a_made_up_row_is_reached_and_so_ready(serve, error):
    assert get(serve("k: int64", "k: int64", failing(error)), "/readyz").status == 200


def test_nothing_is_ready_without_a_worker_or_while_it_stops(serve):
    server = serve("k: int64", sound='[{"k": 1}]')
    get(server, "/readyz")
    server.runner.capacity = 0
    assert get(server, "/readyz").json["error"] == "no worker is ready"
    assert get(server, "/models").json["models"][0]["status"] == "Starting"
    server.runner.capacity = 1
    server.pipelines.begin_stop()
    assert get(server, "/readyz").json == {"status": "stopping"}
    assert get(server, "/models").json["models"][0]["status"] == "Stopping"
    assert server.still_answers()


@pytest.mark.parametrize("kind", Kind)
def test_every_kind_of_error_has_a_status(serve, kind):
    error = type("Special", (TrivetError,), {"kind": kind})("what", why="why", fix="fix", path="path", reason="slug")
    reply = serve("k: int64", "k: int64", failing(error)).rows([{"k": 1}])
    assert reply.status == STATUS[kind]
    request_id = reply.headers["x-request-id"]
    assert reply.json == {
        "code": STATUS[kind],
        "status": "error",
        "error": "what: why",
        "source": "engine",
        "reason": "slug",
        "path": "path",
        "fix": "fix",
        "request_id": request_id,
    }


def test_an_answer_to_retry_has_a_retry_after_header(serve):
    for error, status in ((Overloaded("full"), 429), (Unavailable("gone"), 503)):
        reply = serve("k: int64", "k: int64", failing(error)).rows([{"k": 1}])
        assert (reply.status, reply.headers["retry-after"]) == (status, "1")


def test_measurements_are_counted_and_prometheus_reads_them(serve):
    server = serve("k: int64", name='a"b\\c')
    server.rows([{"k": 1}] * 5)
    server.rows([{"k": 1}])
    server.rows([])
    server.ask(content_type="text/plain")
    page = get(server, "/metrics")
    assert page.headers["content-type"].startswith("text/plain; version=")
    samples = {
        (sample.name, sample.labels.get("status"), sample.labels.get("le")): sample.value
        for family in text_string_to_metric_families(page.body.decode())
        for sample in family.samples
        if sample.labels["pipeline"] == 'a"b\\c'
    }
    assert samples["trivet_requests_total", "200", None] == 2
    assert samples["trivet_requests_total", "400", None] == 1
    assert samples["trivet_requests_total", "415", None] == 1
    assert samples["trivet_rows_total", None, None] == 6
    assert samples["trivet_requests_in_flight", None, None] == 0
    assert samples["trivet_ready", None, None] == 1
    assert samples["trivet_worker_exits_total", None, None] == 0
    for name in ("trivet_request_seconds", "trivet_model_seconds"):
        counts = [value for (sample, _, le), value in samples.items() if sample == f"{name}_bucket" and le]
        assert counts == sorted(counts)
        assert samples[f"{name}_bucket", None, "+Inf"] == samples[f"{name}_count", None, None] == 2
        assert samples[f"{name}_sum", None, None] > 0


def test_the_openapi_example_is_accepted_and_fits_its_own_schema(serve):
    server = serve(EVERY_TYPE)
    document = get(server, "/openapi.json").json
    content = document["paths"]["/infer"]["post"]["requestBody"]["content"]
    records = content["application/json; format=pandas-records"]
    reply = server.rows(records["example"], query="on_error=null")
    assert reply.status == 200, reply.body
    # What it answers is said as well.
    row, failed = document["paths"]["/infer"]["post"]["responses"]["200"]["content"][
        "application/json; format=pandas-records"
    ]["schema"]["items"]["anyOf"]
    assert set(row["properties"]) == set(failed["properties"])
    assert set(reply.json[0]) == set(row["properties"])
    assert fits(records["example"], records["schema"])
    assert fits(reply.json[0]["out"], row["properties"]["out"])


def fits(value, schema):
    """As much of JSON Schema as the document uses."""
    if "anyOf" in schema:
        return any(fits(value, choice) for choice in schema["anyOf"])
    kinds = schema["type"] if isinstance(schema["type"], list) else [schema["type"]]
    names = {dict: "object", list: "array", str: "string", bool: "boolean", type(None): "null"}
    kind = names.get(type(value)) or ("integer" if isinstance(value, int) else "number")
    assert kind in kinds or (kind == "integer" and "number" in kinds), (value, schema)
    if kind == "array":
        assert schema.get("minItems", 0) <= len(value) <= schema.get("maxItems", 10**9), (value, schema)
        return all(fits(item, schema["items"]) for item in value)
    if kind == "object":
        assert set(schema.get("required", ())) <= set(value)
        return all(fits(item, schema["properties"][name]) for name, item in value.items())
    return True


def test_the_openapi_document_is_made_from_the_schemas(serve):
    document = get(serve("x: float32[2,3]; o: int8?; l: string[]?"), "/openapi.json").json
    assert document["openapi"].startswith("3.1")
    assert document["info"]["title"] == "model"
    assert set(document["paths"]) == {"/infer", "/models", "/pipelines", "/healthz", "/readyz", "/metrics"}
    item = document["paths"]["/infer"]["post"]["requestBody"]["content"]["application/json; format=pandas-records"][
        "schema"
    ]["items"]
    assert item["required"] == ["x"]
    assert item["properties"]["x"] == {
        "type": "array",
        "minItems": 2,
        "maxItems": 2,
        "items": {"type": "array", "minItems": 3, "maxItems": 3, "items": {"type": "number"}},
    }
    assert item["properties"]["o"] == {
        "anyOf": [{"type": "integer", "minimum": -128, "maximum": 127}, {"type": "null"}]
    }
    responses = document["paths"]["/infer"]["post"]["responses"]
    assert {str(status) for status in STATUS.values()} - {"401", "403", "404", "409"} <= set(responses)
    for path in document["paths"].values():
        for operation in path.values():
            assert all(answer["description"] for answer in operation["responses"].values())
    for reference in find_references(document):
        *_, name = reference.split("/")
        assert name in document["components"]["schemas"]


def find_references(node):
    if isinstance(node, dict):
        for key, value in node.items():
            if key == "$ref":
                yield value
            else:
                yield from find_references(value)
    elif isinstance(node, list):
        for value in node:
            yield from find_references(value)


def test_an_error_is_as_the_openapi_document_says(serve):
    server = serve("k: int64")
    schema = get(server, "/openapi.json").json["components"]["schemas"]["Error"]
    error = server.rows([]).json
    assert set(schema["required"]) <= set(error) <= set(schema["properties"])


def test_the_documentation_of_every_type_can_be_made(serve):
    page = get(serve(EVERY_TYPE), "/docs").body.decode()
    for kind in ("float32[2,3]", "timestamp[us, UTC]", "duration[ns]", "struct{x: int8, y: string?}[]"):
        assert kind in page


def test_the_pages_name_the_server(serve):
    server = serve("k: int64")
    assert get(server, "/openapi.json").json["servers"] == [{"url": "http://localhost:8080"}]
    page = get(server, "/docs").body.decode()
    assert "This is <code>http://localhost:8080</code>" in page
    assert "curl -X POST http://localhost:8080/infer" in page
