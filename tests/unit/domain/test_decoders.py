"""Types are decoded by many threads at once from the start of a process."""

import subprocess
import sys

from trivet.domain.decoders import decoder

PROCESSES = 12  # without the lock about one in three of them ended by SIGSEGV
PROGRAM = """
import dataclasses, inspect, random, sys, threading
import msgspec
from trivet.domain import deployment, environment, package, pipeline, routes, version
from trivet.domain.encoding import decode
from trivet.errors import Internal

sys.setswitchinterval(1e-6)
found = {kind for module in (deployment, environment, package, pipeline, routes, version) for kind in vars(module).values()
         if inspect.isclass(kind) and (dataclasses.is_dataclass(kind) or issubclass(kind, msgspec.Struct))}
kinds = sorted(found, key=lambda kind: kind.__name__)
go = threading.Barrier(8)

def work(number):
    mine = kinds[:]
    random.Random(number // 2).shuffle(mine)
    go.wait()
    for kind in mine:
        try:
            decode(b"{}", kind)
        except (Internal, TypeError):
            pass

threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
for thread in threads: thread.start()
for thread in threads: thread.join()
"""


def test_threads_may_decode_the_same_types_for_the_first_time_at_once():
    ended = [
        subprocess.run([sys.executable, "-c", PROGRAM], check=False, capture_output=True, text=True)
        for _ in range(PROCESSES)
    ]
    assert [(each.returncode, each.stderr) for each in ended] == [(0, "")] * PROCESSES


def test_a_decoder_is_made_once():
    assert decoder(list[int]) is decoder(list[int])
    assert decoder(list[int]).decode(b"[1]") == [1]
