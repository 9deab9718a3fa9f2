"""Recipes in turn: what can be undone, and done again."""

from __future__ import annotations

import time

from flowedit.app.recipe import Recipe

MOST = 50  # changes that can be undone
MERGE_S = 1.5  # moves of one slider that follow each other so soon are undone as one


class History:
    """The recipe as it is, those before it, and those that were taken back."""

    def __init__(self) -> None:
        self.recipe = Recipe()
        self._past: list[tuple[Recipe, str]] = []
        self._future: list[Recipe] = []
        self._changed = 0.0

    def change(self, recipe: Recipe, control: str = "") -> None:
        """Go on to another recipe.

        Args:
            recipe: the new one; the same again is no change.
            control: what was moved; moves of the same, if they follow each other at once, are undone as one.
        """
        if recipe == self.recipe:
            return
        now = time.monotonic()
        follows = bool(control) and bool(self._past) and self._past[-1][1] == control
        if not (follows and now - self._changed < MERGE_S):
            self._past.append((self.recipe, control))
            del self._past[:-MOST]
        self.recipe, self._changed = recipe, now
        self._future.clear()

    def undo(self) -> bool:
        """Take the last change back; False where there is none."""
        if not self._past:
            return False
        self._future.append(self.recipe)
        self.recipe, self._changed = self._past.pop()[0], 0.0
        return True

    def redo(self) -> bool:
        """Do again what was taken back last; False where there is nothing."""
        if not self._future:
            return False
        self._past.append((self.recipe, ""))
        self.recipe, self._changed = self._future.pop(), 0.0
        return True

    def keys(self) -> set[int]:
        """Return the numbers of all edits that may come back."""
        recipes = [self.recipe, *(recipe for recipe, _ in self._past), *self._future]
        return {entry.key for recipe in recipes for entry in recipe.entries}
