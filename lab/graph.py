"""Building what is not in the cache: each artifact as soon as all that it needs is there."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from graphlib import TopologicalSorter
from typing import Final

from lab import command
from lab.artifact import Artifact
from lab.steps import Steps

# Two cores: a Go build beside another or an unpacking is what fits; who waits for the network is in nobody's way.
_BUILDERS: Final = 2
_FETCHERS: Final = 4
# Longer than anything takes: each command of a build has its own limit.
_ANY_SECONDS: Final = 7200
# From an end to the beginning that it made room for.
_A_MOMENT: Final = 0.5


@dataclass(frozen=True)
class Span:
    """When something was made, in seconds of one clock."""

    started: float
    ended: float


def build(wanted: Sequence[Artifact], steps: Steps) -> Mapping[str, Span]:
    """Build what is not in the cache, in the order given where there is a choice; the first failure ends the others.

    Args:
        wanted: what is to be there, with all that it needs.
        steps: gets an outcome for each.

    Returns:
        What was built, by key.

    Raises:
        BuildError: a recipe failed.
        LabError: another process builds the same and does not end.
    """
    artifacts = {artifact.key: artifact for artifact in (*wanted, *_needs(wanted))}
    order = TopologicalSorter({key: [need.key for need in each.needs] for key, each in artifacts.items()})
    order.prepare()
    built: dict[str, Span] = {}

    def make(artifact: Artifact) -> None:
        with steps.step(artifact.name) as outcome:
            started = time.monotonic()
            if artifact.ensure() is None:
                outcome.how = "cached"
            else:
                outcome.how = "built"
                built[artifact.key] = Span(started, time.monotonic())

    with ThreadPoolExecutor(_BUILDERS) as builders, ThreadPoolExecutor(_FETCHERS) as fetchers:
        running: dict[Future[None], str] = {}
        # Not in a pool's queue: what is ready later may come first in the order.
        waiting: set[str] = set()
        try:
            while order.is_active():
                waiting.update(order.get_ready())
                for pool, size, fetch in ((builders, _BUILDERS, False), (fetchers, _FETCHERS, True)):
                    busy = sum(artifacts[key].fetches == fetch for key in running.values())
                    next_ones = [key for key in artifacts if key in waiting and artifacts[key].fetches == fetch]
                    for key in next_ones[: size - busy]:
                        waiting.remove(key)
                        running[pool.submit(make, artifacts[key])] = key
                done, _ = wait(running, timeout=_ANY_SECONDS, return_when=FIRST_COMPLETED)
                for future in done:
                    future.result(timeout=0)
                    order.done(running.pop(future))
        except BaseException:
            for pool in (builders, fetchers):
                pool.shutdown(wait=False, cancel_futures=True)
            command.end_all()
            raise
    return built


def _needs(wanted: Sequence[Artifact]) -> Iterator[Artifact]:
    """What artifacts need, and what that needs in turn; some of it more than once."""
    for artifact in wanted:
        yield from artifact.needs
        yield from _needs(artifact.needs)


def critical_path(wanted: Sequence[Artifact], built: Mapping[str, Span]) -> list[tuple[str, float]]:
    """What the end waited for: the artifact that was ready last, before it the one at whose end it began, and so on.

    One begins when the last of those that it needs is ready, or when a builder is free for it.

    Args:
        wanted: artifacts.
        built: what :func:`build` returned for them.

    Returns:
        Names and seconds, in the order of time; nothing where all was cached.
    """
    spans = {artifact.name: built[artifact.key] for artifact in wanted if artifact.key in built}
    path: list[tuple[str, float]] = []
    while spans:
        name = max(spans, key=lambda each: spans[each].ended)
        last = spans[name]
        path.append((name, last.ended - last.started))
        del spans[name]
        spans = {name: span for name, span in spans.items() if span.ended <= last.started + _A_MOMENT}
    return path[::-1]
