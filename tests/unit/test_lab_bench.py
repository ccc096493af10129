"""What the benchmark prints."""

from __future__ import annotations

from rich.console import Console

from lab.bench import Made, Measured, _median, table

BOOTS = Made((162.0, 172.0), 155.0, 179.0, 165.0, {})
GOES_ON = Made((10.0, 20.0), 14.5, 39.0, 28.0, {})
FOUND = Measured(29.0, 40.0, BOOTS, GOES_ON, 0.15, 984.0)


def test_each_figure_is_beside_its_ratio_on_80_columns() -> None:
    console = Console(width=80)
    with console.capture() as captured:
        console.print(table("a-type-with-a-long-name", FOUND))
    lines = captured.get().splitlines()
    ready = next(line for line in lines if "to Ready, s" in line)
    assert [cell.strip() for cell in ready.split("│")[1:-1]] == [
        "power-on to SSH, to Ready, s",
        "29",
        "155 (5.34)",
        "14 (0.50)",
    ]
    assert max(map(len, lines)) <= 80
    # A title, a head and three rules, and none of the five rows is broken.
    assert len(lines) == 10


def test_the_run_in_the_middle_is_shown() -> None:
    assert _median([3.0, 1.0, 2.0], float) == 2.0
    assert _median([BOOTS, GOES_ON, BOOTS], lambda each: each.guest) is BOOTS
