"""Questions on a terminal."""

from __future__ import annotations

from ipaddress import IPv4Network

from rich.console import Console
from rich.prompt import IntPrompt, Prompt

from q8s_infra.init import Candidate, Question, parse_cidr
from q8s_infra.printable import printable


class Terminal:
    """See :class:`q8s_infra.init.Asker`: whoever sits before it."""

    def __init__(self, console: Console) -> None:
        self._console = console

    def choose(self, question: Question) -> Candidate:
        """One of a numbered list; by default the first."""
        self._console.print(f"{question.option}: {question.wanted}", markup=False)
        for number, candidate in enumerate(question.fit, start=1):
            self._console.print(printable(f"{number:4}  {candidate}"), markup=False)
        numbers = [str(number) for number in range(1, len(question.fit) + 1)]
        number = IntPrompt.ask("which", console=self._console, choices=numbers, show_choices=False, default=1)
        return question.fit[number - 1]

    def allowed_cidrs(self) -> tuple[IPv4Network, ...]:
        """Networks, separated by spaces or commas; asked again until they are right."""
        self._console.print("--allowed-cidr: IPv4 networks that may reach SSH and the API server from outside")
        while True:
            given = Prompt.ask("which", console=self._console).replace(",", " ").split()
            try:
                cidrs = tuple(parse_cidr(each) for each in given)
            except ValueError as error:
                self._console.print(str(error), markup=False)
                continue
            if cidrs:
                return cidrs
