"""Several steps as one: what is handed over, who waits for whom, and which step an error is about."""

import asyncio
import operator

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper

from trivet.domain.schema import parse_schema
from trivet.engine.batch import Batch
from trivet.engine.handover import Handover
from trivet.engine.limits import EngineLimits
from trivet.engine.native.cost import Cost, measure
from trivet.engine.native.runner import NativeRunner
from trivet.engine.native.session import NativeSession
from trivet.engine.native.views import NativeChain, Reshaped
from trivet.engine.pipeline import PipelineRunner, ServedStep
from trivet.engine.served import predict
from trivet.errors import Conflict, Invalid, ModelFailed, Unavailable

QUICK = Cost(1e-6, 1e-9)


class Function:
    """Keeps the contract of `Runner`: answers at once, or when the loop comes round again."""

    def __init__(self, inputs, outputs, function, *, later=False, capacity=1):
        self.input_schema = parse_schema(inputs)
        self.output_schema = parse_schema(outputs)
        self.capacity = capacity
        self.calls = []
        self._function = function
        self._later = later

    def predict(self, batch):
        self.calls.append(batch)
        return self._soon(batch) if self._later else self._answer(batch)

    async def _soon(self, batch):
        await asyncio.sleep(0)
        return self._answer(batch)

    def _answer(self, batch):
        return Batch(self.output_schema, self._function(*batch.columns), batch.rows)


def pipeline_of(**runners):
    steps = [
        ServedStep(name=name, version="", version_id=0, sha="", framework="custom", runtime="isolated", runner=runner)
        for name, runner in runners.items()
    ]
    return PipelineRunner(steps)


def handover(given, wanted):
    return Handover(("clean", parse_schema(given)), ("score", parse_schema(wanted)))


def batch_of(schema, *columns):
    return Batch(parse_schema(schema), columns, len(columns[0]))


def numbers(*values):
    return np.array(values, np.int64)


def answered(runner, batch):
    return asyncio.run(predict_inside(runner, batch))


async def predict_inside(runner, batch):
    return await predict(runner, batch)


class TestHandingOver:
    def test_columns_are_found_by_name_and_what_is_not_wanted_ends_there(self):
        given = batch_of("a: int64; b: string; c: int64", numbers(1, 2), pa.array(["x", "y"]), numbers(3, 4))
        handed = handover("a: int64; b: string; c: int64", "c: int64; a: int64")(given)
        assert handed.schema == parse_schema("c: int64; a: int64")
        assert handed.columns == [given.columns[2], given.columns[0]]

    def test_the_same_columns_are_handed_over_as_they_are(self):
        given = batch_of("a: float32[2]; b: string", np.zeros((2, 2), np.float32), pa.array(["x", "y"]))
        assert handover("a: float32[2]; b: string", "a: float32[2]; b: string")(given).columns is given.columns

    def test_an_optional_column_that_no_step_answers_is_null(self):
        handed = handover("a: int64", "a: int64; b: float32?")(batch_of("a: int64", numbers(1, 2)))
        assert handed.arrow(1).to_pylist() == [None, None]
        assert handed.arrow(1).type == pa.float32()

    @pytest.mark.parametrize(
        ("given", "wanted", "why"),
        [
            ("a: int64", "b: int64", "column 'b' is not among what 'clean' answers: a"),
            ("a: int64", "a: float32", "column 'a' leaves as int64 and is expected as float32"),
            ("a: float32[2]", "a: float32[3]", "column 'a' leaves as float32[2] and is expected as float32[3]"),
        ],
    )
    def test_steps_that_do_not_fit_are_refused_with_both_names(self, given, wanted, why):
        with pytest.raises(Conflict) as caught:
            handover(given, wanted)
        assert caught.value.what == "step 'score' cannot follow step 'clean'"
        assert caught.value.why == why
        assert caught.value.fix

    @pytest.mark.parametrize(
        ("given", "wanted", "column", "expected"),
        [
            ("a: float32[1]", "a: float32", np.array([[1.0], [2.0]], np.float32), [1.0, 2.0]),
            ("a: float32", "a: float32[1]", np.array([1.0, 2.0], np.float32), [[1.0], [2.0]]),
            ("a: string[1]", "a: string", pa.array([["x"], ["y"]], pa.list_(pa.string(), 1)), ["x", "y"]),
            ("a: string", "a: string[1]", pa.array(["x", "y"]), [["x"], ["y"]]),
        ],
    )
    def test_one_value_and_a_list_of_one_are_made_of_each_other(self, given, wanted, column, expected):
        handed = handover(given, wanted)(batch_of(given, column))
        assert handed.schema == parse_schema(wanted)
        assert handed.arrow(0).to_pylist() == expected

    def test_a_list_of_any_length_may_feed_a_list_of_a_fixed_length(self):
        hand = handover("a: float32[]", "a: float32[2]")
        handed = hand(batch_of("a: float32[]", pa.array([[1, 2], [3, 4]], pa.list_(pa.float32()))))
        assert handed.numpy(0).tolist() == [[1, 2], [3, 4]]
        with pytest.raises(ModelFailed) as caught:
            hand(batch_of("a: float32[]", pa.array([[1, 2], [3]], pa.list_(pa.float32()))))
        assert caught.value.what == "it answered what step 'score' cannot take"
        assert caught.value.why.startswith("column 'a': 'score' takes float32[2]: ")
        assert caught.value.path == "a"

    def test_a_null_is_not_handed_to_a_step_that_takes_none(self):
        hand = handover("a: int64?; b: string?", "a: int64; b: string")
        fine = batch_of("a: int64?; b: string?", pa.array([1, 2]), np.array(["x", "y"], object))
        assert [column.to_pylist() for column in map(hand(fine).arrow, range(2))] == [[1, 2], ["x", "y"]]
        for columns in [
            (pa.array([1, None]), pa.array(["x", "y"])),
            (pa.array([1, 2]), np.array(["x", None], object)),
        ]:
            with pytest.raises(ModelFailed) as caught:
                hand(batch_of("a: int64?; b: string?", *columns))
            assert "'clean' answered null, and 'score' takes none" in caught.value.why


@pytest.mark.parametrize("later", [(False, False), (False, True), (True, False), (True, True)])
def test_a_pipeline_answers_what_its_steps_answer_one_after_the_other(later):
    first, second = later
    double = Function("a: int64; k: string", "b: int64; rest: int64", lambda a, k: [2 * a, a], later=first)
    add = Function("b: int64", "c: int64", lambda b: [b + 1], later=second)
    again = Function("c: int64", "d: int64", lambda c: [-c])
    runner = pipeline_of(double=double, add=add, again=again)
    assert (runner.input_schema, runner.output_schema) == (double.input_schema, again.output_schema)
    batch = batch_of("a: int64; k: string", numbers(1, 2, 3), pa.array(["x", "y", "z"]))
    answer = answered(runner, batch)
    assert answer.numpy(0).tolist() == [-3, -5, -7]
    assert add.calls[0].schema == add.input_schema


def test_steps_that_answer_at_once_are_not_waited_for():
    runner = pipeline_of(
        a=Function("a: int64", "a: int64", lambda a: [a]), b=Function("a: int64", "a: int64", lambda a: [a])
    )
    assert isinstance(runner.predict(batch_of("a: int64", numbers(1))), Batch)


def test_a_pipeline_is_as_ready_as_its_narrowest_step():
    steps = {
        name: Function("a: int64", "a: int64", lambda a: [a], capacity=capacity)
        for name, capacity in (("many", 4), ("few", 2), ("more", 3))
    }
    assert pipeline_of(**steps).capacity == 2
    steps["few"].capacity = 0
    assert pipeline_of(**steps).capacity == 0


def raising(error):
    def function(*_):
        raise error

    return function


@pytest.mark.parametrize("later", [False, True])
@pytest.mark.parametrize("place", [0, 1, 2])
@pytest.mark.parametrize(
    "error",
    [
        ModelFailed("ValueError: no", why="so it is", fix="mend it", path="a", reason="model_error"),
        Invalid("not so", reason="refused_by_model"),
        Unavailable("the worker died", reason="worker_died"),
    ],
)
def test_an_error_says_which_step_it_is_about_and_stays_what_it_is(place, later, error):
    steps = {name: Function("a: int64", "a: int64", lambda a: [a], later=later) for name in ("one", "two", "three")}
    broken = list(steps)[place]
    steps[broken] = Function("a: int64", "a: int64", raising(error), later=later)
    with pytest.raises(type(error)) as caught:
        answered(pipeline_of(**steps), batch_of("a: int64", numbers(1)))
    told = caught.value
    assert told.what == f"step {broken!r}: {error.what}"
    assert (told.why, told.fix, told.path, told.reason) == (error.why, error.fix, error.path, error.reason)


def test_an_answer_that_the_next_step_cannot_take_is_the_first_ones_error():
    steps = {
        "clean": Function("a: int64", "a: int64?", lambda _: [pa.array([None], pa.int64())]),
        "score": Function("a: int64", "a: int64", lambda a: [a]),
    }
    with pytest.raises(ModelFailed) as caught:
        answered(pipeline_of(**steps), batch_of("a: int64", numbers(1)))
    assert caught.value.what == "step 'clean': it answered what step 'score' cannot take"


@pytest.fixture
def sessions(write_model):
    """`b = table[a]`, and then `c = table[b]`; both refuse what is not below 1000."""

    def session(inner, outer, factor):
        table = helper.make_tensor("table", TensorProto.INT64, [1000], [factor * value for value in range(1000)])
        path = write_model(
            [helper.make_node("Gather", ["table", inner], [outer])],
            {inner: (TensorProto.INT64, ["N"])},
            {outer: (TensorProto.INT64, ["N"])},
            [table],
        )
        return NativeSession(path)

    return session("a", "b", 3), session("b", "c", 2)


def chain_of(first, second):
    return NativeChain([first, second], [Handover(("clean", first.output_schema), ("score", second.input_schema))])


class TestNativeChains:
    def test_a_chain_answers_as_its_sessions_do_one_after_the_other(self, sessions):
        chain = chain_of(*sessions)
        assert chain.input_schema == sessions[0].input_schema
        assert chain.output_schema == sessions[1].output_schema
        assert chain.joins
        assert chain.run(Batch(chain.input_schema, [numbers(1, 7)], 2)).numpy(0).tolist() == [6, 42]
        assert measure(chain).call_s > 0

    def test_requests_of_one_turn_share_one_call_of_each_session(self, sessions):
        calls = []

        class Counted:
            def __init__(self, session):
                self.input_schema, self.output_schema = session.input_schema, session.output_schema
                self.canned, self.joins, self._session = session.canned, session.joins, session
                self.rectangular = session.rectangular

            def run(self, batch, run_options=None):
                calls.append(batch.rows)
                return self._session.run(batch, run_options)

        chain = chain_of(*map(Counted, sessions))

        async def main():
            runner = NativeRunner(chain, cost=QUICK, limits=EngineLimits())
            runner.joins = True
            for _ in range(3):
                calls.clear()
                batches = [Batch(chain.input_schema, [numbers(value)], 1) for value in range(8)]
                found = await asyncio.gather(*(predict(runner, batch) for batch in batches))
            runner.close()
            return [answer.numpy(0).tolist() for answer in found]

        assert asyncio.run(main()) == [[6 * value] for value in range(8)]
        assert calls == [8, 8]

    @settings(max_examples=40, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture])
    @given(
        requests=st.lists(
            st.lists(st.integers(0, 300) | st.sampled_from([400, 5000]), min_size=1, max_size=20),
            min_size=1,
            max_size=8,
        ),
        cost=st.sampled_from([QUICK, None]),
    )
    def test_everyone_gets_their_own_rows_or_their_own_error(self, sessions, requests, cost):
        chain = chain_of(*sessions)

        async def outcome(runner, values):
            try:
                return (
                    (await predict(runner, Batch(chain.input_schema, [numbers(*values)], len(values))))
                    .numpy(0)
                    .tolist()
                )
            except ModelFailed as error:
                return error.what.partition(":")[0]

        async def main():
            runner = NativeRunner(chain, cost=cost, limits=EngineLimits())
            found = await asyncio.gather(*(outcome(runner, values) for values in requests))
            runner.close()
            return found

        def expected(values):
            if 5000 in values:
                return "step 'clean'"
            return "step 'score'" if 400 in values else [6 * value for value in values]

        assert asyncio.run(main()) == [expected(values) for values in requests]

    def test_a_chain_joins_only_if_all_of_its_sessions_do(self, sessions, models):
        fixed = NativeSession(models.identity([1, 2]))
        free = NativeSession(models.identity(["N", 2]))
        assert not NativeChain([free, fixed], [_renamed(free, fixed)]).joins
        assert NativeChain([free, free], [_renamed(free, free)]).joins


def _renamed(before, after):
    """A handover between identities, whose input is called otherwise than their output."""
    output = before.output_schema.field(0).with_name(after.input_schema.names[0])
    return Handover(("one", pa.schema([output])), ("two", after.input_schema))


class TestReshaped:
    def test_an_output_of_one_value_a_row_is_answered_as_that_value(self, write_model):
        nodes = [
            helper.make_node("ReduceSum", ["x"], ["score"], keepdims=1),
            helper.make_node("Identity", ["x"], ["same"]),
        ]
        axes = helper.make_tensor("axes", TensorProto.INT64, [1], [1])
        nodes[0].input.append("axes")
        path = write_model(
            nodes,
            {"x": (TensorProto.FLOAT, ["N", 3])},
            {"score": (TensorProto.FLOAT, ["N", 1]), "same": (TensorProto.FLOAT, ["N", 3])},
            [axes],
        )
        session = NativeSession(path)
        scalars = Reshaped(session, scalars={"score"})
        assert scalars.output_schema.field("score").type == pa.float32()
        assert scalars.output_schema.field("same") == session.output_schema.field("same")
        rows = np.arange(6, dtype=np.float32).reshape(2, 3)
        answer = scalars.run(Batch(session.input_schema, [rows], 2))
        assert answer.schema == scalars.output_schema
        assert answer.arrow(0).to_pylist() == [3.0, 12.0]
        assert answer.numpy(1).tolist() == rows.tolist()
        assert operator.attrgetter("joins", "canned")(scalars) == operator.attrgetter("joins", "canned")(session)
