"""The collector of the host's associations when several scrapes come at once."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from sctpio import diagnostics
from sctpio.diagnostics.values import Counters, HostAssociation
from sctpio.metrics import HostCollector


def test_scrapes_take_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    looking, alone = threading.Lock(), []

    def associations(*, owners: bool) -> tuple[HostAssociation, ...]:
        alone.append(looking.acquire(blocking=False))
        if alone[-1]:
            # Lets the other threads run.
            time.sleep(0.001)
            looking.release()
        return ()

    monkeypatch.setattr(diagnostics, "associations", associations)
    monkeypatch.setattr(diagnostics, "endpoints", lambda *, owners: ())
    monkeypatch.setattr(diagnostics, "counters", Counters)
    collector = HostCollector()
    with ThreadPoolExecutor(8) as scrapers:
        for done in [scrapers.submit(lambda: list(collector.collect())) for _ in range(40)]:
            done.result()
    assert alone == [True] * 40
