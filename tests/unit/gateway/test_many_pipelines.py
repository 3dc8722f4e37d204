"""Several pipelines behind one gateway: where each answers, what is said where none does, and how one takes another's place."""

import asyncio
import json

import numpy as np
import pyarrow as pa
import pytest
from prometheus_client.parser import text_string_to_metric_families

from trivet.domain.schema import parse_schema
from trivet.engine.batch import Batch
from trivet.errors import Kind, NotFound, Unavailable
from trivet.gateway.access import GatewayAccess
from trivet.gateway.pipelines import Pipelines, Place
from trivet_tests.asgi import request_scope

X = "x: int64"
ONE = b'[{"x": 1}]'


def times(factor):
    def function(batch):
        return Batch(pa.schema([("y", pa.int64())]), [batch.numpy(0) * factor], batch.rows)

    return function


@pytest.fixture
def many(served_by, make_pipeline):
    """A gateway, and `put(name, deployment id, factor)`, which lets `y = factor * x` answer."""
    server = served_by(Pipelines())

    def put(name, deployment_id, factor=1, *, workspace_id=1, version=None, **options):
        pipeline = make_pipeline(
            parse_schema(X),
            parse_schema("y: int64"),
            times(factor),
            name=name,
            deployment_id=deployment_id,
            workspace_id=workspace_id,
            version=version or f"version-{factor}",
        )
        return server.pipelines.put(pipeline, **options)

    return server, put


def answer(server, path):
    reply = server.ask(ONE, path=path)
    return reply.json[0]["out"]["y"] if reply.status == 200 else reply.status


def test_each_pipeline_answers_at_its_own_addresses(many):
    server, put = many
    put("a", 1, 10)
    put("b", 2, 20)
    for name, number, product in (("a", 1, 10), ("b", 2, 20)):
        for path in (
            f"/pipelines/{name}/infer",
            f"/pipelines/{name}",
            f"/v1/api/pipelines/infer/{name}-{number}/{name}",
        ):
            assert answer(server, path) == product, path


def test_a_single_pipeline_answers_at_the_short_address_too(many):
    server, put = many
    put("a", 1, 10)
    assert answer(server, "/infer") == 10
    put("b", 2, 20)
    reply = server.ask(ONE, path="/infer")
    assert reply.status == 409
    assert "2 pipelines are deployed" in reply.json["error"]
    assert "/pipelines/a/infer" in reply.json["fix"]
    assert reply.json["source"] == "platform"
    server.pipelines.remove(Place("b", 2))
    assert answer(server, "/infer") == 10


def test_two_pipelines_of_one_name_have_different_full_addresses(many):
    server, put = many
    put("a", 1, 10, workspace_id=1)
    put("a", 2, 20, workspace_id=2)
    reply = server.ask(ONE, path="/pipelines/a/infer")
    assert reply.status == 409
    assert reply.json["error"].startswith("2 pipelines are called a")
    assert "/v1/api/pipelines/infer/a-1/a" in reply.json["fix"]
    assert "/v1/api/pipelines/infer/a-2/a" in reply.json["fix"]
    assert answer(server, "/v1/api/pipelines/infer/a-1/a") == 10
    assert answer(server, "/v1/api/pipelines/infer/a-2/a") == 20
    assert server.ask(method="GET", path="/pipelines/a/openapi.json").status == 409
    assert server.ask(method="GET", path="/v1/api/pipelines/infer/a-2/a/openapi.json").status == 200
    server.pipelines.remove(Place("a", 1))
    assert answer(server, "/pipelines/a/infer") == 20


@pytest.mark.parametrize(
    ("path", "why", "fix"),
    [
        ("/pipelines/ccfrod/infer", "no pipeline 'ccfrod' is deployed", "did you mean /pipelines/ccfraud/infer?"),
        ("/pipelines/ccfrod", "no pipeline 'ccfrod' is deployed", "did you mean /pipelines/ccfraud/infer?"),
        ("/v1/api/pipelines/infer/x-1/x", "no pipeline 'x' is deployed", "deployed are ccfraud, other"),
        (
            "/v1/api/pipelines/infer/ccfraud-9/ccfraud",
            "path not found: /v1/api/pipelines/infer/ccfraud-9/ccfraud",
            "ccfraud is at /v1/api/pipelines/infer/ccfraud-1/ccfraud",
        ),
    ],
)
def test_an_unknown_pipeline_is_answered_with_the_nearest_one(many, path, why, fix):
    server, put = many
    put("ccfraud", 1)
    put("other", 2)
    reply = server.ask(ONE, path=path)
    assert reply.status == 404
    assert (reply.json["error"], reply.json["fix"]) == (f"Deployment not found: {why}", fix)
    assert (reply.json["source"], reply.json["reason"]) == ("platform", "not_found")


def test_a_gateway_without_pipelines_says_so(many):
    server, _ = many
    assert server.ask(ONE, path="/pipelines/a/infer").json["fix"] == "nothing is deployed yet"
    assert server.ask(ONE, path="/infer").status == 404
    for path in ("/models", "/pipelines", "/readyz", "/metrics", "/openapi.json", "/docs"):
        assert server.ask(method="GET", path=path).status == 200


def test_a_place_without_an_answer_says_why_until_there_is_one(many):
    server, put = many
    place = Place("a", 1)
    server.pipelines.refuse(place, Unavailable("pipeline a is starting"))
    reply = server.ask(ONE, path="/pipelines/a/infer")
    assert (reply.status, reply.json["error"], reply.headers["retry-after"]) == (503, "pipeline a is starting", "1")
    put("a", 1, 10)
    assert answer(server, "/pipelines/a/infer") == 10
    server.pipelines.refuse(place, Unavailable("a failed update"))
    assert answer(server, "/pipelines/a/infer") == 10
    server.pipelines.remove(place)
    assert answer(server, "/pipelines/a/infer") == 404


def test_an_address_that_takes_predictions_takes_nothing_else(many):
    server, put = many
    put("a", 1)
    for path in ("/infer", "/pipelines/a/infer", "/v1/api/pipelines/infer/a-1/a"):
        for method in ("GET", "PUT", "DELETE", "OPTIONS"):
            reply = server.ask(method=method, path=path)
            assert (reply.status, reply.headers["allow"], reply.json["reason"]) == (405, "POST", "method_not_allowed")
    assert server.ask(method="DELETE", path="/pipelines/a").headers["allow"] == "GET, HEAD, POST"
    assert server.ask(ONE, path="/models").headers["allow"] == "GET, HEAD"


def test_pipelines_and_models_are_listed_with_where_they_answer(many):
    server, put = many
    put("b", 2, 20)
    put("a", 1, 10)
    listed = server.ask(method="GET", path="/pipelines").json["pipelines"]
    assert listed == [
        {
            "id": name,
            "version": f"version-{product}",
            "status": "Running",
            "deployment_id": number,
            "url": f"/v1/api/pipelines/infer/{name}-{number}/{name}",
        }
        for name, number, product in (("a", 1, 10), ("b", 2, 20))
    ]
    assert server.ask(method="GET", path="/pipelines/a").json == listed[0]
    models = server.ask(method="GET", path="/models").json["models"]
    assert [(model["name"], model["pipelines"]) for model in models] == [("a", ["a"]), ("b", ["b"])]


def test_a_pipeline_describes_itself(many):
    server, put = many
    put("a", 1, 10)
    put("b", 2, 20)
    for path in ("/pipelines/a/openapi.json", "/pipelines/a/infer/openapi.json"):
        document = server.ask(method="GET", path=path).json
        assert (document["info"]["title"], document["info"]["version"]) == ("a", "version-10")
        assert list(document["paths"]) == ["/pipelines/a/infer"]
    everything = server.ask(method="GET", path="/openapi.json").json
    assert {"/pipelines/a/infer", "/pipelines/b/infer", "/models"} <= set(everything["paths"])
    names = [operation["post"]["operationId"] for operation in everything["paths"].values() if "post" in operation]
    assert len(set(names)) == len(names) == 2
    page = server.ask(method="GET", path="/docs").body.decode()
    assert "<h1>a</h1>" in page
    assert "<h1>b</h1>" in page


def test_readiness_names_pipelines_that_do_not_answer(many, make_pipeline):
    server, put = many
    put("a", 1)
    assert server.ask(method="GET", path="/readyz").json == {"status": "ready"}

    def fail(_batch):
        raise Unavailable("gone")

    def break_pipeline(name, deployment_id):
        pipeline = make_pipeline(
            parse_schema(X), parse_schema(X), fail, name=name, deployment_id=deployment_id, workspace_id=1
        )
        server.pipelines.put(pipeline)

    break_pipeline("b", 2)
    reply = server.ask(method="GET", path="/readyz")
    assert (reply.status, reply.json) == (200, {"status": "ready", "pipelines": {"b": "gone"}})
    break_pipeline("a", 1)
    reply = server.ask(method="GET", path="/readyz")
    assert reply.status == 503
    assert reply.json == {
        "status": "not ready",
        "error": "gone",
        "reason": "unavailable",
        "pipelines": {"a": "gone", "b": "gone"},
    }


def test_a_gateway_may_wait_for_its_first_routes(served_by):
    server = served_by(Pipelines(waits=True))
    assert server.ask(method="GET", path="/readyz").json == {"status": "starting"}
    server.pipelines.begin()
    assert server.ask(method="GET", path="/readyz").json == {"status": "ready"}


def samples(server):
    page = server.ask(method="GET", path="/metrics").body.decode()
    return {
        (sample.name, *sorted(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(page)
        for sample in family.samples
        if "le" not in sample.labels
    }


def test_measurements_go_on_over_versions_and_end_with_the_pipeline(many):
    server, put = many
    first = put("a", 1, 10)
    answer(server, "/infer")
    second = put("a", 1, 11)
    answer(server, "/infer")
    labels = (("pipeline", "a"), ("workspace", "1"))
    assert samples(server)["trivet_rows_total", *labels] == 2
    asyncio.run(server.pipelines.drain(first, within_s=1))
    assert samples(server)["trivet_rows_total", *labels] == 2
    third = put("a", 1, 12)
    server.pipelines.remove(Place("a", 1))
    for live in (second, third):
        assert samples(server)["trivet_rows_total", *labels] == 2
        asyncio.run(server.pipelines.drain(live, within_s=1))
    assert not samples(server)


class Ask:
    """One request in a running loop, whose body comes when told."""

    def __init__(self, app, path):
        self.sent = []
        self.body = asyncio.Event()
        self.task = asyncio.ensure_future(app(request_scope(path), self.receive, self.send))

    async def receive(self):
        await self.body.wait()
        return {"type": "http.request", "body": ONE, "more_body": False}

    async def send(self, message):
        self.sent.append(message)

    async def answer(self):
        self.body.set()
        await self.task
        status = self.sent[0]["status"]
        return json.loads(self.sent[1]["body"])[0]["out"]["y"] if status == 200 else status


def test_a_body_that_arrives_after_a_swap_goes_to_the_new_version(many):
    server, put = many

    async def story():
        first = put("a", 1, 10)
        late = Ask(server.app, "/pipelines/a/infer")
        await asyncio.sleep(0)
        assert first.in_flight == 1
        second = put("a", 1, 20)
        assert await late.answer() == 20
        assert (first.in_flight, second.in_flight) == (0, 0)
        await server.pipelines.drain(first, within_s=1)

    asyncio.run(story())


def test_a_transport_takes_a_request_by_its_place(many):
    (server, put), place = many, Place("m", 1)
    with pytest.raises(NotFound):
        server.pipelines.taken(place)
    server.pipelines.refuse(place, Unavailable("it is starting"))
    with pytest.raises(Unavailable, match="it is starting"):
        server.pipelines.taken(place)
    live = put("m", 1)
    with server.pipelines.taken(place) as taken:
        assert (taken.pipeline, live.in_flight, live.metrics.in_flight) == (live, 1, 1)
    with pytest.raises(Unavailable), server.pipelines.taken(place):
        raise Unavailable("it failed")
    assert (live.in_flight, live.metrics.outcomes) == (0, {None: 1, Kind.UNAVAILABLE: 1})


def test_a_request_in_flight_is_answered_though_its_pipeline_is_removed(many):
    server, put = many

    async def story():
        route = put("a", 1, 10)
        late = Ask(server.app, "/pipelines/a/infer")
        too_late = Ask(server.app, "/pipelines/a/infer")
        await asyncio.sleep(0)
        server.pipelines.remove(Place("a", 1))
        drained = asyncio.ensure_future(server.pipelines.drain(route, within_s=0.1))
        assert await late.answer() == 10
        assert not drained.done()
        await drained  # its time is over
        assert await too_late.answer() == 404
        assert route.in_flight == 0

    asyncio.run(story())


class Kept:
    """An inference log in memory."""

    def __init__(self):
        self.kept = []
        self.dropped = {(1, "kept"): 5, (2, "kept"): 7}

    def append(self, pipeline, inputs, answer):
        columns = {name: values.to_pylist() for name, values in inputs.arrays().items()}
        self.kept.append((pipeline.name, columns, np.asarray(answer.outputs.numpy(0)).tolist()))

    def finish(self, pipeline):
        pass


def test_what_was_answered_is_kept_for_those_that_want_it(served_by, make_pipeline):
    log = Kept()
    server = served_by(Pipelines(log=log))
    for name, number in (("kept", 1), ("private", 2)):
        pipeline = make_pipeline(
            parse_schema(X), parse_schema("y: int64"), times(2), name=name, deployment_id=number, workspace_id=1
        )
        server.pipelines.put(pipeline, logged=name == "kept")
    server.rows([{"x": 1, "id": "p"}, {"x": 2, "id": "q"}], path="/pipelines/kept/infer")
    server.rows([{"x": 3}], path="/pipelines/private/infer")
    server.rows([{"x": "no number"}], path="/pipelines/kept/infer")
    assert log.kept == [("kept", {"x": [1, 2], "id": ["p", "q"]}, [2, 4])]
    labels = (("pipeline", "kept"), ("workspace", "1"))
    assert samples(server)["trivet_inference_log_dropped_rows_total", *labels] == 5


def test_with_tokens_a_request_without_one_gets_no_information(serve):
    server = serve(X, access=GatewayAccess(["first-token", "second-token"]))
    for method, path in (("POST", "/infer"), ("GET", "/models"), ("GET", "/metrics"), ("GET", "/x")):
        for headers in ({}, {"authorization": "Bearer first-toke"}, {"authorization": "Basic first-token"}):
            reply = server.ask(ONE, method=method, path=path, **headers)
            assert reply.status == 401, path
            assert (reply.json["source"], reply.json["reason"]) == ("platform", "unauthorized")
            assert reply.headers["www-authenticate"] == "Bearer"
        for token in ("first-token", "second-token"):
            reply = server.ask(ONE, method=method, path=path, authorization=f"bearer {token}")
            assert reply.status == (404 if path == "/x" else 200)
    assert server.ask(method="GET", path="/healthz").status == 200
    assert server.ask(method="GET", path="/readyz").json == {"status": "ready"}
    server.runner.capacity = 0
    assert server.ask(method="GET", path="/readyz").json == {"status": "not ready"}
