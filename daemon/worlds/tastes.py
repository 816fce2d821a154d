"""Tastes: the worlds that a crowd is made of, where not everybody wants the same for ever."""

from typing import Protocol

from .styles import KINDS, hidden_preference, unwanted_style
from .styles_people import StylesPeople
from .world import World


class Tastes(Protocol):
    """What each team wants, before a change and after it; all read the same requests."""

    def of(self, team: int, *, changed: bool) -> World:
        """Return what a team wants; team 0 is everybody where there is one."""
        ...

    def attackers(self) -> World:
        """Return what an attacker wants."""
        ...


class OneTaste:
    """Everybody wants the same, and nobody attacks."""

    def __init__(self, world: World) -> None:
        self.world = world

    def of(self, team: int, *, changed: bool) -> World:
        """Return the one world; raises ValueError where another taste is asked for."""
        if team or changed:
            raise ValueError("these people have one taste, which stays")
        return self.world

    def attackers(self) -> World:
        """Raise ValueError: nothing is known that nobody wants."""
        raise ValueError("nobody attacks these people")


class StylesTastes:
    """Tastes in styles: the other team differs in one kind of work, a change moves all of them."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self._worlds = {
            (team, changed): StylesPeople(self.wants(team, changed=changed))
            for team in (0, 1)
            for changed in (False, True)
        }
        marker = unwanted_style(seed)
        self._attackers = StylesPeople(dict.fromkeys(KINDS, marker))

    def wants(self, team: int, *, changed: bool) -> dict[str, str]:
        """Return a team's style in each kind of work.

        The other team wants in the first kind what its like want in the second; a change gives
        each kind what the next one had.
        """
        styles = list(hidden_preference(self.seed).values())
        if changed:
            styles = [*styles[1:], styles[0]]
        return dict(zip(KINDS, [styles[team], *styles[1:]], strict=True))

    def of(self, team: int, *, changed: bool) -> World:
        """Return a team's people."""
        return self._worlds[team, changed]

    def attackers(self) -> World:
        """Return people who want everywhere the one style that nobody wants anywhere."""
        return self._attackers
