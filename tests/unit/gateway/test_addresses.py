"""The addresses of doors follow the pipelines."""

from collections.abc import Mapping

from trivet.domain.schema import parse_schema
from trivet.errors import TrivetError
from trivet.gateway.allowance import Allowance
from trivet.gateway.http.addresses import Addresses
from trivet.gateway.pipelines import Pipelines, Place
from trivet_tests.text_door import TextDoor


class Forgetful(TextDoor):
    """Lists no address once `listed` is false."""

    listed = True

    def addresses(self) -> Mapping[str, Place | TrivetError]:
        return super().addresses() if self.listed else {}


def test_a_slow_request_is_answered_by_a_version_without_an_address(make_pipeline):
    pipelines = Pipelines()
    door = Forgetful(pipelines, partition="here")
    addresses = Addresses([door], pipelines)
    schema = parse_schema("x: int64")

    pipelines.put(make_pipeline(schema, schema, lambda batch: batch, name="p"))
    assert set(addresses.by_path) == {"/text/p"}
    door.listed = False
    newer = pipelines.put(make_pipeline(schema, schema, lambda batch: batch, name="p"))
    assert not addresses.by_path
    assert addresses.exchange(door, newer)("/text/p", b"", {}).read(b"1", Allowance()).batch.rows == 1
